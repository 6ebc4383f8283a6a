import { describe, expect, it } from 'vitest';
import {
  DTYPES,
  type DType,
  decode,
  decodeValue,
  dtypeOf,
  type EncodeOptions,
  encode,
  encodeValue,
  finfo,
  formatSpec,
  philoxHalf,
  philoxWord,
  ROUNDING_IDS,
  type Rounding,
  round,
  roundingId,
} from '../src/formats/index.js';
import vectors from './vectors/ofp8.json' with { type: 'json' };

const ONE_BYTE = [
  'float8_e4m3fn',
  'float8_e5m2',
  'float8_e4m3',
  'float8_e4m3fnuz',
  'float8_e5m2fnuz',
  'float8_e3m4',
  'float8_e4m3b11fnuz',
  'float8_e8m0fnu',
  'float6_e2m3fn',
  'float6_e3m2fn',
  'float4_e2m1fn',
] as const;
const FLOAT16 = ['bfloat16', 'float16'] as const;
const SIGNED = [...ONE_BYTE, ...FLOAT16].filter((dtype) => dtype !== 'float8_e8m0fnu');

/** Every mode, stochastic with random numbers around the points where a tie or a neighbour of a code decides. */
const CASES: { rounding: Rounding; random?: number }[] = [
  { rounding: 'tiesToEven' },
  { rounding: 'tiesToAway' },
  { rounding: 'towardZero' },
  ...[0, 0.5 - 2 ** -24, 0.5, 1 - 2 ** -24].map((random) => ({ rounding: 'stochastic' as const, random })),
];

/** The vectors spell what JSON cannot. */
const number = (value: number | string): number => (value === '-0' ? -0 : Number(value));
const hex = (code: string): number => Number.parseInt(code, 16);

const bits64 = new BigInt64Array(1);
const floats64 = new Float64Array(bits64.buffer);

/** The next float64 above (or below) a finite x >= 0; below 0 there is no need. */
function neighbour(x: number, step: 1n | -1n): number {
  floats64[0] = x;
  bits64[0] += step;
  return floats64[0];
}

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

/** Decoding written out another way, for the formats the vectors do not list. */
function independentValue(dtype: 'bfloat16' | 'float16', code: number): number {
  if (dtype === 'bfloat16') return new Float32Array(Uint32Array.of(code << 16).buffer)[0];
  const exponent = (code >> 10) & 31;
  const fraction = (code & 1023) / 1024;
  const magnitude = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
  const special = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  return (code >> 15 ? -1 : 1) * (exponent === 31 ? special : magnitude);
}

/** Random float64s with all 53 bits, log-uniform over the exponents given; seeded. */
function randomFloats(count: number, minExponent: number, maxExponent: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const [a, b, c] = [0, 1, 2].map((stream) => philoxWord(i, stream, 0, 1));
    const significand = 1 + (a * 2 ** 20 + (b >>> 12)) * 2 ** -52;
    return (c & 1 ? -1 : 1) * significand * 2 ** (minExponent + ((c >>> 1) % (maxExponent - minExponent)));
  });
}

describe('the specification', () => {
  it.each(Object.entries(vectors.limits.formats))(
    '%s has the limits and special codes of the tables',
    (name, facts) => {
      const dtype = name as DType;
      const spec = formatSpec(dtype);
      expect(finfo(dtype)).toMatchObject({
        dtype,
        bits: 8,
        max: facts.max,
        min: -facts.max,
        eps: facts.eps,
        smallestNormal: facts.smallestNormal,
        smallestSubnormal: facts.smallestSubnormal,
      });
      expect(spec.bias).toBe(facts.bias);
      expect(spec.maxCode).toBe(hex(facts.maxCode));
      expect(spec.hasInf).toBe(facts.inf.length > 0);
      expect(decodeValue(2 ** spec.manBits - 1, spec)).toBe(facts.largestSubnormal);

      const codes = Array.from({ length: 256 }, (_, code) => code);
      const having = (test: (value: number) => boolean) => codes.filter((code) => test(decodeValue(code, spec)));
      expect(having(Number.isNaN)).toEqual(facts.nan.map(hex));
      expect(having((value) => Math.abs(value) === Number.POSITIVE_INFINITY)).toEqual(facts.inf.map(hex));
      expect(having((value) => value === 0)).toEqual(facts.zero.map(hex));
    },
  );

  it('the wider formats have the limits of IEEE 754 and of bfloat16', () => {
    expect(finfo('float16')).toMatchObject({ max: 65504, eps: 2 ** -10, smallestNormal: 2 ** -14 });
    expect(finfo('float16').smallestSubnormal).toBe(2 ** -24);
    expect(finfo('bfloat16')).toMatchObject({ max: 3.3895313892515355e38, eps: 2 ** -7, smallestNormal: 2 ** -126 });
    expect(finfo('bfloat16').smallestSubnormal).toBe(2 ** -133);
    expect(finfo('float32')).toMatchObject({ max: 3.4028234663852886e38, eps: 2 ** -23, smallestNormal: 2 ** -126 });
    expect(finfo('float32').smallestSubnormal).toBe(2 ** -149);
  });

  it('the id of a format is its place in DTYPES', () => {
    expect(DTYPES.map((dtype) => formatSpec(dtype).id)).toEqual(DTYPES.map((_, id) => id));
    expect(DTYPES.map((dtype) => formatSpec(dtype).bytes)).toEqual([4, 2, 2, ...ONE_BYTE.map(() => 1)]);
  });
});

describe('names', () => {
  it.each([
    ['float8_e4m3fn', 'F8_E4M3 FLOAT8E4M3FN e4m3fn fp8 FP8 f8E4M3FN Float8_E4M3FN'],
    ['float8_e5m2', 'e5m2 F8_E5M2 FLOAT8E5M2 f8E5M2 fp8_e5m2'],
    ['float8_e4m3', 'float8_e4m3 FLOAT8_E4M3'],
    ['float8_e4m3fnuz', 'F8_E4M3FNUZ FLOAT8E4M3FNUZ e4m3fnuz fp8_e4m3fnuz'],
    ['float8_e5m2fnuz', 'F8_E5M2FNUZ FLOAT8E5M2FNUZ'],
    ['float8_e3m4', 'e3m4 f8E3M4'],
    ['float8_e4m3b11fnuz', 'f8E4M3B11FNUZ'],
    ['float8_e8m0fnu', 'F8_E8M0 FLOAT8E8M0 e8m0 f8E8M0FNU'],
    ['float6_e2m3fn', 'F6_E2M3 e2m3 f6E2M3FN fp6_e2m3'],
    ['float6_e3m2fn', 'F6_E3M2 e3m2'],
    ['float4_e2m1fn', 'F4 fp4 FLOAT4E2M1 e2m1 f4E2M1FN'],
    ['bfloat16', 'bf16 BF16 BFLOAT16'],
    ['float16', 'f16 fp16 F16 half'],
    ['float32', 'f32 fp32 F32 FLOAT float32'],
  ])('%s is also %s', (dtype, aliases) => {
    for (const alias of aliases.split(' ')) expect(dtypeOf(alias)).toBe(dtype);
  });

  it('refuses the unknown, the ambiguous and what is not a string', () => {
    expect(() => dtypeOf('float8_e6m1')).toThrow(/^dtype: expected one of float32, .*, got 'float8_e6m1'$/);
    expect(() => dtypeOf('float6_e4m3fn')).toThrow(RangeError);
    expect(() => dtypeOf('constructor')).toThrow(RangeError);
    expect(() => dtypeOf('e4m3')).toThrow(/float8_e4m3fn.*448.*float8_e4m3.*240.*got 'e4m3'/);
    expect(() => dtypeOf(3 as unknown as string)).toThrow(TypeError);
    expect(() => finfo(undefined as unknown as string)).toThrow(/^dtype: expected a string .*got undefined$/);
  });
});

describe('truth from outside', () => {
  it.each(ONE_BYTE)('%s: every code decodes as in ml_dtypes', (dtype) => {
    const expected = vectors.ml_dtypes.decode[dtype].map(number);
    const spec = formatSpec(dtype);
    expect(expected.length).toBe(2 ** spec.bits);
    // toBe is Object.is: it tells -0 from 0 and takes NaN for NaN only.
    expected.forEach((value, code) => void expect(decodeValue(code, spec)).toBe(value));
    decode(
      Uint8Array.from(expected, (_, code) => code),
      dtype,
    ).forEach((value, code) => void expect(value).toBe(expected[code]));
  });

  it.each([...ONE_BYTE, ...FLOAT16])(
    '%s: casts agree with ml_dtypes and numpy, save for the sign of a NaN',
    (dtype) => {
      const digits = formatSpec(dtype).bytes * 2;
      const expected = vectors.ml_dtypes.codes[dtype].match(new RegExp(`.{${digits}}`, 'g'))!.map(hex);
      const inputs = vectors.ml_dtypes.inputs.map(number);
      expect(expected.length).toBe(inputs.length);
      const { signCode, nanCode, maxCode } = formatSpec(dtype);
      // A NaN without a code becomes -0 there; here, as in cuda_fp6.h and cuda_fp4.h, the largest value.
      const canonical = expected.map((code, i) =>
        nanCode < 0
          ? Number.isNaN(inputs[i])
            ? maxCode
            : code
          : code % (signCode || 256) === nanCode
            ? nanCode
            : code,
      );
      expect([...encode(inputs, dtype, { saturate: false })]).toEqual(canonical);
    },
  );

  it.each([...vectors.onnx.casts, ...vectors.papers.casts])('$x as $dtype, saturate $saturate, is $value', (row) => {
    const [value] = round([number(row.x)], row.dtype, { saturate: row.saturate });
    expect(value).toBe(number(row.value));
    if (row.value === 'NaN') {
      const spec = formatSpec(row.dtype);
      expect([...encode([number(row.x)], row.dtype, { saturate: row.saturate })]).toEqual([spec.nanCode]);
    }
  });
});

describe('all codes', () => {
  it.each([...ONE_BYTE, ...FLOAT16])('%s: decode, then encode, is the identity, a NaN becoming canonical', (dtype) => {
    const spec = formatSpec(dtype);
    const codes = (spec.bytes === 1 ? Uint8Array : Uint16Array).from({ length: 2 ** spec.bits }, (_, code) => code);
    const values = decode(codes, dtype);
    for (const { rounding } of CASES) {
      const back = encode(values, dtype, { rounding, saturate: false, seed: 5 });
      const wrong = codes.filter((code) => back[code] !== (Number.isNaN(values[code]) ? spec.nanCode : code));
      expect([...wrong]).toEqual([]);
    }
  });

  it.each(FLOAT16)('%s: every code decodes as an independent formula says', (dtype) => {
    const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
    const values = decode(codes, dtype);
    expect([...codes.filter((code) => !Object.is(values[code], independentValue(dtype, code)))]).toEqual([]);
  });

  it('float32: codes are the floats, and bit patterns decode one by one', () => {
    const values = new Float32Array([
      0,
      -0,
      1.5,
      -3.4028234663852886e38,
      2 ** -149,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ]);
    expect(decode(values, 'float32')).toEqual(values);
    const patterns = new Uint32Array(values.buffer);
    values.forEach((value, i) => void expect(decodeValue(patterns[i], formatSpec('float32'))).toBe(value));
    const codes = encode([Number.NaN, -Number.NaN], 'float32');
    expect([...new Uint32Array(codes.buffer)]).toEqual([0x7fc00000, 0x7fc00000]);
  });
});

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

describe('arrays', () => {
  it('come in the kinds documented, with the length of the input', () => {
    expect(encode([0.1, 1000], 'float8_e4m3fn')).toEqual(Uint8Array.of(0x1d, 0x7e));
    expect(decode(Uint8Array.of(0x1d, 0x7e), 'float8_e4m3fn')).toEqual(Float32Array.of(0.1015625, 448));
    expect(encode(Int32Array.of(1, -2), 'BF16')).toEqual(Uint16Array.of(0x3f80, 0xc000));
    expect(encode(Float32Array.of(0.1), 'f32')).toEqual(Float32Array.of(0.1));
    expect(decode([0x3c00], 'float16')).toEqual(Float32Array.of(1));
    expect(decode(Buffer.from([0x38]), 'fp8')).toEqual(Float32Array.of(1));
    expect(round([0.1], 'fp8')).toEqual(Float64Array.of(0.1015625));
    expect(encode([], 'fp8')).toEqual(new Uint8Array(0));
  });

  it('leave the input as it was', () => {
    const values = Float32Array.of(0.1, 1000);
    round(values, 'fp8');
    expect(values).toEqual(Float32Array.of(0.1, 1000));
    expect(decode(values, 'float32').buffer).not.toBe(values.buffer);
  });

  it('of the wrong kind are refused, naming what was expected and what came', () => {
    const any = (value: unknown) => value as number[];
    expect(() => encode(any('12'), 'fp8')).toThrow(/^values: expected .*, got '12'$/);
    expect(() => encode(any(null), 'fp8')).toThrow(TypeError);
    expect(() => encode(any([1, '2']), 'fp8')).toThrow(/^values\[1\]: expected a number, got '2'$/);
    expect(() => encode(any(BigInt64Array.of(1n)), 'fp8')).toThrow(TypeError);
    expect(() => decode(Float32Array.of(1), 'fp8')).toThrow(/^codes: expected Uint8Array .*, got Float32Array$/);
    expect(() => decode(Uint8Array.of(1, 2), 'bf16')).toThrow(/^codes: expected Uint16Array .*, got Uint8Array$/);
    expect(() => decode([1], 'float32')).toThrow(TypeError);
    for (const code of [256, -1, 1.5, Number.NaN]) expect(() => decode([code], 'fp8')).toThrow(RangeError);
    expect(() => decodeValue(256, formatSpec('fp8'))).toThrow(RangeError);
    expect(() => encodeValue(any('1') as unknown as number, formatSpec('fp8'))).toThrow(TypeError);
  });

  it('options of the wrong kind are refused', () => {
    expect(() => encode([1], 'fp8', { rounding: 'nearest' as Rounding })).toThrow(/^rounding: .*got 'nearest'$/);
    expect(() => encode([1], 'fp8', { rounding: 'toString' as Rounding })).toThrow(RangeError);
    expect(() => encode([1], 'fp8', { rounding: 0 as unknown as Rounding })).toThrow(TypeError);
    expect(() => encode([1], 'fp8', { saturate: 1 as unknown as boolean })).toThrow(TypeError);
  });

  it('rounding names have the ids of the kernels', () => {
    expect(ROUNDING_IDS).toEqual({ tiesToEven: 0, stochastic: 1, towardZero: 2, tiesToAway: 3 });
    expect(roundingId('tiesToAway')).toBe(3);
  });
});
