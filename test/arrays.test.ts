/** Typed arrays of small floats behave as Float32Array does, up to the rounding of their format; DataView access and packing. */
import { describe, expect, it } from 'vitest';
import {
  BFloat16Array,
  decode,
  encode,
  Float8E3M4Array,
  Float8E4M3Array,
  Float8E4M3B11FNUZArray,
  Float8E4M3FNArray,
  Float8E4M3FNUZArray,
  Float8E5M2Array,
  Float8E5M2FNUZArray,
  Float8E8M0FNUArray,
  f8round,
  formatSpec,
  getFloat8,
  isFloat8Array,
  isSmallFloatArray,
  pack,
  round,
  setFloat8,
  unpack,
} from '../src/formats/index.js';
import { Random } from './helpers/rng.js';

const CLASSES = [
  Float8E4M3FNArray,
  Float8E5M2Array,
  Float8E4M3Array,
  Float8E4M3FNUZArray,
  Float8E5M2FNUZArray,
  Float8E3M4Array,
  Float8E4M3B11FNUZArray,
  Float8E8M0FNUArray,
  BFloat16Array,
];

describe.each(CLASSES.map((Class) => [Class.dtype, Class] as const))('%s', (dtype, Class) => {
  /** Positive, so that every format can hold them; distinct and out of order. */
  const values = [4, 0.5, 2, 8, 1];
  const model = () => Float32Array.from(values);

  it('has the properties of a typed array', () => {
    const a = new Class(values);
    expect(a.length).toBe(5);
    expect(a.BYTES_PER_ELEMENT).toBe(formatSpec(dtype).bytes);
    expect(Class.BYTES_PER_ELEMENT).toBe(formatSpec(dtype).bytes);
    expect(a.byteLength).toBe(5 * formatSpec(dtype).bytes);
    expect(a.buffer.byteLength).toBe(a.byteLength);
    expect(a.dtype).toBe(dtype);
    expect([...a]).toEqual(values);
    expect(a.codes).toEqual(encode(values, dtype));
    expect(a).toBeInstanceOf(Class);
    expect(isSmallFloatArray(a)).toBe(true);
    expect(isFloat8Array(a)).toBe(dtype !== 'bfloat16');
  });

  it('elements are read decoded and written rounded once; beyond the end there are none', () => {
    const a = new Class(3);
    a[0] = 1.0625 + 2 ** -30;
    a[1] = 1e300;
    a[2] = Number.NaN;
    a[3] = 1;
    expect(a.length).toBe(3);
    expect([a[0], a[1], a[2]]).toEqual([...round([1.0625 + 2 ** -30, 1e300, Number.NaN], dtype)]);
    expect(a[3]).toBeUndefined();
    expect(a[-1]).toBeUndefined();
    expect((a as unknown as Record<string, unknown>)['01']).toBeUndefined();
    expect(2 in a).toBe(true);
    expect(3 in a).toBe(false);
    for (const key of [-1, 0.5, Number.POSITIVE_INFINITY]) {
      a[key] = 1;
      expect(a[key], String(key)).toBeUndefined();
    }
    expect(() => a.with(3, 1)).toThrow(/^with: expected the index of one of 3 elements, got 3$/);
    for (const fix of [Object.freeze, Object.preventExtensions]) expect(() => fix(a)).toThrow(TypeError);
    expect(() => Object.assign(a, { other: 1 })).toThrow(TypeError);
    expect(() => Object.defineProperty(a, '0', { value: 1 })).toThrow(TypeError);
    expect(Object.keys(a)).toEqual(['0', '1', '2']);
  });

  it('is made from lengths, lists, iterables, its like, buffers, and by from and of', () => {
    const a = Class.of(...values);
    expect([...Class.from(values)]).toEqual(values);
    expect([...Class.from(['4', '1'], Number)]).toEqual([4, 1]);
    expect([...new Class(new Set(values))]).toEqual(values);
    expect([...new Class(Float64Array.from(values))]).toEqual(values);
    const copy = new Class(a);
    copy[0] = 2;
    expect(a[0]).toBe(4);
    const view = new Class(a.buffer, formatSpec(dtype).bytes, 2);
    view[0] = 0.25;
    expect([...a].slice(0, 3)).toEqual([4, 0.25, 2]);
    expect(new Class().length).toBe(0);
    expect(() => new Class(-1)).toThrow(/^length: expected a non-negative integer, got -1$/);
    expect(() => new Class('12' as unknown as number[])).toThrow(TypeError);
    expect(() => Class.from(['1'] as unknown as number[])).toThrow(/^x: expected a number, got '1'$/);
  });

  it('methods do what they do in Float32Array', () => {
    type Like = Float32Array | InstanceType<typeof Class>;
    const calls: ((a: Like) => unknown)[] = [
      (a) => a.at(-1),
      (a) => a.includes(2),
      (a) => a.indexOf(8),
      (a) => a.lastIndexOf(1),
      (a) => a.join('|'),
      (a) => a.toString(),
      (a) => a.every((x) => x > 0.25),
      (a) => a.some((x) => x > 100),
      (a) => a.find((x) => x > 4),
      (a) => a.findIndex((x) => x > 4),
      (a) => a.reduce((x, y) => x + y, 0),
      (a) => a.reduceRight((x, y) => x - y),
      (a) => [...a.keys()],
      (a) => [...a.entries()],
      (a) => [...a.values()],
      (a) => [...a.map((x) => x / 2)],
      (a) => [...a.filter((x) => x >= 2)],
      (a) => [...a.slice(1, -1)],
      (a) => [...a.subarray(1, 3)],
      (a) => [...a.fill(2, 1, 3)],
      (a) => [...a.copyWithin(0, 3)],
      (a) => [...a.reverse()],
      (a) => [...a.sort()],
      (a) => [...a.sort((x, y) => y - x)],
      (a) => a.findLast((x) => x < 4),
      (a) => a.findLastIndex((x) => x < 4),
      (a) => [...a.toReversed()],
      (a) => [...a.toSorted((x, y) => y - x)],
      (a) => [...a.with(-1, 4)],
      (a) => Object.keys(a),
      (a) => JSON.stringify(a),
      (a) => Object.entries(a),
    ];
    for (const call of calls) expect(call(new Class(values)), String(call)).toEqual(call(model()));
  });

  it('callbacks see values, positions and the array; results are of the same class', () => {
    const a = new Class(values);
    const seen: unknown[] = [];
    const halved = a.map((x, i, array) => {
      seen.push([x, i, array.length]);
      return x / 2;
    });
    expect(seen).toEqual(values.map((x, i) => [x, i, 5]));
    expect(halved).toBeInstanceOf(Class);
    expect(a.subarray(1).buffer).toBe(a.buffer);
    expect(a.slice().buffer).not.toBe(a.buffer);
  });

  it('set takes lists and its like, and stores nothing when one element is wrong', () => {
    const a = new Class(values);
    a.set([1, 1], 3);
    expect([...a]).toEqual([4, 0.5, 2, 1, 1]);
    a.set(Class.of(8), 1);
    expect([...a]).toEqual([4, 8, 2, 1, 1]);
    a.set(a.subarray(0, 4), 1);
    expect([...a]).toEqual([4, 4, 8, 2, 1]);
    expect(() => a.set([1, 2], 4)).toThrow(RangeError);
    expect(() => a.set([2, 'x' as unknown as number])).toThrow(TypeError);
    expect([...a]).toEqual([4, 4, 8, 2, 1]);
  });
});

it('sorts negative zero before zero, infinities to the ends and NaN last', () => {
  const a = Float8E5M2Array.of(0, 1, -0);
  a.codes.set([0x7e], 1);
  const b = new Float8E5M2Array(5);
  b.codes.set([0x7f, 0x00, 0x80, 0x7c, 0xfc]);
  expect([...b.sort().codes]).toEqual([0xfc, 0x80, 0x00, 0x7c, 0x7f]);
  expect([...a.sort()]).toEqual([-0, 0, Number.NaN]);
});

it('other arrays are no Float8Array', () => {
  for (const other of [Float32Array.of(1), [1], null, undefined, 1, {}, new BFloat16Array(1)]) {
    expect(isFloat8Array(other)).toBe(false);
  }
});

describe('single values', () => {
  it('f8round is round', () => {
    for (const dtype of ['float8_e4m3fn', 'float8_e5m2', 'float8_e3m4'] as const) {
      for (const x of new Random(1).wide(100, -10, 10)) expect(f8round(x, dtype)).toBe(round([x], dtype)[0]);
    }
    expect(f8round(0.1)).toBe(0.1015625);
    expect(() => f8round(1, 'bf16')).toThrow(/^dtype: expected a format of 8 bits, got bfloat16$/);
    expect(() => f8round('1' as unknown as number)).toThrow(TypeError);
  });

  it('getFloat8 and setFloat8 read and write one byte', () => {
    const view = new DataView(new ArrayBuffer(3));
    setFloat8(view, 1, -0.1);
    expect([view.getUint8(0), view.getUint8(1), view.getUint8(2)]).toEqual([0, 0x9d, 0]);
    expect(getFloat8(view, 1)).toBe(-0.1015625);
    setFloat8(view, 2, 3, 'e5m2');
    expect(getFloat8(view, 2, 'e5m2')).toBe(3);
    expect(() => getFloat8(view, 3)).toThrow(RangeError);
    expect(() => setFloat8(view, 0, 1, 'fp4')).toThrow(RangeError);
  });
});

describe('packing', () => {
  it('puts the first code lowest', () => {
    expect(pack(Uint8Array.of(0x1, 0xf), 'fp4')).toEqual(Uint8Array.of(0xf1));
    expect(pack(Uint8Array.of(0b000001, 0b000010, 0b000100, 0b101000), 'e2m3')).toEqual(
      Uint8Array.of(0b10000001, 0b01000000, 0b10100000),
    );
  });

  it.each(['float4_e2m1fn', 'float6_e2m3fn', 'float6_e3m2fn'] as const)('%s: unpack undoes pack', (dtype) => {
    const { bits } = formatSpec(dtype);
    const random = new Random(2);
    const codes = Uint8Array.from({ length: 4096 }, () => random.integer(0, 2 ** bits - 1));
    const packed = pack(codes, dtype);
    expect(packed.length).toBe((codes.length * bits) / 8);
    expect(unpack(packed, dtype)).toEqual(codes);
    // The bytes are one number in base 2^bits, its lowest digit first.
    const number = packed.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    const digits = codes.reduceRight((sum, code) => sum * BigInt(2 ** bits) + BigInt(code), 0n);
    expect(number).toBe(digits);
    expect(decode(unpack(packed, dtype), dtype)).toEqual(decode(codes, dtype));
  });

  it('refuses what does not fit', () => {
    expect(() => pack(Uint8Array.of(1), 'fp4')).toThrow(
      /^codes: expected a multiple of 2 codes of float4_e2m1fn, got 1$/,
    );
    expect(() => pack(Uint8Array.of(1, 16), 'fp4')).toThrow(/^codes\[1\]: expected a code below 16 .*, got 16$/);
    expect(() => pack(Uint8Array.of(1), 'fp8')).toThrow(/^dtype: expected a format of 4 or 6 bits, got float8_e4m3fn$/);
    expect(() => pack([1, 2] as unknown as Uint8Array, 'fp4')).toThrow(/^codes: expected a Uint8Array, got Array$/);
    expect(() => unpack(new Uint8Array(4), 'e2m3')).toThrow(/^packed: expected a multiple of 3 bytes .*, got 4$/);
    expect(() => unpack(null as unknown as Uint8Array, 'fp4')).toThrow(TypeError);
  });
});
