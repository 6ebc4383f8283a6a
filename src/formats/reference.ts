/**
 * What encoding and decoding mean: the definition, in plain float64. The kernels in `assembly/encode.ts` and `assembly/decode.ts` are
 * judged by it. A value is rounded once, straight from float64: going through float32 first would round twice.
 *
 * Outside the ordinary case:
 *
 * | x                                  | saturate: true           | saturate: false                            |
 * | ---------------------------------- | ------------------------ | ------------------------------------------ |
 * | +0, -0                             | +0, -0                   | +0, -0                                     |
 * | NaN, of either sign                | canonical NaN, sign 0    | canonical NaN, sign 0                      |
 * | +infinity, -infinity               | +max, -max               | +inf, -inf; canonical NaN where none       |
 * | finite, beyond max when rounded    | max with the sign of x   | inf with the sign of x; NaN where none     |
 * | finite, beyond max, `towardZero`   | max with the sign of x   | max with the sign of x                     |
 * | finite, rounds to at most max      | that value               | that value                                 |
 * | rounds to zero                     | 0 with the sign of x     | 0 with the sign of x                       |
 *
 * "Rounded" is as if the exponent had no upper limit: float8_e4m3fn (max 448, spacing 32) takes 464 to 448 under ties-to-even and
 * overflows above it. `saturate` is true by default for formats of up to 8 bits only. Where a format lacks something:
 *
 * - no -0 (the fnuz formats): -0 and what rounds to it become +0.
 * - no NaN (float6, float4): NaN becomes +max; infinity and overflow the largest value of their sign, saturating or not.
 * - float8_e8m0fnu holds powers of two alone, from 2^-127: nearest takes a tie up; what lies below 2^-127 becomes 2^-127; zero and
 *   negative numbers, -infinity included, become NaN, saturating 2^-127.
 *
 * Agreement: ONNX (Cast; "Float stored in 8 bits") and cuda_fp8.h (SATFINITE, NOSAT) give the same values, cuda_fp6.h and cuda_fp4.h for
 * NaN too; ml_dtypes is our `saturate: false`. Differences: ONNX and ml_dtypes keep the sign of a NaN, and of an infinity that becomes
 * one; we write sign 0, since WebAssembly leaves the sign of a computed NaN open. The NaN of float8_e5m2 is 0x7f for torch and CUDA, 0x7e
 * for ml_dtypes and for us; every NaN code decodes. ml_dtypes 0.6.0 rounds a float64 twice (1.0625 + 2^-30 becomes 1, not 1.125).
 */

import { checkOptions, describe, namesOf } from './check.js';
import { STOCHASTIC, TIES_TO_AWAY, TIES_TO_EVEN, TOWARD_ZERO } from './constants.js';
import { halfOf, philox4x32, philoxKey, type Words4 } from './philox.js';
import { type DType, exponentOf, type FormatSpec, finiteValue, formatSpec, powerOfTwo } from './spec.js';

/** Rounding modes and the integers the kernels know them by. */
export const ROUNDING_IDS = Object.freeze({
  tiesToEven: TIES_TO_EVEN,
  stochastic: STOCHASTIC,
  towardZero: TOWARD_ZERO,
  tiesToAway: TIES_TO_AWAY,
});

export type Rounding = keyof typeof ROUNDING_IDS;

/** Options of {@link encode} and {@link round}. */
export interface EncodeOptions {
  /** Default `'tiesToEven'`. `'stochastic'` needs a `seed`. */
  rounding?: Rounding;
  /** Whether overflow and infinities become the largest finite value. Default: true for formats of up to 8 bits, false for the others. */
  saturate?: boolean;
  /** Integer from 0 to 2^53 - 1; read only by `'stochastic'`. */
  seed?: number;
}

const ENCODE_OPTIONS = namesOf<EncodeOptions>({ rounding: true, saturate: true, seed: true });

/** Options of {@link encodeValue}. */
export interface EncodeValueOptions {
  /** Default `'tiesToEven'`. `'stochastic'` needs `random`. */
  rounding?: Rounding;
  /** As in {@link EncodeOptions}. */
  saturate?: boolean;
  /** In [0, 1): `'stochastic'` rounds the magnitude up when this is below the fraction cut off. */
  random?: number;
}

/** The array a format's codes live in. The codes of float32 are the floats themselves. */
export type CodesOf<D extends DType> = D extends 'float32'
  ? Float32Array<ArrayBuffer>
  : D extends 'bfloat16' | 'float16'
    ? Uint16Array<ArrayBuffer>
    : Uint8Array<ArrayBuffer>;

/** The array of codes of some format. */
export type Codes = CodesOf<DType>;

/**
 * The kernel id of a rounding mode.
 *
 * @throws {TypeError | RangeError} if it is not a string, or not one of the four modes.
 */
export function roundingId(rounding: Rounding): number {
  if (typeof rounding !== 'string') throw new TypeError(`rounding: expected a string, got ${describe(rounding)}`);
  if (!Object.hasOwn(ROUNDING_IDS, rounding)) {
    throw new RangeError(`rounding: expected one of ${Object.keys(ROUNDING_IDS).join(', ')}, got '${rounding}'`);
  }
  return ROUNDING_IDS[rounding];
}

/**
 * The value of a code, exact: NaN for every NaN code, -0 for the code of -0.
 *
 * @param code unsigned integer below 2^bits (for float32: the bit pattern).
 * @throws {RangeError} if the code is no such integer.
 */
export function decodeValue(code: number, spec: FormatSpec): number {
  const { signCode, maxCode, infCode } = spec;
  const count = powerOfTwo(spec.bits);
  if (!(Number.isInteger(code) && code >= 0 && code < count)) {
    throw new RangeError(`code: expected an integer from 0 to ${count - 1} (${spec.name}), got ${describe(code)}`);
  }
  if (code === spec.nanCode) return Number.NaN;
  const negative = signCode > 0 && code >= signCode;
  const magnitude = negative ? code - signCode : code;
  const sign = negative ? -1 : 1;
  if (magnitude <= maxCode) return sign * finiteValue(magnitude, spec);
  return magnitude === infCode ? sign * Number.POSITIVE_INFINITY : Number.NaN;
}

/**
 * The code of a number in a format: one rounding from float64, then the table at the head of this file.
 *
 * @param x any float64.
 * @returns an unsigned integer below 2^bits (for float32: the bit pattern).
 * @throws {TypeError} if x is not a number, or `'stochastic'` comes without `random`.
 * @throws {RangeError} if an option is outside its range.
 */
export function encodeValue(x: number, spec: FormatSpec, options: EncodeValueOptions = {}): number {
  const { rounding = 'tiesToEven', saturate = spec.saturates, random } = options;
  if (typeof x !== 'number') throw new TypeError(`x: expected a number, got ${describe(x)}`);
  const mode = roundingId(rounding);
  if (mode !== STOCHASTIC) return codeOf(x, spec, mode, checkSaturate(saturate), 0);
  if (typeof random !== 'number') {
    throw new TypeError(`random: expected a number in [0, 1) for stochastic rounding, got ${describe(random)}`);
  }
  if (!(random >= 0 && random < 1)) throw new RangeError(`random: expected a number in [0, 1), got ${random}`);
  return codeOf(x, spec, mode, checkSaturate(saturate), random);
}

function codeOf(x: number, spec: FormatSpec, mode: number, saturate: boolean, random: number): number {
  const { manBits, maxCode, nanCode, infCode, signCode, minExponent } = spec;
  // What has no code of its own becomes NaN where there is one, else the largest value.
  const none = spec.hasNaN ? nanCode : maxCode;
  if (Number.isNaN(x)) return none;
  const sign = x < 0 || Object.is(x, -0) ? signCode : 0;
  const magnitude = Math.abs(x);
  if (signCode === 0 && !(x > 0)) return saturate ? 0 : none;
  // Rounding is monotonic, so with saturation all that lies beyond max ends at max, infinity included, in every mode.
  if (saturate && magnitude > spec.max) return sign + maxCode;
  const overflow = spec.hasInf ? sign + infCode : spec.hasNaN ? none : sign + maxCode;
  if (magnitude === Number.POSITIVE_INFINITY) return overflow;

  // The quantum is the spacing of the format at |x|. Dividing by a power of two is exact here: q has no more bits than x, and its
  // exponent is in range, because a quantum below 1 moves x up and one above 1 belongs to an x at least as large.
  // (2^1023 counts as two units of 2^1022, since 2^-1023 is no normal number.)
  const exponent = Math.min(Math.max(exponentOf(x), minExponent), 1022);
  const q = magnitude * powerOfTwo(manBits - exponent);
  const whole = Math.floor(q);
  // Between powers of two every tie goes up: codes without a mantissa have no even one to prefer.
  const nearest = manBits === 0 && mode === TIES_TO_EVEN ? TIES_TO_AWAY : mode;
  const units = roundsUp(whole, q - whole, nearest, random) ? whole + 1 : whole;

  // A normal's units include the hidden bit, so they carry into the exponent field by themselves, as does the step from the largest
  // subnormal to the smallest normal and from one binade to the next. A format without subnormals starts at one unit.
  const hidden = powerOfTwo(manBits);
  const code = (exponent - minExponent) * hidden + (signCode === 0 ? Math.max(units, hidden) - hidden : units);
  if (code > maxCode) return mode === TOWARD_ZERO ? sign + maxCode : overflow;
  return code === 0 && !spec.hasNegativeZero ? 0 : sign + code;
}

/** Whether a magnitude of `whole + fraction` units, 0 <= fraction < 1, goes up. `whole` is odd exactly when its code is. */
function roundsUp(whole: number, fraction: number, mode: number, random: number): boolean {
  if (mode === TIES_TO_EVEN) return fraction > 0.5 || (fraction === 0.5 && whole % 2 === 1);
  if (mode === TIES_TO_AWAY) return fraction >= 0.5;
  if (mode === STOCHASTIC) return random < fraction;
  return false;
}

export function checkSaturate(saturate: boolean): boolean {
  if (typeof saturate !== 'boolean') throw new TypeError(`saturate: expected a boolean, got ${describe(saturate)}`);
  return saturate;
}

/**
 * Encode numbers into a format; the semantics are the table at the head of this file.
 *
 * Stochastic rounding: element i uses r = philoxHalf(i, 0, 0, seed) / 2^16. With q = |x| / quantum (the quantum is the spacing of the
 * format at x, the subnormal spacing below the smallest normal; |x| is first clamped to max when saturating) the magnitude becomes
 * floor(q) + (r < q - floor(q) ? 1 : 0) quanta.
 *
 * @param values numbers, rounded from float64; a typed array of floats or integers, or a plain array.
 * @param dtype name of the format, or an alias.
 * @returns as many codes: Uint8Array for 8-bit formats, Uint16Array for 16-bit ones, Float32Array for float32.
 * @throws {TypeError} for the wrong kind of argument or element, or `'stochastic'` without `seed`.
 * @throws {RangeError} for an unknown format or rounding, or a seed outside 0 to 2^53 - 1.
 */
export function encode<D extends DType>(values: ArrayLike<number>, dtype: D, options?: EncodeOptions): CodesOf<D>;
export function encode(values: ArrayLike<number>, dtype: string, options?: EncodeOptions): Codes;
export function encode(values: ArrayLike<number>, dtype: string, options: EncodeOptions = {}): Codes {
  const spec = formatSpec(dtype);
  checkOptions(options, ENCODE_OPTIONS);
  const { rounding = 'tiesToEven', saturate = spec.saturates, seed } = options;
  const mode = roundingId(rounding);
  checkSaturate(saturate);
  checkArray('values', values);
  if (mode === STOCHASTIC && seed === undefined) {
    throw new TypeError("seed: expected an integer for rounding 'stochastic', got undefined");
  }
  const key = mode === STOCHASTIC ? philoxKey(seed!) : undefined;

  const codes = bitsArray(spec, values.length);
  let words: Words4 = [0, 0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    if (typeof x !== 'number') throw new TypeError(`values[${i}]: expected a number, got ${describe(x)}`);
    if (key && (i & 7) === 0) words = philox4x32([i >>> 3, 0, 0, 0], key);
    codes[i] = codeOf(x, spec, mode, saturate, halfOf(words, i) / 0x10000);
  }
  return codes instanceof Uint32Array ? new Float32Array(codes.buffer) : codes;
}

/**
 * Decode codes to their values, exact.
 *
 * @param codes a typed array of the kind {@link encode} returns for this format, or a plain array of integers (not for float32).
 * @param dtype name of the format, or an alias.
 * @returns as many values; NaN for every NaN code.
 * @throws {TypeError} if the codes are another kind of array: bytes or values passed for codes would decode to something.
 * @throws {RangeError} for an unknown format, or an element of a plain array that is no code.
 */
export function decode(codes: ArrayLike<number>, dtype: string): Float32Array<ArrayBuffer> {
  const spec = formatSpec(dtype);
  checkCodes(codes, spec);
  if (spec.bits === 32) return Float32Array.from(codes);
  const table = decodeTable(spec);
  const values = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    const value = table[codes[i]];
    if (value === undefined) {
      throw new RangeError(
        `codes[${i}]: expected an integer from 0 to ${table.length - 1} (${spec.name}), got ${describe(codes[i])}`,
      );
    }
    values[i] = value;
  }
  return values;
}

/**
 * Round numbers to the values a format can hold ("fake quantisation"): `decode(encode(values))`.
 *
 * @returns as many values, in float64 so that they compare with the input as they are.
 * @throws {TypeError | RangeError} as {@link encode}.
 */
export function round(values: ArrayLike<number>, dtype: string, options?: EncodeOptions): Float64Array<ArrayBuffer> {
  return Float64Array.from(decode(encode(values, dtype, options), dtype));
}

/** Where the bit patterns are written; float32 patterns are reinterpreted at the end, so that a NaN keeps the bits we chose. */
function bitsArray(
  spec: FormatSpec,
  length: number,
): Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  if (spec.bytes === 1) return new Uint8Array(length);
  return spec.bytes === 2 ? new Uint16Array(length) : new Uint32Array(length);
}

const tables = new Map<DType, Float32Array>();

/** All values of a format of at most 16 bits by code, made on first use. Each is exact in float32. */
function decodeTable(spec: FormatSpec): Float32Array {
  let table = tables.get(spec.name);
  if (!table) {
    table = Float32Array.from({ length: powerOfTwo(spec.bits) }, (_, code) => decodeValue(code, spec));
    tables.set(spec.name, table);
  }
  return table;
}

export function checkArray(label: string, array: ArrayLike<number>): void {
  if (typeof array !== 'object' || array === null || typeof array.length !== 'number') {
    throw new TypeError(`${label}: expected an array or typed array of numbers, got ${describe(array)}`);
  }
}

export function checkCodes(codes: ArrayLike<number>, spec: FormatSpec): void {
  checkArray('codes', codes);
  const expected = spec.bytes === 1 ? 'Uint8Array' : spec.bytes === 2 ? 'Uint16Array' : 'Float32Array';
  // The tag, not instanceof: it also holds for a Buffer and for arrays from another realm.
  const tag = (codes as Partial<Uint8Array>)[Symbol.toStringTag];
  if (tag !== expected && (ArrayBuffer.isView(codes) || spec.bits === 32)) {
    throw new TypeError(`codes: expected ${expected} for ${spec.name}, got ${describe(codes)}`);
  }
}
