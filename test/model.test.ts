/** Loss, logits and every gradient against PyTorch in float64 (scripts/vectors/llama_fixture.py). */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { init } from '../src/index.js';
import { fromHuggingFaceConfig } from '../src/interop/config.js';
import { parseSafetensors } from '../src/interop/safetensors.js';
import { TrainingCasts } from '../src/model/casts.js';
import { parametersOf } from '../src/model/params.js';
import { Scales } from '../src/model/scales.js';
import { backward, forward } from '../src/model/transformer.js';
import type { Engine } from '../src/ops/engine.js';
import { crossEntropy } from '../src/ops/loss.js';
import { RECIPES } from '../src/ops/recipe.js';
import { ropeTable } from '../src/ops/rope.js';
import { floats, upload, zeros } from '../src/ops/tensor.js';

/**
 * float32 against float64: sums of up to 40 terms, each rounded to 2^-24, through two layers. The bound is the issue's own, relative
 * to the largest magnitude of the tensor, since single elements may cancel to zero.
 */
const BOUND = 1e-4;

function relativeError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(got.length).toBe(expected.length);
  let worst = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(got[i] - expected[i]);
    if (!(difference <= worst)) worst = difference;
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return worst / scale;
}

const aligned = (data: Uint8Array) => data.slice().buffer;

describe.each(['llama-tiny', 'llama-tiny-tied'])('%s', (name) => {
  const file = parseSafetensors(new Uint8Array(readFileSync(new URL(`vectors/${name}.safetensors`, import.meta.url))));
  const { config } = fromHuggingFaceConfig(new TextEncoder().encode(file.metadata.config));
  const tensor = (key: string) => file.tensors.get(key)!;
  const expected = (key: string) => new Float64Array(aligned(tensor(key).data));
  const table = parametersOf(config);
  let engine: Engine;

  beforeAll(async () => {
    engine = await init({ threads: 2 });
  });
  afterAll(() => engine.dispose());

  it('agrees with PyTorch in the f32 recipe: loss, logits and every gradient', () => {
    const weights = new Map(
      table.map(({ name: own, shape, parts }) => {
        const values = parts.flatMap((part) => Array.from(new Float32Array(aligned(tensor(part.name).data))));
        const t = engine.tensor(values, shape, 'float32');
        return [own, { forward: t, backward: t }] as const;
      }),
    );
    const [batch, time] = tensor('input_ids').shape;
    const ids = (key: string) => upload(engine, new Int32Array(aligned(tensor(key).data)));
    const rope = ropeTable(engine, config.maxPositions, config.headDim, config.ropeTheta);
    const model = { rt: engine, config, weights, storage: 'float32' as const, rope };
    const casts = new TrainingCasts(engine, RECIPES.f32, new Scales(), 0, 1);
    const input = { ids: ids('input_ids'), batch, time };
    const { logits, kept } = forward(model, casts, input);
    expect(relativeError(floats(engine, logits), expected('logits'))).toBeLessThan(BOUND);

    const gradients = new Map(table.map((p) => [p.name, zeros(engine, p.shape, 'float32')]));
    const rows = batch * time;
    const loss = crossEntropy(engine, logits, ids('targets'), 1 / rows) / rows;
    expect(Math.abs(loss / expected('loss')[0] - 1)).toBeLessThan(BOUND);
    backward(model, casts, input, kept, logits, gradients);

    let compared = 0;
    for (const { name: own, parts } of table) {
      const gradient = floats(engine, gradients.get(own)!);
      let at = 0;
      for (const part of parts) {
        const truth = expected(`grad.${part.name}`);
        const error = relativeError(gradient.subarray(at, at + truth.length), truth);
        expect(error, part.name).toBeLessThan(BOUND);
        at += truth.length;
        compared++;
      }
    }
    expect(compared).toBe([...file.tensors.keys()].filter((key) => key.startsWith('grad.')).length);
  });
});
