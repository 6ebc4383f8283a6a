/** What the explorer shows about a code or number, all derived from the definition in src/formats, for every format. */
import {
  DTYPES,
  decodeValue,
  encodeValue,
  type FormatSpec,
  formatSpec,
  ROUNDING_IDS,
  type Rounding,
} from '../../src/formats/index.js';
import { exponentOf } from '../../src/formats/spec.js';

export type Field = 'sign' | 'exponent' | 'mantissa';

export interface Bit {
  /** 0 for the least significant bit. */
  readonly position: number;
  readonly field: Field;
  readonly set: boolean;
}

/** The bits of a code, most significant first. Codes of float32 exceed the range of bit operations, so they are divided instead. */
export function bitsOf(code: number, { bits, expBits, manBits }: FormatSpec): Bit[] {
  return Array.from({ length: bits }, (_, i) => {
    const position = bits - 1 - i;
    const field = position < manBits ? 'mantissa' : position < manBits + expBits ? 'exponent' : 'sign';
    return { position, field, set: Math.floor(code / 2 ** position) % 2 === 1 };
  });
}

export const flipped = (code: number, { position, set }: Bit): number => code + (set ? -1 : 1) * 2 ** position;

export const hexOf = (code: number, { bits }: FormatSpec): string =>
  `0x${code.toString(16).padStart(Math.ceil(bits / 4), '0')}`;

/** Parses a code in hexadecimal, with or without 0x; undefined if it is not a code of the format. */
export function parseHex(text: string, { bits }: FormatSpec): number | undefined {
  const match = /^(?:0x)?([0-9a-f]{1,8})$/i.exec(text.trim());
  const code = match ? Number.parseInt(match[1], 16) : Number.NaN;
  return code < 2 ** bits ? code : undefined;
}

export type Kind = 'zero' | 'subnormal' | 'normal' | 'infinity' | 'NaN';

export function kindOf(value: number, { smallestNormal }: FormatSpec): Kind {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return 'infinity';
  if (value === 0) return 'zero';
  return Math.abs(value) < smallestNormal ? 'subnormal' : 'normal';
}

/** A form such as "-1.101 x 2^-3", with the digits and exponent of the format; undefined if the value is not finite. */
export function binaryScientific(
  code: number,
  spec: FormatSpec,
): { significand: string; exponent: number } | undefined {
  const value = decodeValue(code, spec);
  const kind = kindOf(value, spec);
  if (kind === 'NaN' || kind === 'infinity') return undefined;
  const mantissa = bitsOf(code, spec)
    .filter(({ field }) => field === 'mantissa')
    .map(({ set }) => (set ? '1' : '0'))
    .join('');
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const significand = `${sign}${kind === 'normal' ? 1 : 0}${mantissa && `.${mantissa}`}`;
  return { significand, exponent: kind === 'normal' ? exponentOf(value) : spec.minExponent };
}

/** Position of a finite code in value order, 0 for zero (or for the smallest value of a format without zero). */
export function ordinalOf(code: number, { signCode, maxCode }: FormatSpec): number | undefined {
  const negative = signCode > 0 && code >= signCode;
  const magnitude = negative ? code - signCode : code;
  if (magnitude > maxCode) return undefined;
  return negative && magnitude > 0 ? -magnitude : magnitude;
}

export const codeAt = (ordinal: number, { signCode }: FormatSpec): number =>
  ordinal < 0 ? signCode - ordinal : ordinal;

export const firstOrdinal = ({ signCode, maxCode }: FormatSpec): number => (signCode > 0 ? -maxCode : 0);

export interface Neighbour {
  readonly code: number;
  readonly value: number;
}

/** The codes of the next smaller and next larger values; beyond the largest, infinity if the format has it. */
export function neighbours(code: number, spec: FormatSpec): { below?: Neighbour; above?: Neighbour } {
  const ordinal = ordinalOf(code, spec);
  if (ordinal === undefined || Number.isNaN(decodeValue(code, spec))) return {};
  const at = (next: number): Neighbour | undefined => {
    const inside = next >= firstOrdinal(spec) && next <= spec.maxCode;
    if (inside) return neighbour(codeAt(next, spec), spec);
    if (!spec.hasInf) return undefined;
    return neighbour(spec.infCode + (next < 0 ? spec.signCode : 0), spec);
  };
  return { below: at(ordinal - 1), above: at(ordinal + 1) };
}

const neighbour = (code: number, spec: FormatSpec): Neighbour => ({ code, value: decodeValue(code, spec) });

export interface Outcome extends Neighbour {
  /** Out of {@link DRAWS}. */
  readonly draws: number;
}

/** The kernels round by 16 random bits, so a probability is a number of draws out of these. */
export const DRAWS = 2 ** 16;

export const ROUNDINGS = Object.keys(ROUNDING_IDS) as Rounding[];
/** The modes that need no random number. */
export const DETERMINISTIC = ROUNDINGS.filter((rounding) => rounding !== 'stochastic');

/** The results of rounding a number in a mode: one outcome, or two under stochastic rounding, the likelier first. */
export function outcomes(x: number, spec: FormatSpec, rounding: Rounding, saturate: boolean): Outcome[] {
  const codeOf = (draw: number) => encodeValue(x, spec, { rounding, saturate, random: draw / DRAWS });
  const [first, last] = [codeOf(0), codeOf(DRAWS - 1)];
  if (first === last) return [{ ...neighbour(first, spec), draws: DRAWS }];
  // The smaller the random number, the more is rounded up, so the code changes exactly once.
  let [low, high] = [0, DRAWS - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (codeOf(middle) === first) low = middle;
    else high = middle;
  }
  const both = [
    { ...neighbour(first, spec), draws: high },
    { ...neighbour(last, spec), draws: DRAWS - high },
  ];
  return both.sort((a, b) => b.draws - a.draws);
}

export interface Everywhere extends Neighbour {
  readonly spec: FormatSpec;
  /** |value - x|, and the same relative to |x|; NaN where meaningless. */
  readonly absolute: number;
  readonly relative: number;
}

/** A number rounded to every format. */
export function everywhere(x: number, rounding: Rounding, saturate: boolean): Everywhere[] {
  return DTYPES.map((dtype) => {
    const spec = formatSpec(dtype);
    const { code, value } = neighbour(encodeValue(x, spec, { rounding, saturate }), spec);
    const absolute = Object.is(value, x) ? 0 : Math.abs(value - x);
    return { spec, code, value, absolute, relative: absolute === 0 ? 0 : absolute / Math.abs(x) };
  });
}

/** Whether a number lies exactly midway between two values of the format. */
export function isTie(x: number, spec: FormatSpec): boolean {
  const [a, b] = outcomes(x, spec, 'stochastic', true);
  return b !== undefined && a.value + b.value === 2 * x;
}
