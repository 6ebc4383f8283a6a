/** What a number format is, its names, and what its codes stand for, against tables and other libraries; and the arrays that hold them. */
import { describe, expect, it } from 'vitest';
import {
  DTYPES,
  type DType,
  decode,
  decodeValue,
  dtypeOf,
  encode,
  encodeValue,
  finfo,
  formatSpec,
  ROUNDING_IDS,
  type Rounding,
  round,
  roundingId,
} from '../src/formats/index.js';
import { CASES, FLOAT16, hex, independentValue, number, ONE_BYTE } from './helpers/formats.js';
import vectors from './vectors/ofp8.json' with { type: 'json' };

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
    expect(DTYPES.map((dtype) => formatSpec(dtype).bytes)).toEqual([4, 2, 2, ...DTYPES.slice(3).map(() => 1)]);
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
