/** What a training run needs of the engine's memory, from its settings alone. */
import { formatSpec } from '../formats/index.js';
import { parametersOf } from '../model/params.js';
import { usesFloat8 } from '../ops/recipe.js';
import { sizeOf } from '../ops/tensor.js';
import type { TrainSettings } from './options.js';
import { storedBytes } from './state.js';

/** All that 32-bit addresses reach. */
export const MEMORY_BYTES = 0x100000000;

const FLOAT32 = 4;

/**
 * Bytes of tensors at the peak of a step: stored state, gradients, operands of the products, and what a forward pass keeps for its backward
 * pass. Without scratch of threads and packed panels; test/memory-estimate.test.ts holds it against real peaks.
 */
export function trainingBytes({ config, recipe, batchSize, blockSize }: TrainSettings): number {
  const { hiddenSize: C, intermediateSize: F, vocabSize: V, layers, heads, kvHeads, headDim: D, maxPositions } = config;
  const storage = formatSpec(recipe.storage).bytes;
  const float8 = usesFloat8(recipe);
  const rows = batchSize * blockSize;

  let parameters = 2 * FLOAT32 * maxPositions * (D / 2);
  for (const parameter of parametersOf(config)) {
    // A copy for each format of the products; none where the master is in it already.
    const linear = float8 ? 2 : storage;
    const copy =
      recipe.masterWeight === recipe.storage || parameter.role === 'norm'
        ? 0
        : parameter.role === 'linear'
          ? linear
          : storage;
    parameters += storedBytes(parameter, recipe) + sizeOf(parameter.shape) * (FLOAT32 + copy);
  }

  // An operand of FP8 is kept in both its formats; another one is the activation itself.
  const operand = float8 ? 2 : storage;
  const qkv = (heads + 2 * kvHeads) * D;
  const kept =
    storage * (3 * C + qkv + 2 * F) + operand * (2 * C + F) + (float8 ? operand * C : 0) + FLOAT32 * (heads + 3);
  const ends = storage * (V + 2 * C);
  // Gradients of one layer's feed-forward part, with their own operands.
  const passing = storage * (3 * F + 2 * C) + (float8 ? 2 * F : 0);
  return parameters + rows * (layers * kept + ends + passing);
}
