/** Block formats: scales against the definitions written out another way, codes against encode, whole tensors against bounds. */
import { describe, expect, it } from 'vitest';
import {
  BLOCK_FORMATS,
  type BlockOptions,
  decode,
  decodeBlocks,
  encode,
  encodeBlocks,
  finfo,
  SCALE_MODES,
  type ScaleMode,
} from '../src/formats/index.js';
import { Random } from './helpers/rng.js';

const MX = Object.entries(BLOCK_FORMATS).filter(([name]) => name.startsWith('mx'));

/** The exponent of an E8M0 scale of one block, from base-2 logarithms of float64 and search instead of bits. */
function exponentBySearch(amax: number, dtype: string, mode: ScaleMode): number {
  const { max, digits, maxExponent } = finfo(dtype);
  const candidates = Array.from({ length: 255 }, (_, code) => code - 127);
  if (mode === 'rceil') {
    const quotient = Math.fround(amax * Math.fround(1 / max));
    return candidates.find((e) => 2 ** e >= quotient) ?? 127;
  }
  // 2^(e + emax) <= amax, or the first not below it for ceil; `even` first rounds amax to `digits` significant bits.
  let x = amax;
  if (mode === 'even' && amax > 0) {
    const quantum = 2 ** (Math.floor(Math.log2(amax)) - (digits - 1));
    x = Math.floor(amax / quantum + 0.5) * quantum;
  }
  if (mode === 'ceil') return candidates.find((e) => 2 ** (e + maxExponent) >= x) ?? 127;
  return candidates.findLast((e) => 2 ** (e + maxExponent) <= x) ?? -127;
}

describe.each(MX)('%s', (_, options) => {
  const { max } = finfo(options.dtype);

  it.each(SCALE_MODES)('%s: the scale of every kind of largest value', (mode) => {
    const random = new Random(1);
    const near = [max, 2 * max, max / 4, 1, 1.5, 2, 448, 57344].flatMap((x) => [
      x,
      x * (1 + 2 ** -23),
      x * (1 - 2 ** -24),
      x * (1 - 2 ** -5),
      x * 1.0625,
    ]);
    const peaks = [0, 2 ** -149, 2 ** -127, 2 ** -126, 2 ** 127, 3.4e38, ...near, ...random.wide(300, -140, 127)].map(
      (x) => Math.fround(Math.abs(x)),
    );
    const values = peaks.flatMap((peak) => Array.from({ length: 32 }, (_, i) => (i === 7 ? -peak : peak / 4)));
    const { scales } = encodeBlocks(values, [peaks.length, 32], { ...options, mode });
    const wrong = peaks.filter((peak, i) => scales[i] - 127 !== exponentBySearch(peak, options.dtype, mode));
    expect(wrong).toEqual([]);
  });

  it('codes are those of value / scale, saturating, and decode gives code x scale', () => {
    for (const mode of SCALE_MODES) {
      const values = new Random(2).wide(4 * 96, -20, 20);
      const t = encodeBlocks(values, [4, 96], { ...options, mode });
      expect(t.scales.length).toBe(4 * 3);
      const scales = decode(t.scales, 'float8_e8m0fnu');
      const scaleOf = (i: number) => scales[Math.floor(i / 32)];
      const quotients = Array.from(values, (x, i) => x / scaleOf(i));
      expect(t.codes).toEqual(encode(quotients, options.dtype, { saturate: true }));
      const elements = decode(t.codes, options.dtype);
      expect(decodeBlocks(t)).toEqual(elements.map((x, i) => x * scaleOf(i)));
    }
  });

  it('rceil saturates nothing, floor does', () => {
    const values = new Random(3).wide(32 * 200, -6, 6);
    const clipped = (mode: ScaleMode) => {
      const t = encodeBlocks(values, [200, 32], { ...options, mode });
      const scales = decode(t.scales, 'float8_e8m0fnu');
      return values.filter((x, i) => Math.abs(x) > max * scales[Math.floor(i / 32)]).length;
    };
    expect(clipped('rceil')).toBe(0);
    expect(clipped('floor')).toBeGreaterThan(0);
  });

  it('a NaN spoils its block alone; infinity is the largest value', () => {
    const values = new Float32Array(96).fill(1);
    values[40] = Number.NaN;
    values[70] = Number.POSITIVE_INFINITY;
    const t = encodeBlocks(values, [3, 32], options);
    expect(t.scales[1]).toBe(0xff);
    expect(t.scales[2]).toBe(0xfe);
    const back = decodeBlocks(t);
    expect([...back.subarray(0, 32)]).toEqual([...new Float32Array(32).fill(1)]);
    expect(back.subarray(32, 64).every(Number.isNaN)).toBe(true);
    expect(back[70]).toBe(Math.fround(max * 2 ** 127));
  });
});

describe('nvfp4', () => {
  const options = BLOCK_FORMATS.nvfp4;

  it('the largest value comes back whole, all others within the spacing of their block', () => {
    const values = new Random(4).wide(16 * 100, -3, 3);
    const t = encodeBlocks(values, [100, 16], options);
    const back = decodeBlocks(t);
    const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    expect(Math.max(...t.scales)).toBe(0x7e);
    expect(t.tensorScale).toBe(Math.fround(largest / (6 * 448)));
    const scales = decode(t.scales, 'float8_e4m3fn');
    values.forEach((x, i) => {
      const factor = scales[Math.floor(i / 16)] * t.tensorScale;
      // Half the widest spacing of E2M1 (2), or what lies beyond 6 when the scale was rounded down (a sixteenth).
      expect(Math.abs(back[i] - x)).toBeLessThanOrEqual(factor * Math.max(1, Math.abs(x) / factor - 6) * (1 + 1e-6));
    });
  });

  it('zeros, and blocks too small for a scale, are zeros', () => {
    expect([...decodeBlocks(encodeBlocks(new Float32Array(32), [2, 16], options))]).toEqual(Array(32).fill(0));
    const values = new Float32Array(32).fill(1e-12, 0, 16).fill(1000, 16);
    const back = decodeBlocks(encodeBlocks(values, [2, 16], options));
    expect([...back.subarray(0, 16)]).toEqual(Array(16).fill(0));
    expect(Math.abs(back[16] / 1000 - 1)).toBeLessThan(0.07);
  });
});

describe('blocks of float8 with float32 scales', () => {
  const cases: [string, BlockOptions][] = [
    ['1x128', { dtype: 'float8_e4m3fn', block: [1, 128], scale: 'float32' }],
    ['128x128', { dtype: 'float8_e4m3fn', block: [128, 128], scale: 'float32' }],
    ['1x128, powers of two', { dtype: 'float8_e5m2', block: [1, 128], scale: 'power-of-two' }],
    ['128x128, powers of two', { dtype: 'float8_e4m3fn', block: [128, 128], scale: 'power-of-two' }],
  ];

  it.each(cases)('%s, edges and all', (_, options) => {
    const [rows, columns] = [130, 300];
    const values = new Random(5).wide(rows * columns, -8, 8);
    const t = encodeBlocks(values, [rows, columns], options);
    const [blockRows, blockColumns] = options.block;
    const across = Math.ceil(columns / blockColumns);
    expect(t.scales.length).toBe(Math.ceil(rows / blockRows) * across);
    const { max, eps, smallestSubnormal } = finfo(options.dtype);
    const largest = new Float64Array(t.scales.length);
    const blockAt = (i: number) =>
      Math.floor(Math.floor(i / columns) / blockRows) * across + Math.floor((i % columns) / blockColumns);
    values.forEach((x, i) => {
      largest[blockAt(i)] = Math.max(largest[blockAt(i)], Math.abs(x));
    });
    largest.forEach((amax, i) => {
      if (options.scale === 'float32') expect(t.scales[i]).toBe(Math.fround(amax / max));
      else {
        expect(Number.isInteger(Math.log2(t.scales[i]))).toBe(true);
        expect(t.scales[i] * max).toBeGreaterThanOrEqual(amax);
        expect((t.scales[i] / 2) * max).toBeLessThan(amax * (1 + 1e-6));
      }
    });
    const back = decodeBlocks(t);
    values.forEach((x, i) => {
      const bound = Math.max((eps / 2) * Math.abs(x), (smallestSubnormal / 2) * t.scales[blockAt(i)]);
      expect(Math.abs(back[i] - x)).toBeLessThanOrEqual(bound * (1 + 1e-6));
    });
  });
});

it('what does not fit is refused by name', () => {
  const values = new Float32Array(64);
  const options = BLOCK_FORMATS.mxfp8_e4m3;
  const bad = (change: object) => () => encodeBlocks(values, [2, 32], { ...options, ...change } as BlockOptions);
  expect(bad({ dtype: 'bf16' })).toThrow(/^dtype: expected a signed format of at most 8 bits, got bfloat16$/);
  expect(bad({ dtype: 'e8m0' })).toThrow(RangeError);
  expect(bad({ scale: 'float16' })).toThrow(/^scale: expected one of float8_e8m0fnu, .*, got 'float16'$/);
  expect(bad({ mode: 'nearest' })).toThrow(/^mode: expected one of floor, ceil, rceil, even, got 'nearest'$/);
  expect(bad({ block: [1, 0] })).toThrow(/^shape and block: expected positive integers, got 0$/);
  expect(() => encodeBlocks(values, [2, 33], options)).toThrow(
    /^values: expected 66 numbers for shape \[2, 33\], got 64$/,
  );
  expect(() => encodeBlocks(Array(32).fill('1'), [1, 32], options)).toThrow(TypeError);
  expect(() => encodeBlocks(values, [4, 16], options)).toThrow(
    /^shape: expected whole blocks of \[1,32\], got \[4,16\]$/,
  );
  expect(() => encodeBlocks(values, [8, 8], BLOCK_FORMATS.nvfp4)).toThrow(RangeError);
  const t = encodeBlocks(values, [2, 32], options);
  expect(() => decodeBlocks({ ...t, shape: [4, 16] })).toThrow(/^shape: expected whole blocks/);
  const scaled = encodeBlocks(values, [2, 32], { ...options, scale: 'float32' });
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => decodeBlocks({ ...scaled, scales: Float32Array.of(1, bad) })).toThrow(
      `scales[1]: expected a finite number, got ${bad}`,
    );
    expect(() => decodeBlocks({ ...t, tensorScale: bad })).toThrow(/^tensorScale: expected a finite number/);
    expect(() => encodeBlocks([bad], [1, 1], { ...options, scale: 'float32' })).toThrow(
      `values[0]: expected a finite number for float32 scales, got ${bad}`,
    );
  }
  expect(() => decodeBlocks({ ...t, scales: new Uint8Array(1) })).toThrow(/expected 64 codes and 2 scales/);
  expect(() => decodeBlocks({ ...t, scale: 'float8_e8m0' as never })).toThrow(
    /^scale: expected one of float8_e8m0fnu, /,
  );
  for (const [dtype, scale, size, most] of [
    ['fp8', 'float32', 1, 448],
    ['fp4', 'float8_e4m3fn', 16, 6 * 448],
    ['fp4', 'power-of-two', 1, 6],
  ] as const) {
    const beyond = [1e300, ...Array(15).fill(1)];
    expect(() => encodeBlocks(beyond, [1, 16], { dtype, block: [1, size], scale })).toThrow(
      `values: expected magnitudes that a float32 times ${most} reaches, got 1e+300`,
    );
  }
});
