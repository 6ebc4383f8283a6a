/** Casts to blocks, bit for bit against `encodeBlocks`, whichever way the blocks lie, on every build. */
import { describe, expect, it } from 'vitest';
import { encodeBlocks } from '../src/formats/blocks.js';
import { type DType, formatSpec } from '../src/formats/index.js';
import { type BlockScaleMode, quantizeBlocks } from '../src/ops/quantize-blocks.js';
import type { BlockScales } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { place, placeFloats, sample } from './helpers/cases.js';
import { expectSame, expectSameBytes, expectSameNumber } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { amax } from './reference/lanes.js';
import { encodeStochastic, health, valuesOf } from './reference/quantize.js';

const onEveryBuild = useBuilds();

const DTYPES: readonly DType[] = ['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3'];
const MODES: readonly BlockScaleMode[] = ['rceil', 'floor'];
/** Sizes with and without an edge, for blocks along a row, down a column, both ways, and as long as either. */
const SHAPES = [
  [1, 4],
  [9, 33],
  [70, 132],
  [131, 260],
] as const;
const blocksFor = ([rows, columns]: readonly [number, number]) =>
  [
    [1, 32],
    [32, 1],
    [1, 128],
    [128, 1],
    [128, 128],
    [1, columns],
    [rows, 1],
  ] as const;

const scalesOf = (engine: { arena: { buffer: ArrayBufferLike } }, { blocks }: BlockScales, count: number) =>
  new Float32Array(engine.arena.buffer, blocks, count).slice();

describe.each(DTYPES)('%s', (dtype) => {
  it.each(SHAPES)('%i x %i: codes, scales and what was seen', (...shape) => {
    const [rows, columns] = shape;
    const random = new Random(rows);
    for (const source of ['float32', 'bfloat16'] as const) {
      // Some binades, and far more than a format has, so that blocks hold zeros and numbers that become zero.
      for (const span of [3, 90]) {
        const numbers = random.wide(rows * columns, -span, 3).map((x) => (random.uniform() < 0.05 ? 0 : x));
        const t = sample(numbers, shape, source);
        const rowFactor = Float32Array.from({ length: rows }, () => 2 ** random.integer(-4, 4));
        const columnFactor = Float32Array.from({ length: columns }, () => 2 ** random.integer(-4, 4));
        for (const block of blocksFor(shape)) {
          for (const mode of MODES) {
            const factors = random.uniform() < 0.5;
            const values = factors ? valuesOf(t.values, columns, 1, rowFactor, columnFactor) : t.values;
            const expected = encodeBlocks(values, shape, { dtype, block, mode, scale: 'power-of-two' });
            const scales = expected.scales as Float32Array<ArrayBuffer>;
            const scaleAt = (i: number) =>
              scales[
                Math.floor(Math.floor(i / columns) / block[0]) * Math.ceil(columns / block[1]) +
                  Math.floor((i % columns) / block[1])
              ];
            const quotients = values.map((x, i) => x / scaleAt(i));
            const seen = { ...health(quotients, 1, expected.codes, dtype), amax: amax(values) };
            onEveryBuild((engine, name) => {
              const label = `${name}, ${source}, [${block}] ${mode}`;
              const factorsAt = factors
                ? { rowFactor: placeFloats(engine, rowFactor), columnFactor: placeFloats(engine, columnFactor) }
                : {};
              const got = quantizeBlocks(engine, place(engine, t), { dtype, block, mode, ...factorsAt });
              expectSameBytes(engine.codes(got.codes), expected.codes, `${label}: codes`);
              expectSame(
                scalesOf(engine, got.codes.scaleInv as BlockScales, scales.length),
                scales,
                `${label}: scales`,
              );
              for (const key of ['amax', 'saturated', 'underflowed'] as const) {
                expectSameNumber(got.health[key], seen[key], `${label}: ${key}`);
              }
            });
          }
        }
      }
    }
  });

  it('stochastic rounding takes the words of the positions in the tensor, however it is cut', () => {
    const shape = [40, 136] as const;
    const at = { seed: 2 ** 40 + 1, stream: 3, step: 4 };
    const random = new Random(5);
    const t = sample(random.normals(shape[0] * shape[1]), shape, 'bfloat16');
    for (const block of blocksFor(shape)) {
      const { scales } = encodeBlocks(t.values, shape, { dtype, block, scale: 'power-of-two' });
      const across = Math.ceil(shape[1] / block[1]);
      const quotients = t.values.map(
        (x, i) =>
          x / scales[Math.floor(Math.floor(i / shape[1]) / block[0]) * across + Math.floor((i % shape[1]) / block[1])],
      );
      const expected = encodeStochastic(quotients, dtype, at, true);
      onEveryBuild((engine, name) => {
        const options = { dtype, block, rounding: 'stochastic', random: at } as const;
        const { codes } = quantizeBlocks(engine, place(engine, t), options);
        expectSameBytes(engine.codes(codes), expected, `${name}: [${block}]`);
      });
    }
  });
});

it('a NaN spoils its block alone, infinity is the largest value', () => {
  const values = new Float32Array(96).fill(1);
  values[40] = Number.NaN;
  values[70] = Number.POSITIVE_INFINITY;
  const t = sample(values, [3, 32], 'float32');
  onEveryBuild((engine, name) => {
    const { codes, health: seen } = quantizeBlocks(engine, place(engine, t), {
      dtype: 'float8_e4m3fn',
      block: [1, 32],
    });
    const scales = scalesOf(engine, codes.scaleInv as BlockScales, 3);
    expectSame(scales, Float32Array.of(2 ** -8, Number.NaN, 2 ** 127), name);
    const got = engine.codes(codes) as Uint8Array;
    const { max, nanCode, maxCode } = formatSpec('float8_e4m3fn');
    expect([...got.subarray(0, 32)].every((code) => code === got[0]) && got[0] < maxCode, name).toBe(true);
    expect(
      [...got.subarray(32, 64)].every((code) => code === nanCode),
      name,
    ).toBe(true);
    expect(got[70], `${name}: ${max}`).toBe(maxCode);
    expect(seen.amax, name).toBeNaN();
  });
});

it('rows longer than a unit, in blocks and as one block', () => {
  const columns = 2 ** 17 + 96;
  const values = new Random(17).normals(columns);
  // Each end of the row alone would have another scale.
  values[columns - 1] = 1000;
  for (const size of [32, columns]) {
    const block = [1, size] as const;
    const expected = encodeBlocks(values, [1, columns], { dtype: 'float8_e4m3fn', block, scale: 'power-of-two' });
    onEveryBuild((engine, name) => {
      const source = engine.tensor(values, [1, columns], 'float32');
      const { codes } = quantizeBlocks(engine, source, { dtype: 'float8_e4m3fn', block });
      expectSameBytes(engine.codes(codes), expected.codes, `${name}, blocks of ${size}`);
      engine.free(source);
      engine.free(codes);
    });
  }
});

it('what cannot be cut is refused by name', () => {
  onEveryBuild((engine) => {
    const t = engine.tensor(new Float32Array(12), [2, 6], 'float32');
    const cast = (options: object) => () =>
      quantizeBlocks(engine, t, { dtype: 'float8_e4m3fn', block: [1, 4], ...options });
    expect(cast({ dtype: 'float8_e8m0fnu' })).toThrow(/^dtype: expected a format of 8 bits with a sign for blocks/);
    expect(cast({ rounding: 'stochastic' })).toThrow(TypeError);
    expect(cast({ rounding: 'stochastic', random: { seed: 1, stream: 0, step: 0 } })).toThrow(/a multiple of 4/);
  });
});
