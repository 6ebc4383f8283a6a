/**
 * The properties of each number format, all derived from the integers in `constants.ts`; no limit is written by hand.
 *
 * Names follow torch and ml_dtypes. A code holds the sign in its top bit, then the exponent field, then the mantissa. Positive codes increase
 * with their values, so "next larger value" is "code + 1" (the encoder relies on this).
 */

import { describe } from './check.js';
import * as C from './constants.js';

/** Names of the formats, as in torch (or ml_dtypes where torch has none), indexed by format id: `DTYPES[formatSpec(d).id] === d`. */
export const DTYPES = /* @__PURE__ */ Object.freeze([
  'float32',
  'bfloat16',
  'float16',
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
] as const);

/** The name of a number format. */
export type DType = (typeof DTYPES)[number];

/** All properties of a format. Codes are unsigned integers; the sign bit is not set in `maxCode` and `infCode`. */
export interface FormatSpec {
  readonly name: DType;
  /** The id of this format in the kernels. */
  readonly id: number;
  readonly bits: number;
  /** Bytes of an unpacked code: codes of 4 or 6 bits take one byte each. */
  readonly bytes: number;
  readonly expBits: number;
  readonly manBits: number;
  readonly bias: number;
  /** Code of the largest finite value. */
  readonly maxCode: number;
  /** Code of +infinity, or -1 where the format has none. */
  readonly infCode: number;
  /**
   * The NaN code that encoders write, or -1 where the format has none. Decoding also gives NaN for every other code that is neither finite nor
   * infinite.
   */
  readonly nanCode: number;
  /** The sign bit as a code; 0 in an unsigned format. */
  readonly signCode: number;
  readonly hasInf: boolean;
  readonly hasNaN: boolean;
  /** Whether -0 has a code. */
  readonly hasNegativeZero: boolean;
  /** Exponent of the smallest normal value, which also sets the spacing of subnormals. */
  readonly minExponent: number;
  readonly max: number;
  readonly smallestNormal: number;
  readonly smallestSubnormal: number;
  /** Distance from 1 to the next larger value. */
  readonly eps: number;
  /** The default of `saturate`: true for formats of up to 8 bits (as in ONNX), false for the others (as in IEEE 754). */
  readonly saturates: boolean;
}

/** The limits of a format, with the vocabulary of numpy, torch and ml_dtypes. */
export interface FormatInfo {
  readonly dtype: DType;
  readonly bits: number;
  readonly max: number;
  readonly min: number;
  /** Distance from 1 to the next larger value. */
  readonly eps: number;
  readonly smallestNormal: number;
  /** The smallest positive value; for float8_e8m0fnu, which has no subnormals, the smallest normal value. */
  readonly smallestSubnormal: number;
  /** Bits of the significand, including the hidden one. */
  readonly digits: number;
  /** Largest e with 2^e in the format. */
  readonly maxExponent: number;
  /** The e of the smallest normal value 2^e. */
  readonly minExponent: number;
  /** Number of codes of each kind; they add up to 2^bits. */
  readonly codes: { readonly finite: number; readonly infinite: number; readonly nan: number };
}

const scratch = new DataView(new ArrayBuffer(8));

/**
 * 2^exponent, exact: written directly into the bits of a float64, because `Math.pow` and `**` may differ between engines.
 *
 * @param exponent integer from -1022 to 1023; not checked.
 */
export function powerOfTwo(exponent: number): number {
  scratch.setUint32(0, (exponent + 1023) * 0x100000);
  scratch.setUint32(4, 0);
  return scratch.getFloat64(0);
}

/** The float32 with these bits. Kernels return amax as bits, which order NaN above infinity above finite numbers. */
export function floatOfBits(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

/** The bits of a number rounded to float32. */
export function bitsOfFloat(x: number): number {
  scratch.setFloat32(0, x);
  return scratch.getUint32(0);
}

/** The e with 2^e <= |x| < 2^(e + 1), for |x| normal in float64. */
export function exponentOf(x: number): number {
  scratch.setFloat64(0, x);
  return ((scratch.getUint32(0) >>> 20) & 0x7ff) - 1023;
}

/**
 * The magnitude of a finite code, exact in float64.
 *
 * @param magnitude code from 0 to `maxCode`; not checked.
 */
export function finiteValue(
  magnitude: number,
  { manBits, minExponent, signCode }: Pick<FormatSpec, 'manBits' | 'minExponent' | 'signCode'>,
): number {
  const hidden = powerOfTwo(manBits);
  const fraction = magnitude % hidden;
  const field = (magnitude - fraction) / hidden;
  // The unsigned format has neither subnormals nor zero: its exponent field 0 is an ordinary exponent.
  if (signCode === 0) return (hidden + fraction) * powerOfTwo(minExponent + field - manBits);
  return field === 0
    ? fraction * powerOfTwo(minExponent - manBits)
    : (hidden + fraction) * powerOfTwo(minExponent + field - 1 - manBits);
}

function derive(name: DType): FormatSpec {
  const prefix = name.toUpperCase();
  const integer = (field: string) => (C as unknown as Record<string, number>)[prefix + field];
  const [expBits, manBits, bias] = ['_EXP_BITS', '_MAN_BITS', '_BIAS'].map(integer);
  const [maxCode, infCode, nanCode] = ['_MAX_CODE', '_INF_CODE', '_NAN_CODE'].map(integer);
  const signBits = integer('_SIGN_BITS');
  const bits = signBits + expBits + manBits;
  const signCode = signBits * powerOfTwo(bits - 1);
  const minExponent = signBits - bias;
  return Object.freeze({
    name,
    id: integer(''),
    bits,
    bytes: Math.ceil(bits / 8),
    expBits,
    manBits,
    bias,
    maxCode,
    infCode,
    nanCode,
    signCode,
    hasInf: infCode !== -1,
    hasNaN: nanCode !== -1,
    hasNegativeZero: signBits === 1 && nanCode !== signCode,
    minExponent,
    max: finiteValue(maxCode, { manBits, minExponent, signCode }),
    smallestNormal: powerOfTwo(minExponent),
    smallestSubnormal: powerOfTwo(minExponent - manBits),
    eps: powerOfTwo(-manBits),
    saturates: bits <= 8,
  });
}

const SPECS: ReadonlyMap<string, FormatSpec> = /* @__PURE__ */ new Map(DTYPES.map((name) => [name, derive(name)]));

/** Names used elsewhere (safetensors, ONNX, MLIR, vLLM, everyday speech), in lower case, beyond differences of spelling (see dtypeOf). */
const ALIASES: Readonly<Record<string, DType>> = {
  f32: 'float32',
  fp32: 'float32',
  float: 'float32',
  single: 'float32',
  bf16: 'bfloat16',
  f16: 'float16',
  fp16: 'float16',
  half: 'float16',
  fp8: 'float8_e4m3fn',
  f4: 'float4_e2m1fn',
  fp4: 'float4_e2m1fn',
  // safetensors means the OCP format when it writes F8_E4M3, with an underscore; StableHLO's f8E4M3 is the IEEE-like one.
  f8_e4m3: 'float8_e4m3fn',
};

/** Ambiguous names, refused rather than guessed: some mean max 448 (vLLM, everyday speech), others max 240 (MLIR, StableHLO). */
const AMBIGUOUS: ReadonlySet<string> = /* @__PURE__ */ new Set(['e4m3', 'f8e4m3', 'float8e4m3', 'fp8_e4m3', 'fp8e4m3']);

/**
 * The torch name of a format, given that name or an alias, in any case: `F8_E4M3`, `FLOAT8E4M3FN` and `fp8` are `float8_e4m3fn`; `BF16` is
 * `bfloat16`; `half` is `float16`.
 *
 * @throws {TypeError} if the argument is not a string.
 * @throws {RangeError} if no format has this name, or if it is ambiguous (`e4m3`).
 */
export function dtypeOf(nameOrAlias: string): DType {
  if (typeof nameOrAlias !== 'string') {
    throw new TypeError(`dtype: expected a string such as 'float8_e4m3fn', got ${describe(nameOrAlias)}`);
  }
  const name = nameOrAlias.toLowerCase();
  const dtype = SPECS.get(name)?.name ?? (Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined);
  if (dtype) return dtype;
  if (AMBIGUOUS.has(name)) {
    throw new RangeError(
      `dtype: expected 'float8_e4m3fn' (OCP, max 448) or 'float8_e4m3' (IEEE-like, max 240), got '${nameOrAlias}', which is used for both`,
    );
  }
  // The rest are spelling variants: F8_E5M2, FLOAT8E5M2, fp8_e5m2 and e5m2 share the part after the width; F6_E2M3 and FLOAT8E8M0 omit 'fn' or
  // 'fnu'.
  const [, width, layout] = /^(?:float|fp?)?([468]?)_?(e\dm\d[a-z0-9]*)$/.exec(name) ?? [];
  for (const ending of layout ? ['', 'fn', 'fnu'] : []) {
    const found = DTYPES.find((known) => known.startsWith(`float${width}`) && known.endsWith(`_${layout}${ending}`));
    if (found) return found;
  }
  throw new RangeError(`dtype: expected one of ${DTYPES.join(', ')} or an alias, got '${nameOrAlias}'`);
}

/**
 * The properties of a format, given its name or an alias. The record is frozen and shared.
 *
 * @throws {TypeError | RangeError} as {@link dtypeOf}.
 */
export function formatSpec(dtype: string): FormatSpec {
  return SPECS.get(dtype) ?? SPECS.get(dtypeOf(dtype))!;
}

/**
 * The exact limits of a format, like `torch.finfo` and `ml_dtypes.finfo`.
 *
 * @throws {TypeError | RangeError} as {@link dtypeOf}.
 */
export function finfo(dtype: string): FormatInfo {
  const spec = formatSpec(dtype);
  const { name, bits, max, eps, smallestNormal, smallestSubnormal, manBits, minExponent, maxCode, signCode } = spec;
  const halves = signCode === 0 ? 1 : 2;
  const finite = halves * (maxCode + 1) - (signCode > 0 && !spec.hasNegativeZero ? 1 : 0);
  const infinite = spec.hasInf ? halves : 0;
  return {
    dtype: name,
    bits,
    max,
    min: signCode === 0 ? smallestNormal : -max,
    eps,
    smallestNormal,
    smallestSubnormal,
    digits: manBits + 1,
    maxExponent: exponentOf(max),
    minExponent,
    codes: { finite, infinite, nan: powerOfTwo(bits) - finite - infinite },
  };
}
