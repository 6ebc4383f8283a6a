/**
 * Typed arrays of small floats: they look like arrays of numbers and store codes, as `Float16Array` does for binary16 (and `@petamoriken/float16`
 * before it). Reading an element decodes it; writing one rounds once from float64, ties to even, as {@link encode} does by default.
 *
 * An array is a view of `buffer` and has no state besides its codes, which `codes` exposes directly. Element access goes through a Proxy, which
 * is convenient but slow; `encode` and `decode` work on whole arrays of codes.
 */

import { describe } from './check.js';
import { decodeValue, encodeValue } from './reference.js';
import { type DType, type FormatSpec, formatSpec } from './spec.js';

/** Formats that have a typed array. */
export type ArrayDType = 'bfloat16' | Extract<DType, `float8_${string}`>;

type CodeArray = Uint8Array<ArrayBufferLike> | Uint16Array<ArrayBufferLike>;
type Source = Iterable<number> | ArrayLike<number>;

/** Methods borrowed from Array, which need nothing but a length and elements. */
const ARRAY_METHODS = [
  'at',
  'copyWithin',
  'entries',
  'every',
  'fill',
  'find',
  'findIndex',
  'forEach',
  'includes',
  'indexOf',
  'join',
  'keys',
  'lastIndexOf',
  'reduce',
  'reduceRight',
  'reverse',
  'some',
  'toLocaleString',
  'toString',
  'values',
] as const;

/** The same for ES2023, whose types are missing from programs that target an older library. */
const NEWER_METHODS = ['findLast', 'findLastIndex'] as const;

type ArrayMethods = Pick<number[], (typeof ARRAY_METHODS)[number]>;

/** Members of every array of small floats; the names mean the same as for `Float32Array`. */
export interface SmallFloatArray extends ArrayMethods, Iterable<number> {
  [index: number]: number;
  readonly dtype: ArrayDType;
  /** The codes themselves, over the same bytes. */
  readonly codes: CodeArray;
  readonly BYTES_PER_ELEMENT: number;
  readonly buffer: ArrayBufferLike;
  readonly byteLength: number;
  readonly byteOffset: number;
  readonly length: number;
  filter(predicate: (value: number, index: number, array: SmallFloatArray) => unknown, thisArg?: unknown): this;
  findLast(
    predicate: (value: number, index: number, array: number[]) => unknown,
    thisArg?: unknown,
  ): number | undefined;
  findLastIndex(predicate: (value: number, index: number, array: number[]) => unknown, thisArg?: unknown): number;
  map(f: (value: number, index: number, array: SmallFloatArray) => number, thisArg?: unknown): this;
  set(source: ArrayLike<number>, offset?: number): void;
  slice(start?: number, end?: number): this;
  /** Default order: ascending by value, NaN last. */
  sort(compare?: (a: number, b: number) => number): this;
  subarray(start?: number, end?: number): this;
  toReversed(): this;
  toSorted(compare?: (a: number, b: number) => number): this;
  with(index: number, value: number): this;
}

/** Constructor of an array of small floats, with the overloads of typed arrays. */
export interface SmallFloatArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  readonly dtype: ArrayDType;
  new (length?: number): SmallFloatArray;
  new (values: Source): SmallFloatArray;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): SmallFloatArray;
  from(source: Source): SmallFloatArray;
  from<T>(source: Iterable<T> | ArrayLike<T>, map: (value: T, index: number) => number): SmallFloatArray;
  of(...values: number[]): SmallFloatArray;
}

/** Marks instances, so that arrays from two copies of this module recognise each other. */
const BRAND = Symbol.for('octavo.SmallFloatArray');

/** The element index that a property key names: -1 if it names no number ('length', '01'), NaN if it is a number that cannot be an index. */
function indexOf(key: string | symbol): number {
  if (typeof key === 'symbol') return -1;
  const index = Number(key);
  if (String(index) !== key) return key === '-0' ? Number.NaN : -1;
  return index >= 0 && Number.isInteger(index) ? index : Number.NaN;
}

const HANDLER: ProxyHandler<Base> = {
  get: (target, key) => {
    const index = indexOf(key);
    if (index < 0) return Reflect.get(target, key);
    return index < target.codes.length ? decodeValue(target.codes[index], target.spec) : undefined;
  },
  set: (target, key, value) => {
    const index = indexOf(key);
    if (index < 0) return false;
    // As with every typed array, writes beyond the ends are ignored.
    if (index < target.codes.length) target.codes[index] = encodeValue(Number(value), target.spec);
    return true;
  },
  has: (target, key) => {
    const index = indexOf(key);
    return index < 0 ? Reflect.has(target, key) : index < target.codes.length;
  },
  ownKeys: ({ codes }) => Array.from(codes, (_, index) => String(index)),
  // Other properties could not be listed by ownKeys, and elements cannot be made read-only.
  defineProperty: () => false,
  preventExtensions: () => false,
  getOwnPropertyDescriptor: (target, key) => {
    const index = indexOf(key);
    if (!(index >= 0 && index < target.codes.length)) return undefined;
    return {
      value: decodeValue(target.codes[index], target.spec),
      writable: true,
      enumerable: true,
      configurable: true,
    };
  },
};

class Base {
  readonly codes: CodeArray;

  constructor(
    readonly spec: FormatSpec,
    source: number | Source | ArrayBufferLike,
    byteOffset?: number,
    length?: number,
  ) {
    // The two constructors differ only in element width, which TypeScript cannot see through a union.
    const Codes = (spec.bytes === 1 ? Uint8Array : Uint16Array) as Uint8ArrayConstructor;
    if (typeof source === 'number') {
      this.codes = new Codes(checkLength(source));
    } else if (isBuffer(source)) {
      this.codes = new Codes(source, byteOffset, length);
    } else if (isSmallFloatArray(source) && source.dtype === spec.name) {
      this.codes = Codes.from(source.codes);
    } else {
      this.codes = Codes.from(listOf(source), (value) => encodeValue(value, spec));
    }
    // biome-ignore lint/correctness/noConstructorReturn: an array's elements are properties, which only a Proxy can compute.
    return new Proxy(this, HANDLER);
  }

  get dtype(): ArrayDType {
    return this.spec.name as ArrayDType;
  }
  get BYTES_PER_ELEMENT(): number {
    return this.spec.bytes;
  }
  get buffer(): ArrayBufferLike {
    return this.codes.buffer;
  }
  get byteLength(): number {
    return this.codes.byteLength;
  }
  get byteOffset(): number {
    return this.codes.byteOffset;
  }
  get length(): number {
    return this.codes.length;
  }
  get [BRAND](): true {
    return true;
  }

  set(source: ArrayLike<number>, offset = 0): void {
    if (isSmallFloatArray(source) && source.dtype === this.dtype) {
      this.codes.set(source.codes, offset);
      return;
    }
    const values = listOf(source);
    // All or nothing: encode every value before storing the first.
    const codes = values.map((value) => encodeValue(value, this.spec));
    this.codes.set(codes, offset);
  }

  slice(start?: number, end?: number): SmallFloatArray {
    return this.over(this.codes.slice(start, end));
  }

  subarray(start?: number, end?: number): SmallFloatArray {
    return this.over(this.codes.subarray(start, end));
  }

  filter(predicate: (value: number, index: number, array: SmallFloatArray) => unknown, thisArg?: unknown) {
    const self = this as unknown as SmallFloatArray;
    return this.over(
      this.codes.filter((_, index) => predicate.call(thisArg, decodeValue(this.codes[index], this.spec), index, self)),
    );
  }

  map(f: (value: number, index: number, array: SmallFloatArray) => number, thisArg?: unknown): SmallFloatArray {
    const self = this as unknown as SmallFloatArray;
    return this.over(
      this.codes.map((code, index) =>
        encodeValue(f.call(thisArg, decodeValue(code, this.spec), index, self), this.spec),
      ),
    );
  }

  sort(compare: (a: number, b: number) => number = ascending): this {
    const value = (code: number) => decodeValue(code, this.spec);
    this.codes.set([...this.codes].sort((a, b) => compare(value(a), value(b))));
    return this;
  }

  toReversed(): SmallFloatArray {
    return this.over(this.codes.slice().reverse());
  }

  toSorted(compare?: (a: number, b: number) => number): SmallFloatArray {
    return this.slice().sort(compare);
  }

  with(index: number, value: number): SmallFloatArray {
    const copy = this.slice();
    const at = Math.trunc(index) || 0;
    const element = at < 0 ? at + copy.length : at;
    if (!(element >= 0 && element < copy.length)) {
      throw new RangeError(`with: expected the index of one of ${copy.length} elements, got ${index}`);
    }
    copy[element] = value;
    return copy;
  }

  /** An array of the same class over these codes. */
  private over(codes: CodeArray): SmallFloatArray {
    const Class = this.constructor as SmallFloatArrayConstructor;
    return new Class(codes.buffer, codes.byteOffset, codes.length);
  }
}

for (const name of [...ARRAY_METHODS, ...NEWER_METHODS])
  Object.defineProperty(Base.prototype, name, { value: Array.prototype[name] });
Object.defineProperty(Base.prototype, Symbol.iterator, { value: Array.prototype.values });

/** -0 before +0 and NaN last, as in the default sort of typed arrays. */
function ascending(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? -1 : a > b ? 1 : Number(Object.is(b, -0)) - Number(Object.is(a, -0));
}

function checkLength(length: number): number {
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw new RangeError(`length: expected a non-negative integer, got ${length}`);
}

function isBuffer(source: unknown): source is ArrayBufferLike {
  const tag = (source as { [Symbol.toStringTag]?: string } | null)?.[Symbol.toStringTag];
  return tag === 'ArrayBuffer' || tag === 'SharedArrayBuffer';
}

function listOf(source: Source): number[] {
  if (typeof source !== 'object' || source === null) {
    throw new TypeError(`source: expected a length, numbers or a buffer, got ${describe(source)}`);
  }
  return Array.from(source);
}

function arrayOf(dtype: ArrayDType): SmallFloatArrayConstructor {
  const spec = formatSpec(dtype);
  class SmallFloats extends Base {
    static readonly dtype = dtype;
    static readonly BYTES_PER_ELEMENT = spec.bytes;
    constructor(source: number | Source | ArrayBufferLike = 0, byteOffset?: number, length?: number) {
      super(spec, source, byteOffset, length);
    }
    static from<T>(source: Iterable<T> | ArrayLike<T>, map?: (value: T, index: number) => number) {
      return new SmallFloats(map ? Array.from(source, map) : (source as Source));
    }
    static of(...values: number[]) {
      return new SmallFloats(values);
    }
  }
  return SmallFloats as unknown as SmallFloatArrayConstructor;
}

export const Float8E4M3FNArray = /* @__PURE__ */ arrayOf('float8_e4m3fn');
export const Float8E5M2Array = /* @__PURE__ */ arrayOf('float8_e5m2');
export const Float8E4M3Array = /* @__PURE__ */ arrayOf('float8_e4m3');
export const Float8E4M3FNUZArray = /* @__PURE__ */ arrayOf('float8_e4m3fnuz');
export const Float8E5M2FNUZArray = /* @__PURE__ */ arrayOf('float8_e5m2fnuz');
export const Float8E3M4Array = /* @__PURE__ */ arrayOf('float8_e3m4');
export const Float8E4M3B11FNUZArray = /* @__PURE__ */ arrayOf('float8_e4m3b11fnuz');
export const Float8E8M0FNUArray = /* @__PURE__ */ arrayOf('float8_e8m0fnu');
export const BFloat16Array = /* @__PURE__ */ arrayOf('bfloat16');

/** Whether a value is one of the typed arrays of this module. */
export function isSmallFloatArray(value: unknown): value is SmallFloatArray {
  return typeof value === 'object' && value !== null && (value as { [BRAND]?: true })[BRAND] === true;
}

/** Whether a value is one of these typed arrays with one byte per element. */
export function isFloat8Array(value: unknown): value is SmallFloatArray {
  return isSmallFloatArray(value) && value.BYTES_PER_ELEMENT === 1;
}

/**
 * Rounds to the nearest value of an 8-bit format, as `Math.fround` does for float32: ties to even, saturating.
 *
 * @throws {TypeError | RangeError} if x is not a number, or the format is unknown or does not have 8 bits.
 */
export function f8round(x: number, dtype: string = 'float8_e4m3fn'): number {
  const spec = float8(dtype);
  return decodeValue(encodeValue(x, spec), spec);
}

/**
 * Reads the 8-bit float at a byte offset of a DataView.
 *
 * @throws {TypeError} if `view` is not a DataView.
 * @throws {RangeError} if the offset is outside the view, or the format is unknown or does not have 8 bits.
 */
export function getFloat8(view: DataView, byteOffset: number, dtype: string = 'float8_e4m3fn'): number {
  return decodeValue(checkedView(view).getUint8(byteOffset), float8(dtype));
}

/** Stores a number as an 8-bit float: ties to even, saturating. Throws like {@link getFloat8} and {@link f8round}. */
export function setFloat8(view: DataView, byteOffset: number, value: number, dtype: string = 'float8_e4m3fn'): void {
  checkedView(view).setUint8(byteOffset, encodeValue(value, float8(dtype)));
}

function checkedView(view: DataView): DataView {
  // By its tag, which it has in every realm.
  if (Object.prototype.toString.call(view) === '[object DataView]') return view;
  throw new TypeError(`view: expected a DataView, got ${describe(view)}`);
}

function float8(dtype: string): FormatSpec {
  const spec = formatSpec(dtype);
  if (spec.bits !== 8) throw new RangeError(`dtype: expected a format of 8 bits, got ${spec.name}`);
  return spec;
}
