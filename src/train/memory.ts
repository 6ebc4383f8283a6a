/** Estimates the memory that a training run needs in the engine, from its settings alone. */
import { formatSpec } from '../formats/index.js';
import type { LlamaConfig } from '../model/config.js';
import { parameterCount, parametersOf } from '../model/params.js';
import { usesFloat8 } from '../ops/recipe.js';
import { sizeOf } from '../ops/tensor.js';
import { type TrainSettingsInput, trainSettings } from './options.js';
import { storedBytes } from './state.js';

const FLOAT32 = 4;
/** Bytes of rotary tables allowed for every model, whatever its size: 65,536 positions of 64 channels, computed in a quarter of a second. */
const ROPE_BYTES = 16 << 20;

/**
 * What is wrong with the size of a model's rotary tables, or undefined. It follows from two numbers, which in a file could demand any amount of
 * memory: beyond ROPE_BYTES, the tables may have as many floats as the model has parameters.
 */
export function ropeExcess(config: LlamaConfig): string | undefined {
  const { maxPositions, headDim } = config;
  const size = FLOAT32 * maxPositions * headDim;
  const limit = Math.max(ROPE_BYTES, FLOAT32 * parameterCount(config));
  if (size <= limit) return undefined;
  return `expected rotary tables of at most ${limit} bytes for a model of this size, got ${size} (${maxPositions} positions x head size ${headDim} x 4)`;
}

/** The range of 32-bit addresses. */
export const MEMORY_BYTES = 0x100000000;

/** Whether a run may fit into memory: the estimate can be a fifth too large. */
export const mayFit = (settings: TrainSettingsInput): boolean => trainingBytes(settings) <= 1.2 * MEMORY_BYTES;

/**
 * Bytes of tensors at the peak of a step: stored state, gradients, operands of the products, and what a forward pass keeps for its backward pass.
 * Excludes thread scratch and packed panels. test/memory-estimate.test.ts compares it with real peaks.
 */
export function trainingBytes(settings: TrainSettingsInput): number {
  const { config, recipe, batchSize, blockSize } = trainSettings(settings);
  const { hiddenSize: C, intermediateSize: F, vocabSize: V, layers, heads, kvHeads, headDim: D, maxPositions } = config;
  const storage = formatSpec(recipe.storage).bytes;
  const float8 = usesFloat8(recipe);
  const rows = batchSize * blockSize;

  let parameters = 2 * FLOAT32 * maxPositions * (D / 2);
  for (const parameter of parametersOf(config)) {
    // One copy per format of the products; none if the master already has it.
    const linear = float8 ? 2 : storage;
    const copy =
      recipe.masterWeight === recipe.storage || parameter.role === 'norm'
        ? 0
        : parameter.role === 'linear'
          ? linear
          : storage;
    parameters += storedBytes(parameter, recipe) + sizeOf(parameter.shape) * (FLOAT32 + copy);
  }

  // An FP8 operand is kept in both its formats; otherwise the operand is the activation itself.
  const operand = float8 ? 2 : storage;
  const qkv = (heads + 2 * kvHeads) * D;
  const kept =
    storage * (3 * C + qkv + 2 * F) + operand * (2 * C + F) + (float8 ? operand * C : 0) + FLOAT32 * (heads + 3);
  const ends = storage * (V + 2 * C);
  // Gradients of one layer's feed-forward part, with their operands.
  const passing = storage * (3 * F + 2 * C) + (float8 ? 2 * F : 0);
  return parameters + rows * (layers * kept + ends + passing);
}
