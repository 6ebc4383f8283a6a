/**
 * The definition of encoding and decoding, in plain float64: the kernels in `assembly/encode.ts` and `assembly/decode.ts` must match it.
 * A value is rounded once, directly from float64: going through float32 first would round twice.
 *
 * Special cases:
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
 * "Rounded" means as if the exponent had no upper limit: under ties-to-even, float8_e4m3fn (max 448, spacing 32) rounds 464 to 448 and
 * overflows above it. `saturate` is true by default for formats of up to 8 bits only. Formats that lack a kind of value:
 *
 * - no -0 (the fnuz formats): -0 and values that round to it become +0.
 * - no NaN (float6, float4): NaN becomes +max; infinity and overflow become the largest value of their sign, saturating or not.
 * - float8_e8m0fnu holds only powers of two, from 2^-127: rounding to nearest takes ties up; values below 2^-127 become 2^-127; zero and
 *   negative numbers, including -infinity, become NaN, or 2^-127 when saturating.
 *
 * Agreement: ONNX (Cast; "Float stored in 8 bits") and cuda_fp8.h (SATFINITE, NOSAT) give the same values, and so do cuda_fp6.h and
 * cuda_fp4.h, also for NaN; ml_dtypes behaves like our `saturate: false`. Differences: ONNX and ml_dtypes keep the sign of a NaN, and of an
 * infinity that becomes NaN; we write sign 0, because WebAssembly does not define the sign of a computed NaN. The NaN of float8_e5m2 is 0x7f
 * in torch and CUDA, and 0x7e in ml_dtypes and here; every NaN code decodes. ml_dtypes 0.6.0 rounds a float64 twice (1.0625 + 2^-30 becomes
 * 1, not 1.125).
 */

import { checkOptions, describe, namesOf } from './check.js';
import { STOCHASTIC, TIES_TO_AWAY, TIES_TO_EVEN, TOWARD_ZERO } from './constants.js';
import { halfOf, philox4x32, philoxKey, type Words4 } from './philox.js';
import { type DType, exponentOf, type FormatSpec, finiteValue, formatSpec, powerOfTwo } from './spec.js';

/** Rounding modes and their ids in the kernels. */
export const ROUNDING_IDS = Object.freeze({
  tiesToEven: TIES_TO_EVEN,
  stochastic: STOCHASTIC,
  towardZero: TOWARD_ZERO,
  tiesToAway: TIES_TO_AWAY,
});

/** A rounding mode, by name. */
export type Rounding = keyof typeof ROUNDING_IDS;

/** Options of {@link encode} and {@link round}. */
export interface EncodeOptions {
  /** Default `'tiesToEven'`. `'stochastic'` needs a `seed`. */
  rounding?: Rounding;
  /** Whether overflow and infinities become the largest finite value. Default: true for formats of up to 8 bits, otherwise false. */
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

/** The type of array that holds a format's codes. The codes of float32 are the floats themselves. */
export type CodesOf<D extends DType> = D extends 'float32'
  ? Float32Array<ArrayBuffer>
  : D extends 'bfloat16' | 'float16'
    ? Uint16Array<ArrayBuffer>
    : Uint8Array<ArrayBuffer>;

/** An array of codes of any format. */
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
 * The exact value of a code: NaN for every NaN code, -0 for the code of -0.
 *
 * @param code unsigned integer below 2^bits (for float32: the bit pattern).
 * @throws {RangeError} if the code is not such an integer.
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
 * Encodes one number: a single rounding from float64, then the table at the top of this file.
 *
 * @param x any float64.
 * @returns an unsigned integer below 2^bits (for float32: the bit pattern).
 * @throws {TypeError} if x is not a number, or `'stochastic'` is given without `random`.
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
  // Values without a code become NaN, or the largest value in formats without NaN.
  const none = spec.hasNaN ? nanCode : maxCode;
  if (Number.isNaN(x)) return none;
  const sign = x < 0 || Object.is(x, -0) ? signCode : 0;
  const magnitude = Math.abs(x);
  if (signCode === 0 && !(x > 0)) return saturate ? 0 : none;
  // Rounding is monotonic, so when saturating everything beyond max, including infinity, becomes max in every mode.
  if (saturate && magnitude > spec.max) return sign + maxCode;
  const overflow = spec.hasInf ? sign + infCode : spec.hasNaN ? none : sign + maxCode;
  if (magnitude === Number.POSITIVE_INFINITY) return overflow;

  // The quantum is the spacing of the format at |x|. Dividing by it is exact: q has no more bits than x, and its exponent is in range, because a
  // quantum below 1 scales x up, and one above 1 belongs to an x at least as large. (2^1023 counts as two units of 2^1022, since 2^-1023 is not a
  // normal number.)
  const exponent = Math.min(Math.max(exponentOf(x), minExponent), 1022);
  const q = magnitude * powerOfTwo(manBits - exponent);
  const whole = Math.floor(q);
  // Between powers of two every tie goes up: without a mantissa no code is the even one.
  const nearest = manBits === 0 && mode === TIES_TO_EVEN ? TIES_TO_AWAY : mode;
  const units = roundsUp(whole, q - whole, nearest, random) ? whole + 1 : whole;

  // The units of a normal number include the hidden bit, so they carry into the exponent field by themselves. So does the step from the largest
  // subnormal to the smallest normal, and from one binade to the next. A format without subnormals starts at one unit.
  const hidden = powerOfTwo(manBits);
  const code = (exponent - minExponent) * hidden + (signCode === 0 ? Math.max(units, hidden) - hidden : units);
  if (code > maxCode) return mode === TOWARD_ZERO ? sign + maxCode : overflow;
  return code === 0 && !spec.hasNegativeZero ? 0 : sign + code;
}

/** Whether a magnitude of `whole + fraction` units, 0 <= fraction < 1, is rounded up. `whole` is odd exactly when its code is. */
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
 * Encodes numbers into a format, as defined by the table at the top of this file.
 *
 * Stochastic rounding: element i uses r = philoxHalf(i, 0, 0, seed) / 2^16. With q = |x| / quantum (the quantum is the spacing of the format at
 * x, which below the smallest normal is the subnormal spacing; |x| is first clamped to max when saturating), the magnitude becomes
 *   floor(q) + (r < q - floor(q) ? 1 : 0) quanta.
 *
 * @param values numbers, rounded from float64: a typed array of floats or integers, or a plain array.
 * @param dtype name of the format, or an alias.
 * @returns one code per value: Uint8Array for formats of up to 8 bits, Uint16Array for 16-bit formats, Float32Array for float32.
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
 * Decodes codes to their exact values.
 *
 * @param codes a typed array of the kind that {@link encode} returns for this format, or a plain array of integers (not for float32).
 * @param dtype name of the format, or an alias.
 * @returns one value per code; NaN for every NaN code.
 * @throws {TypeError} for another kind of array, so that bytes or values are not decoded as codes by mistake.
 * @throws {RangeError} for an unknown format, or an element of a plain array that is not a code.
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
 * Rounds numbers to values of a format ("fake quantisation"): `decode(encode(values))`.
 *
 * @returns one value per input, in float64 so that it can be compared with the input directly.
 * @throws {TypeError | RangeError} as {@link encode}.
 */
export function round(values: ArrayLike<number>, dtype: string, options?: EncodeOptions): Float64Array<ArrayBuffer> {
  return Float64Array.from(decode(encode(values, dtype, options), dtype));
}

/** The array that bit patterns are written to; float32 patterns are reinterpreted at the end, so that a NaN keeps the bits we chose. */
function bitsArray(
  spec: FormatSpec,
  length: number,
): Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  if (spec.bytes === 1) return new Uint8Array(length);
  return spec.bytes === 2 ? new Uint16Array(length) : new Uint32Array(length);
}

const tables = new Map<DType, Float32Array>();

/** All values of a format of at most 16 bits, indexed by code and made on first use. Each is exact in float32. */
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
  // Checks the tag rather than instanceof: it also holds for a Buffer and for arrays from another realm.
  const tag = (codes as Partial<Uint8Array>)[Symbol.toStringTag];
  if (tag !== expected && (ArrayBuffer.isView(codes) || spec.bits === 32)) {
    throw new TypeError(`codes: expected ${expected} for ${spec.name}, got ${describe(codes)}`);
  }
}
