/** Our rounding against onnxruntime's, whose code is not ours: all 16-bit floats and random bits. All of float32: test/slow. */
import { describe, expect, it } from 'vitest';
import { decode, round } from '../src/formats/index.js';
import { ONNX_FLOAT8, onnxRound } from './helpers/onnxruntime.js';
import { Random } from './helpers/rng.js';

const ALL_16 = Uint16Array.from({ length: 65536 }, (_, code) => code);
const INPUTS = Float32Array.from([
  ...decode(ALL_16, 'bfloat16'),
  ...decode(ALL_16, 'float16'),
  ...new Random(1).patterns(100_000),
]);

const differences = (ours: ArrayLike<number>, theirs: ArrayLike<number>): number[] =>
  [...INPUTS].filter((_, i) => !Object.is(ours[i], theirs[i]));

describe.each(ONNX_FLOAT8)('%s', (dtype) => {
  it('saturating: the same values', async () => {
    const theirs = await (await onnxRound(dtype, true))(INPUTS);
    expect(differences(round(INPUTS, dtype, { saturate: true }), theirs)).toEqual([]);
  });

  it('not saturating: the same but for the departures docs/numerics.md names', async () => {
    const theirs = await (await onnxRound(dtype, false))(INPUTS);
    const wrong = differences(round(INPUTS, dtype, { saturate: false }), theirs).map(Math.abs);
    // onnxruntime decides overflow before it rounds.
    if (dtype === 'float8_e4m3fn') expect(wrong.every((x) => x >= 480 && x < 496)).toBe(true);
    else if (dtype === 'float8_e5m2') expect(wrong.every((x) => x >= 61440 && x < 65536)).toBe(true);
    else expect(wrong).toEqual([]);
    expect(wrong.length).toBeLessThan(20_000);
  });
});
