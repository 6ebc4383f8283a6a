/** Counts of codes, as bars along the number line and by binade for a table. */
import { decodeValue, type FormatSpec } from '../../src/formats/index.js';

export interface Bar {
  readonly code: number;
  /** Value of the code alone, without the tensor's scale. */
  readonly value: number;
  readonly count: number;
}

/** Bars of the finite codes in value order, with the two zeros side by side. */
export function barsOf(counts: readonly number[], spec: FormatSpec): Bar[] {
  const bars = counts.map((count, code) => ({ code, value: decodeValue(code, spec), count }));
  const sign = ({ value }: Bar) => (Object.is(value, -0) ? -1 : 0);
  return bars.filter(({ value }) => Number.isFinite(value)).sort((a, b) => a.value - b.value || sign(a) - sign(b));
}

export const HEIGHT = 100;

/** Height of a bar on a logarithmic scale on which a single occurrence remains visible. */
export const heightOf = (count: number, largest: number): number =>
  count === 0 ? 0 : (HEIGHT * Math.log1p(count)) / Math.log1p(largest);

/** The outline of the bars selected by `wanted`, one unit wide each. */
export function outline(bars: readonly Bar[], wanted: (bar: Bar) => boolean): string {
  const largest = bars.reduce((most, { count }) => Math.max(most, count), 0);
  return bars
    .flatMap((bar, i) => {
      if (bar.count === 0 || !wanted(bar)) return [];
      return `M${i} ${HEIGHT}v-${heightOf(bar.count, largest).toFixed(2)}h1V${HEIGHT}z`;
    })
    .join('');
}

export interface Share {
  readonly what: string;
  readonly negative: number;
  readonly positive: number;
  /** Share of all elements. */
  readonly share: number;
}

/**
 * Shares of zero, subnormals, and each binade up to the largest, as shown to screen readers instead of the bars. Values after scaling are 1/scale
 * times these.
 */
export function sharesOf(counts: readonly number[], spec: FormatSpec): Share[] {
  const groups = new Map<string, { negative: number; positive: number }>();
  const total = counts.reduce((a, b) => a + b, 0);
  counts.forEach((count, code) => {
    const value = decodeValue(code, spec);
    const group = groups.get(groupOf(value, spec)) ?? { negative: 0, positive: 0 };
    group[value < 0 || Object.is(value, -0) ? 'negative' : 'positive'] += count;
    groups.set(groupOf(value, spec), group);
  });
  return [...groups]
    .filter(([, { negative, positive }]) => negative + positive > 0)
    .map(([what, group]) => ({ what, ...group, share: (group.negative + group.positive) / total }));
}

function groupOf(value: number, { smallestNormal, max }: FormatSpec): string {
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 'NaN';
  if (magnitude === Number.POSITIVE_INFINITY) return 'infinity';
  if (magnitude === 0) return 'zero';
  if (magnitude === max) return `the largest, ${max}`;
  if (magnitude < smallestNormal) return 'subnormal';
  return `from 2^${Math.floor(Math.log2(magnitude))}`;
}
