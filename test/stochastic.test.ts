/** Stochastic rounding: which random bits decide what, and that it is unbiased. */
import { describe, expect, it } from 'vitest';
import { type EncodeOptions, encode, encodeValue, formatSpec, philoxHalf, round } from '../src/formats/index.js';
import { neighbour, randomFloats, SIGNED } from './helpers/formats.js';

describe('stochastic rounding', () => {
  it('goes up exactly when the random number is below the fraction', () => {
    const spec = formatSpec('float8_e4m3fn');
    const one = encodeValue(1, spec);
    for (const k of [1, 2, 0x555555, 0x800000, 0xffffff]) {
      const x = 1 + 0.125 * (k / 2 ** 24);
      expect(encodeValue(x, spec, { rounding: 'stochastic', random: (k - 1) / 2 ** 24 })).toBe(one + 1);
      expect(encodeValue(x, spec, { rounding: 'stochastic', random: k / 2 ** 24 })).toBe(one);
      expect(encodeValue(neighbour(x, 1n), spec, { rounding: 'stochastic', random: k / 2 ** 24 })).toBe(one + 1);
    }
  });

  it('uses 16 bits, all of them', () => {
    const halves = Array.from({ length: 257 }, (_, i) => philoxHalf(i, 0, 0, 11));
    const options: EncodeOptions = { rounding: 'stochastic', seed: 11 };
    const at = halves.map((r) => 1 + 0.125 * (r / 2 ** 16));
    const above = halves.map((r) => 1 + 0.125 * ((r + 2 ** -9) / 2 ** 16));
    expect([...round(at, 'fp8', options)]).toEqual(halves.map(() => 1));
    expect([...round(above, 'fp8', options)]).toEqual(halves.map(() => 1.125));
  });

  it('has an expected value above q by less than 2^-16 quanta, and equal to q where the fraction has at most 16 bits', () => {
    const spec = formatSpec('fp8');
    const one = encodeValue(1, spec);
    for (const fraction of [2 ** -16, 0.3, 0.5, 1 / 3, 2 ** -40, 1 - 2 ** -16, 1 - 2 ** -40, 0x5555 / 2 ** 16]) {
      // All equally likely random numbers near the one that decides; those below go up, those above do not.
      const first = Math.max(0, Math.floor(fraction * 65536) - 2);
      let up = first;
      for (let r = first; r < Math.min(65536, first + 5); r++) {
        up += encodeValue(1 + 0.125 * fraction, spec, { rounding: 'stochastic', random: r / 65536 }) - one;
      }
      const bias = up / 65536 - fraction;
      expect(bias, `${fraction}`).toBeGreaterThanOrEqual(0);
      expect(bias, `${fraction}`).toBeLessThan(2 ** -16);
      if (Number.isInteger(fraction * 65536)) expect(bias, `${fraction}`).toBe(0);
    }
  });

  it.each(SIGNED)('%s: element i uses half i of stream 0, step 0', (dtype) => {
    const seed = 2 ** 40 + 17;
    const spec = formatSpec(dtype);
    const x = randomFloats(1001, -18, 10);
    const options: EncodeOptions = { rounding: 'stochastic', seed };
    const expected = x.map((value, i) => {
      const random = philoxHalf(i, 0, 0, seed) / 2 ** 16;
      const clamped = spec.saturates ? Math.max(-spec.max, Math.min(spec.max, value)) : value;
      let quantum = spec.smallestSubnormal;
      while (Math.abs(clamped) >= quantum * 2 ** (spec.manBits + 1)) quantum *= 2;
      const q = Math.abs(clamped) / quantum;
      const rounded = Math.floor(q) + (random < q - Math.floor(q) ? 1 : 0);
      return rounded === 0 && !spec.hasNegativeZero ? 0 : Math.sign(value) * rounded * quantum;
    });
    expect([...round(x, dtype, options)]).toEqual(expected);
    expect([...round(x, dtype, { ...options, seed: 17 })]).not.toEqual(expected);
  });

  it.each([
    [1 + 0.125 * 0.3, 1, 0.125],
    [-0.8 * 2 ** -9, -0, -(2 ** -9)],
  ])('is unbiased: the mean of %f', (x, from, step) => {
    const count = 65536;
    const values = round(new Float64Array(count).fill(x), 'float8_e4m3fn', { rounding: 'stochastic', seed: 3 });
    const mean = values.reduce((sum, value) => sum + (value - from) / step, 0) / count;
    const p = (x - from) / step;
    // Five standard deviations of a mean of 65,536 draws; the seed is fixed, so this cannot flicker.
    expect(Math.abs(mean - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / count));
  });

  it('needs a seed, and in one value a random number', () => {
    expect(() => encode([1], 'fp8', { rounding: 'stochastic' })).toThrow(TypeError);
    expect(() => encode([1], 'fp8', { rounding: 'stochastic', seed: -1 })).toThrow(RangeError);
    const spec = formatSpec('fp8');
    expect(() => encodeValue(1, spec, { rounding: 'stochastic' })).toThrow(TypeError);
    expect(() => encodeValue(1, spec, { rounding: 'stochastic', random: 1 })).toThrow(RangeError);
    expect(() => encodeValue(1, spec, { rounding: 'stochastic', random: Number.NaN })).toThrow(RangeError);
  });
});
