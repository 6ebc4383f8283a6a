/** The number line of a format: positions of its values between the smallest and the largest, on a linear or a logarithmic scale. */
import { decodeValue, type FormatSpec } from '../../src/formats/index.js';
import { codeAt, firstOrdinal, ordinalOf } from './explore.js';

export const SCALES = ['linear', 'log'] as const;
export type Scale = (typeof SCALES)[number];

export interface Mark {
  readonly value: number;
  /** 0 at the left end, 1 at the right. */
  readonly at: number;
}

const clamped = (x: number): number => Math.min(1, Math.max(0, x));

/**
 * Position of a number, 0 to 1, clamped at the ends. The logarithmic scale has zero in the middle; from there to the smallest value on either
 * side it is linear, over the length of one doubling.
 */
export function positionOf(x: number, spec: FormatSpec, scale: Scale): number {
  const { max, signCode } = spec;
  const smallest = decodeValue(signCode > 0 ? 1 : 0, spec);
  const doublings = (v: number) => (v <= smallest ? v / smallest : 1 + Math.log2(v / smallest));
  const along = scale === 'linear' ? Math.abs(x) / max : doublings(Math.abs(x)) / doublings(max);
  const signed = x < 0 ? -along : along;
  return clamped(signCode > 0 ? (1 + signed) / 2 : signed);
}

/** Formats with more codes than this show only powers of two. */
const MOST_CODES = 256;

/** The values that a line shows: all of a small format, or the powers of two of a large one. */
export function valuesOnLine(spec: FormatSpec): number[] {
  const step = 2 ** spec.bits > MOST_CODES ? 2 ** spec.manBits : 1;
  const magnitudes: number[] = [];
  for (let code = 0; code <= spec.maxCode; code += step) magnitudes.push(decodeValue(code, spec));
  return spec.signCode > 0
    ? [...magnitudes.slice(1).map((value) => -value), ...magnitudes].sort((a, b) => a - b)
    : magnitudes;
}

/** Values to label, few and with many pixels between them: ends, zero, one, and on a logarithmic scale the start of the subnormals. */
export function labels(spec: FormatSpec, scale: Scale): Mark[] {
  const { max, smallestNormal, signCode } = spec;
  const positive = scale === 'log' && signCode > 0 ? [smallestNormal, 1, max] : [max];
  const values = signCode > 0 ? [...positive.map((value) => -value), 0, ...positive] : [smallestNormal, 1, max];
  const marks = [...new Set(values)].map((value) => ({ value, at: positionOf(value, spec, scale) }));
  marks.sort((a, b) => a.at - b.at);
  return marks.filter(({ at }, i) => i === 0 || at - marks[i - 1].at > 0.16);
}

/** The code whose value is nearest to a position. */
export function codeNear(at: number, spec: FormatSpec, scale: Scale): number {
  let [low, high] = [firstOrdinal(spec), spec.maxCode];
  const where = (ordinal: number) => positionOf(decodeValue(codeAt(ordinal, spec), spec), spec, scale);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (where(middle) <= at) low = middle;
    else high = middle;
  }
  return codeAt(at - where(low) <= where(high) - at ? low : high, spec);
}

export interface Close {
  /** Values of the format, and the midpoints between them. */
  readonly values: readonly (Mark & { readonly code: number })[];
  readonly midpoints: readonly Mark[];
  /** Position of the number. */
  readonly at: number;
}

/** Values on either side of a number, on a linear scale. */
export function closeUp(x: number, code: number, spec: FormatSpec, reach: number): Close | undefined {
  const ordinal = ordinalOf(code, spec);
  if (ordinal === undefined || !Number.isFinite(x) || Number.isNaN(decodeValue(code, spec))) return undefined;
  const last = Math.min(ordinal + reach, spec.maxCode);
  const first = Math.max(Math.min(ordinal - reach, last - 2 * reach), firstOrdinal(spec));
  const codes = Array.from({ length: last - first + 1 }, (_, i) => codeAt(first + i, spec));
  const values = codes.map((each) => decodeValue(each, spec));
  const [from, to] = [values[0], values[values.length - 1]];
  const where = (value: number) => clamped((value - from) / (to - from));
  return {
    values: values.map((value, i) => ({ value, code: codes[i], at: where(value) })),
    midpoints: values.slice(1).map((value, i) => {
      const middle = values[i] / 2 + value / 2;
      return { value: middle, at: where(middle) };
    }),
    at: where(x),
  };
}

/** The code `by` places further along the line, or at its end. */
export function codeAlong(code: number, by: number, spec: FormatSpec): number {
  const ordinal = ordinalOf(code, spec) ?? 0;
  return codeAt(Math.min(spec.maxCode, Math.max(firstOrdinal(spec), ordinal + by)), spec);
}
