/**
 * The facts of each number format, derived from the integers in `constants.ts`. No limit is written by hand here.
 *
 * Names follow torch and ml_dtypes. In a code the sign is the top bit, then the exponent field, then the mantissa; the codes of the
 * positive half count upwards with the values, so "next larger value" is "code + 1" (the encoder leans on this).
 */

import * as C from './constants.js';

/** A number format, by its torch name. The order of this union is the order of the ids. */
export type DType = 'float32' | 'bfloat16' | 'float16' | 'float8_e4m3fn' | 'float8_e5m2' | 'float8_e4m3';

/** Everything there is to know about a format. Codes are unsigned integers; the sign bit is not set in `maxCode`, `infCode` and `nanCode`. */
export interface FormatSpec {
  readonly name: DType;
  /** The integer the kernels know this format by. */
  readonly id: number;
  readonly bits: number;
  readonly bytes: number;
  readonly expBits: number;
  readonly manBits: number;
  readonly bias: number;
  /** Code of the largest finite value. */
  readonly maxCode: number;
  /** Code of +infinity, or -1 where the format has none. */
  readonly infCode: number;
  /** The one NaN code the encoders write. Every other code above `maxCode` that is not an infinity also decodes to NaN. */
  readonly nanCode: number;
  /** The sign bit as a code: the code of -0. */
  readonly signCode: number;
  readonly hasInf: boolean;
  /** Exponent of the smallest normal value, and of the spacing rule for all subnormals. */
  readonly minExponent: number;
  readonly max: number;
  readonly smallestNormal: number;
  readonly smallestSubnormal: number;
  /** Distance from 1 to the next larger value. */
  readonly eps: number;
  /** What `saturate` means when it is not given: true for the 8-bit formats (ONNX), false for the others (IEEE 754). */
  readonly saturates: boolean;
}

/** The limits of a format, in the vocabulary of numpy, torch and ml_dtypes. */
export interface FormatInfo {
  readonly dtype: DType;
  readonly bits: number;
  readonly max: number;
  readonly min: number;
  readonly eps: number;
  readonly smallestNormal: number;
  readonly smallestSubnormal: number;
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

/**
 * The value of a finite code without its sign, exact in float64.
 *
 * @param magnitude code from 0 to `maxCode`; not checked.
 */
export function finiteValue(magnitude: number, manBits: number, bias: number): number {
  const hidden = powerOfTwo(manBits);
  const fraction = magnitude % hidden;
  const field = (magnitude - fraction) / hidden;
  return field === 0
    ? fraction * powerOfTwo(1 - bias - manBits)
    : (hidden + fraction) * powerOfTwo(field - bias - manBits);
}

function derive(
  name: DType,
  id: number,
  [expBits, manBits, bias]: readonly [number, number, number],
  [maxCode, infCode, nanCode]: readonly [number, number, number],
): FormatSpec {
  const bits = 1 + expBits + manBits;
  return Object.freeze({
    name,
    id,
    bits,
    bytes: bits / 8,
    expBits,
    manBits,
    bias,
    maxCode,
    infCode,
    nanCode,
    signCode: powerOfTwo(bits - 1),
    hasInf: infCode !== -1,
    minExponent: 1 - bias,
    max: finiteValue(maxCode, manBits, bias),
    smallestNormal: powerOfTwo(1 - bias),
    smallestSubnormal: powerOfTwo(1 - bias - manBits),
    eps: powerOfTwo(-manBits),
    saturates: bits === 8,
  });
}

const ALL: readonly FormatSpec[] = [
  derive(
    'float32',
    C.FLOAT32,
    [C.FLOAT32_EXP_BITS, C.FLOAT32_MAN_BITS, C.FLOAT32_BIAS],
    [C.FLOAT32_MAX_CODE, C.FLOAT32_INF_CODE, C.FLOAT32_NAN_CODE],
  ),
  derive(
    'bfloat16',
    C.BFLOAT16,
    [C.BFLOAT16_EXP_BITS, C.BFLOAT16_MAN_BITS, C.BFLOAT16_BIAS],
    [C.BFLOAT16_MAX_CODE, C.BFLOAT16_INF_CODE, C.BFLOAT16_NAN_CODE],
  ),
  derive(
    'float16',
    C.FLOAT16,
    [C.FLOAT16_EXP_BITS, C.FLOAT16_MAN_BITS, C.FLOAT16_BIAS],
    [C.FLOAT16_MAX_CODE, C.FLOAT16_INF_CODE, C.FLOAT16_NAN_CODE],
  ),
  derive(
    'float8_e4m3fn',
    C.FLOAT8_E4M3FN,
    [C.FLOAT8_E4M3FN_EXP_BITS, C.FLOAT8_E4M3FN_MAN_BITS, C.FLOAT8_E4M3FN_BIAS],
    [C.FLOAT8_E4M3FN_MAX_CODE, C.FLOAT8_E4M3FN_INF_CODE, C.FLOAT8_E4M3FN_NAN_CODE],
  ),
  derive(
    'float8_e5m2',
    C.FLOAT8_E5M2,
    [C.FLOAT8_E5M2_EXP_BITS, C.FLOAT8_E5M2_MAN_BITS, C.FLOAT8_E5M2_BIAS],
    [C.FLOAT8_E5M2_MAX_CODE, C.FLOAT8_E5M2_INF_CODE, C.FLOAT8_E5M2_NAN_CODE],
  ),
  derive(
    'float8_e4m3',
    C.FLOAT8_E4M3,
    [C.FLOAT8_E4M3_EXP_BITS, C.FLOAT8_E4M3_MAN_BITS, C.FLOAT8_E4M3_BIAS],
    [C.FLOAT8_E4M3_MAX_CODE, C.FLOAT8_E4M3_INF_CODE, C.FLOAT8_E4M3_NAN_CODE],
  ),
];

/** The torch names, at the index of their id: `DTYPES[formatSpec(d).id] === d`. */
export const DTYPES: readonly DType[] = Object.freeze(ALL.map((spec) => spec.name));

const SPECS: ReadonlyMap<string, FormatSpec> = new Map(ALL.map((spec) => [spec.name, spec]));

/** Other people's names (safetensors, ONNX, MLIR, vLLM, everyday speech), in lower case. */
const ALIASES: ReadonlyMap<string, DType> = new Map(
  Object.entries({
    float32: ['f32', 'fp32', 'float', 'single'],
    bfloat16: ['bf16'],
    float16: ['f16', 'fp16', 'half'],
    // safetensors and ONNX mean the OCP format when they write E4M3.
    float8_e4m3fn: ['f8_e4m3', 'f8_e4m3fn', 'f8e4m3fn', 'float8e4m3fn', 'fp8_e4m3fn', 'fp8e4m3fn', 'e4m3fn', 'fp8'],
    float8_e5m2: ['f8_e5m2', 'f8e5m2', 'float8e5m2', 'fp8_e5m2', 'fp8e5m2', 'e5m2'],
  } satisfies Partial<Record<DType, string[]>>).flatMap(([name, aliases]) =>
    aliases.map((alias): [string, DType] => [alias, name as DType]),
  ),
);

/** Half the world means max 448 by these (vLLM, speech), the other half max 240 (MLIR, StableHLO): refused, not guessed. */
const AMBIGUOUS: ReadonlySet<string> = new Set(['e4m3', 'f8e4m3', 'float8e4m3', 'fp8_e4m3', 'fp8e4m3']);

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
  const dtype = SPECS.get(name)?.name ?? ALIASES.get(name);
  if (dtype) return dtype;
  if (AMBIGUOUS.has(name)) {
    throw new RangeError(
      `dtype: expected 'float8_e4m3fn' (OCP, max 448) or 'float8_e4m3' (IEEE-like, max 240), got '${nameOrAlias}', which is used for both`,
    );
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
  const { name, bits, max, eps, smallestNormal, smallestSubnormal } = formatSpec(dtype);
  return { dtype: name, bits, max, min: -max, eps, smallestNormal, smallestSubnormal };
}

/** A value as it should appear in an error message. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object';
  return String(value);
}
