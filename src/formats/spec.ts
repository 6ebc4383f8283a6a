/**
 * The facts of each number format, derived from the integers in `constants.ts`. No limit is written by hand here.
 *
 * Names follow torch and ml_dtypes. In a code the sign is the top bit, then the exponent field, then the mantissa; the codes of the
 * positive half count upwards with the values, so "next larger value" is "code + 1" (the encoder leans on this).
 */

import { describe } from './check.js';
import * as C from './constants.js';

/** Torch's names of the formats (ml_dtypes' where torch has none), at the index of their id: `DTYPES[formatSpec(d).id] === d`. */
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

/** A number format, by its name. */
export type DType = (typeof DTYPES)[number];

/** Everything there is to know about a format. Codes are unsigned integers; the sign bit is not set in `maxCode` and `infCode`. */
export interface FormatSpec {
  readonly name: DType;
  /** The integer the kernels know this format by. */
  readonly id: number;
  readonly bits: number;
  /** Bytes of an unpacked code: a code of 4 or 6 bits has a byte to itself. */
  readonly bytes: number;
  readonly expBits: number;
  readonly manBits: number;
  readonly bias: number;
  /** Code of the largest finite value. */
  readonly maxCode: number;
  /** Code of +infinity, or -1 where the format has none. */
  readonly infCode: number;
  /** The one NaN code the encoders write, or -1 where the format has none. Other codes that are not finite or infinite decode to NaN too. */
  readonly nanCode: number;
  /** The sign bit as a code, 0 in an unsigned format. */
  readonly signCode: number;
  readonly hasInf: boolean;
  readonly hasNaN: boolean;
  /** Whether -0 has a code. */
  readonly hasNegativeZero: boolean;
  /** Exponent of the smallest normal value, and of the spacing rule for all subnormals. */
  readonly minExponent: number;
  readonly max: number;
  readonly smallestNormal: number;
  readonly smallestSubnormal: number;
  /** Distance from 1 to the next larger value. */
  readonly eps: number;
  /** What `saturate` means when it is not given: true for formats of up to 8 bits (ONNX), false for the others (IEEE 754). */
  readonly saturates: boolean;
}

/** The limits of a format, in the vocabulary of numpy, torch and ml_dtypes. */
export interface FormatInfo {
  readonly dtype: DType;
  readonly bits: number;
  readonly max: number;
  readonly min: number;
  /** Distance from 1 to the next larger value. */
  readonly eps: number;
  readonly smallestNormal: number;
  /** The smallest positive value; of float8_e8m0fnu, which has no subnormals, the smallest normal one. */
  readonly smallestSubnormal: number;
  /** Bits of the significand, the hidden one included. */
  readonly digits: number;
  /** Largest e with 2^e in the format. */
  readonly maxExponent: number;
  /** e of the smallest normal value, 2^e. */
  readonly minExponent: number;
  /** Codes by what they stand for; together 2^bits. */
  readonly codes: { readonly finite: number; readonly infinite: number; readonly nan: number };
}

const scratch = new DataView(new ArrayBuffer(8));

/**
 * 2^exponent, exact: the exponent is written into the bits of a float64 (`Math.pow` and `**` may differ between engines).
 *
 * @param exponent integer from -1022 to 1023; not checked.
 */
export function powerOfTwo(exponent: number): number {
  scratch.setUint32(0, (exponent + 1023) * 0x100000);
  scratch.setUint32(4, 0);
  return scratch.getFloat64(0);
}

/** Exponent of 2^e <= |x| < 2^(e + 1), for |x| normal in float64. */
export function exponentOf(x: number): number {
  scratch.setFloat64(0, x);
  return ((scratch.getUint32(0) >>> 20) & 0x7ff) - 1023;
}

/**
 * The value of a finite code without its sign, exact in float64.
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
  // The unsigned format has neither subnormals nor zero: its field 0 is a normal one.
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

/** Other people's names (safetensors, ONNX, MLIR, vLLM, everyday speech), in lower case, beyond spelling (see dtypeOf). */
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

/** Half the world means max 448 by these (vLLM, speech), the other half max 240 (MLIR, StableHLO): refused, not guessed. */
const AMBIGUOUS: ReadonlySet<string> = /* @__PURE__ */ new Set(['e4m3', 'f8e4m3', 'float8e4m3', 'fp8_e4m3', 'fp8e4m3']);

/**
 * The torch name for a format given by that name or by an alias, in any case: `F8_E4M3`, `FLOAT8E4M3FN` and `fp8` are `float8_e4m3fn`;
 * `BF16` is `bfloat16`; `half` is `float16`.
 *
 * @throws {TypeError} if the argument is not a string.
 * @throws {RangeError} if no format has this name, or two have (`e4m3`).
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
  // What is left is spelling: F8_E5M2, FLOAT8E5M2, fp8_e5m2 and e5m2 share what follows the width; F6_E2M3 and FLOAT8E8M0 leave out 'fn'.
  const [, width, layout] = /^(?:float|fp?)?([468]?)_?(e\dm\d[a-z0-9]*)$/.exec(name) ?? [];
  for (const ending of layout ? ['', 'fn', 'fnu'] : []) {
    const found = DTYPES.find((known) => known.startsWith(`float${width}`) && known.endsWith(`_${layout}${ending}`));
    if (found) return found;
  }
  throw new RangeError(`dtype: expected one of ${DTYPES.join(', ')} or an alias, got '${nameOrAlias}'`);
}

/**
 * The facts of a format, given by its name or an alias. The record is frozen and shared.
 *
 * @throws {TypeError | RangeError} as {@link dtypeOf}.
 */
export function formatSpec(dtype: string): FormatSpec {
  return SPECS.get(dtype) ?? SPECS.get(dtypeOf(dtype))!;
}

/**
 * The limits of a format, as `torch.finfo` and `ml_dtypes.finfo` give them. All values are exact.
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
