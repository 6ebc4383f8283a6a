/** Encoding rounds once, from float64: between adjacent values, at the far ends, in every mode. */
import { describe, expect, it } from 'vitest';
import {
  type DType,
  encode,
  encodeValue,
  finfo,
  formatSpec,
  philoxWord,
  type Rounding,
  round,
} from '../src/formats/index.js';
import {
  CASES,
  FLOAT16,
  independentValue,
  neighbour,
  number,
  ONE_BYTE,
  randomFloats,
  SIGNED,
} from './helpers/formats.js';
import vectors from './vectors/ofp8.json' with { type: 'json' };

/** For two adjacent values: both, the midpoint, and the float64 neighbours of the three that lie between. */
function pointsBetween(low: number, high: number): number[] {
  const middle = (low + high) / 2;
  return [low, neighbour(low, 1n), neighbour(middle, -1n), middle, neighbour(middle, 1n), neighbour(high, -1n), high];
}

/**
 * Rounding by search: the code of x >= 0 among the ascending values of the codes from `first` on. Differences are exact for the two
 * values next to x (Sterbenz), which are the ones that matter.
 */
function search(
  x: number,
  values: readonly number[],
  first: number,
  rounding: Rounding,
  random = 0,
  tiesUp = false,
): number {
  const below = values.findLastIndex((value) => value <= x);
  if (rounding === 'towardZero' || values[below] === x) return first + below;
  if (rounding === 'stochastic') {
    const fraction = (x - values[below]) / (values[below + 1] - values[below]);
    return first + below + (random < fraction ? 1 : 0);
  }
  const distances = values.map((value) => Math.abs(value - x));
  const least = Math.min(...distances);
  const nearest = [...distances.keys()].filter((i) => distances[i] === least).map((i) => first + i);
  if (nearest.length === 1) return nearest[0];
  return rounding === 'tiesToAway' || tiesUp ? Math.max(...nearest) : nearest.find((code) => code % 2 === 0)!;
}

/** The code of a magnitude that may be one beyond the largest, by the table in reference.ts. */
function overflowed(dtype: DType, magnitude: number, negative: boolean, saturate: boolean): number {
  const { maxCode, infCode, nanCode, signCode } = formatSpec(dtype);
  if (signCode === 0 && negative) return saturate ? 0 : nanCode;
  if (magnitude === 0 && nanCode === signCode) return 0;
  const sign = negative ? signCode : 0;
  if (magnitude <= maxCode) return sign + magnitude;
  if (infCode >= 0 && !saturate) return sign + infCode;
  return saturate || nanCode < 0 ? sign + maxCode : nanCode;
}

describe('rounding between adjacent values', () => {
  it.each(ONE_BYTE)('%s: each pair, in every mode, against a search of the whole table', (dtype) => {
    const spec = formatSpec(dtype);
    const values = vectors.ml_dtypes.decode[dtype].slice(0, spec.maxCode + 1).map(number);
    // The value the next code would have, were the exponent not limited: where overflow is decided.
    const isPowers = spec.manBits === 0;
    values.push(isPowers ? 2 * spec.max : 2 * values[spec.maxCode] - values[spec.maxCode - 1]);
    const wrong: unknown[] = [];
    for (let low = 0; low <= spec.maxCode; low++) {
      for (const x of pointsBetween(values[low], values[low + 1])) {
        for (const { rounding, random } of CASES) {
          const magnitude = search(x, values, 0, rounding, random, isPowers);
          for (const saturate of [true, false]) {
            const limited = rounding === 'towardZero' ? Math.min(magnitude, spec.maxCode) : magnitude;
            const options = { rounding, saturate, random };
            for (const negative of [true, false]) {
              const expected = overflowed(dtype, limited, negative, saturate);
              const got = encodeValue(negative ? -x : x, spec, options);
              if (!(got === expected)) wrong.push({ x, negative, ...options, expected, got });
            }
          }
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it.each([...FLOAT16, 'float32'] as const)('%s: each pair (float32: a sample), in every mode', (dtype) => {
    const spec = formatSpec(dtype);
    const floats = new Float32Array(1);
    const patterns = new Uint32Array(floats.buffer);
    const valueAt = (code: number): number => {
      if (code > spec.maxCode) return 2 * spec.max - valueAt(spec.maxCode - 1);
      if (dtype !== 'float32') return independentValue(dtype, code);
      patterns[0] = code;
      return floats[0];
    };
    const lows =
      dtype === 'float32'
        ? Array.from({ length: 4000 }, (_, i) => philoxWord(i, 0, 0, 2) % (spec.maxCode + 1)).concat(0, spec.maxCode)
        : Array.from({ length: spec.maxCode + 1 }, (_, code) => code);
    const wrong: unknown[] = [];
    for (const low of lows) {
      const window = [valueAt(low), valueAt(low + 1)];
      const negative = low % 3 === 0;
      for (const x of pointsBetween(window[0], window[1])) {
        for (const { rounding, random } of CASES) {
          const magnitude = search(x, window, low, rounding, random);
          const limited = rounding === 'towardZero' ? Math.min(magnitude, spec.maxCode) : magnitude;
          const expected = overflowed(dtype, limited, negative, false);
          const got = encodeValue(negative ? -x : x, spec, { rounding, random });
          if (!(got === expected)) wrong.push({ x, negative, rounding, random, expected, got });
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it('float32 is Math.fround', () => {
    const x = [...randomFloats(20000, -160, 130), Number.MAX_VALUE, -5e-324, 2 ** 128 - 2 ** 103, -0, Number.NaN];
    const got = round(x, 'float32');
    expect(x.filter((value, i) => !Object.is(got[i], Math.fround(value)))).toEqual([]);
  });

  it('bfloat16 of a float32 is the textbook integer rounding of its bits', () => {
    const x = Float32Array.from(randomFloats(20000, -145, 128));
    const patterns = new Uint32Array(x.buffer);
    const got = encode(x, 'bfloat16');
    const expected = Uint16Array.from(patterns, (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
    expect(got).toEqual(expected);
  });

  it.each(SIGNED)('%s is what adding and subtracting 1.5 * 2^52 quanta gives', (dtype) => {
    const { manBits, smallestNormal, max, hasNegativeZero } = formatSpec(dtype);
    const x = randomFloats(5000, Math.log2(smallestNormal) - manBits - 2, Math.log2(smallestNormal) + 30);
    const got = round(x, dtype, { saturate: true });
    const wrong = x.filter((value, i) => {
      let quantum = smallestNormal * 2 ** -manBits;
      while (Math.abs(value) >= quantum * 2 ** (manBits + 1)) quantum *= 2;
      const magic = 1.5 * 2 ** 52 * quantum;
      const rounded = Math.min(Math.abs(value) + magic - magic, max);
      return !Object.is(got[i], value < 0 && (rounded > 0 || hasNegativeZero) ? -rounded : rounded);
    });
    expect(wrong).toEqual([]);
  });
});

describe('one rounding', () => {
  it.each([
    // Just above a tie that float32 cannot tell from the tie, and just below one.
    ['float8_e4m3fn', 1.0625 + 2 ** -30, 1.125, 1],
    ['float8_e4m3fn', 1.1875 - 2 ** -30, 1.125, 1.25],
    ['float8_e4m3', -(1.0625 + 2 ** -40), -1.125, -1],
    ['float8_e5m2', 1.125 + 2 ** -30, 1.25, 1],
    ['bfloat16', 1 + 2 ** -8 + 2 ** -40, 1 + 2 ** -7, 1],
    ['float16', 1 + 2 ** -11 + 2 ** -40, 1 + 2 ** -10, 1],
  ] as const)('%s: %f is %f, not %f as by way of float32', (dtype, x, once, twice) => {
    expect(round([x], dtype)[0]).toBe(once);
    expect(round([Math.fround(x)], dtype)[0]).toBe(twice);
  });
});

describe('overflow', () => {
  it('saturates by default in the 8-bit formats and nowhere else', () => {
    for (const dtype of ONE_BYTE)
      expect(round([1e300, -Number.POSITIVE_INFINITY], dtype)).toEqual(
        Float64Array.of(finfo(dtype).max, finfo(dtype).min),
      );
    for (const dtype of [...FLOAT16, 'float32']) {
      expect([...round([1e300, -1e300], dtype)]).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
      expect([...round([1e300, -1e300], dtype, { saturate: true })]).toEqual([finfo(dtype).max, finfo(dtype).min]);
    }
  });

  it.each([...SIGNED, 'float32'] as DType[])('%s: the far ends of float64, in every mode', (dtype) => {
    const spec = formatSpec(dtype);
    const infinite = spec.hasInf ? spec.infCode : spec.hasNaN ? spec.nanCode : spec.maxCode;
    const sign = spec.hasInf || !spec.hasNaN ? spec.signCode : 0;
    for (const { rounding, random } of CASES) {
      const code = (x: number, saturate: boolean) => encodeValue(x, spec, { rounding, saturate, random });
      const up = rounding === 'stochastic' && random === 0 ? 1 : 0;
      expect(code(Number.MAX_VALUE, true)).toBe(spec.maxCode);
      expect(code(-Number.MAX_VALUE, true)).toBe(spec.signCode + spec.maxCode);
      expect(code(Number.MAX_VALUE, false)).toBe(rounding === 'towardZero' ? spec.maxCode : infinite);
      expect(code(Number.POSITIVE_INFINITY, true)).toBe(spec.maxCode);
      expect(code(Number.POSITIVE_INFINITY, false)).toBe(infinite);
      expect(code(Number.NEGATIVE_INFINITY, false)).toBe(sign + infinite);
      expect(code(5e-324, true)).toBe(up);
      expect(code(-5e-324, false)).toBe(up || spec.hasNegativeZero ? spec.signCode + up : 0);
      expect(code(-0, true)).toBe(spec.hasNegativeZero ? spec.signCode : 0);
      expect(code(Number.NaN, true)).toBe(spec.hasNaN ? spec.nanCode : spec.maxCode);
    }
  });

  it('float8_e8m0fnu: the far ends of float64, zero and negative numbers, in every mode', () => {
    const spec = formatSpec('float8_e8m0fnu');
    for (const { rounding, random } of CASES) {
      const code = (x: number, saturate: boolean) => encodeValue(x, spec, { rounding, saturate, random });
      expect(code(Number.MAX_VALUE, true)).toBe(254);
      expect(code(Number.MAX_VALUE, false)).toBe(rounding === 'towardZero' ? 254 : 255);
      expect(code(2 ** 1023, false)).toBe(rounding === 'towardZero' ? 254 : 255);
      expect(code(Number.POSITIVE_INFINITY, true)).toBe(254);
      expect(code(Number.POSITIVE_INFINITY, false)).toBe(255);
      for (const tiny of [5e-324, 2 ** -500, 2 ** -128]) expect(code(tiny, false)).toBe(0);
      for (const none of [0, -0, -1, -Number.MAX_VALUE, Number.NEGATIVE_INFINITY]) {
        expect(code(none, true)).toBe(0);
        expect(code(none, false)).toBe(255);
      }
      expect(code(Number.NaN, true)).toBe(255);
    }
  });
});
