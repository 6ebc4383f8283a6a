/** Estimates in readable form. */
import { MEASURES, type MeasureName } from '../../study/measures.js';
import type { Difference } from '../../study/results.js';
import type { Estimate } from '../../study/statistics.js';

/** Enough digits to tell the numbers of one table apart: 4 decimals for losses, 3 significant digits for small fractions. */
export const value = (x: number): string =>
  Math.abs(x) >= 0.01 && Math.abs(x) < 100 ? x.toFixed(4) : String(Number(x.toPrecision(3)));

/** `1.4791 [1.4702, 1.4880]`. */
export function estimateText(estimate: Estimate | null): string {
  if (!estimate) return 'none';
  const { mean, low, high } = estimate;
  return low === null || high === null ? value(mean) : `${value(mean)} [${value(low)}, ${value(high)}]`;
}

/** `+0.28 % [−0.10 %, +0.66 %]` relative to the baseline, or `−2.2 dB [−2.5 dB, −1.9 dB]` if the measure has a unit for differences. */
export function differenceText(name: MeasureName, difference: Difference): string {
  const { low, high } = estimateOf(name, difference);
  const mean = meanDifference(name, difference);
  return low === null || high === null ? mean : `${mean} [${signed(name, low)}, ${signed(name, high)}]`;
}

/** Only the mean of the difference. */
export const meanDifference = (name: MeasureName, difference: Difference): string =>
  signed(name, estimateOf(name, difference).mean);

const estimateOf = (name: MeasureName, { absolute, relative }: Difference): Estimate =>
  MEASURES[name].differences ? absolute : relative;

function signed(name: MeasureName, x: number): string {
  const { differences: unit } = MEASURES[name];
  const size = unit ? `${Math.abs(x).toFixed(1)} ${unit}` : `${Math.abs(100 * x).toFixed(2)} %`;
  return `${x >= 0 ? '+' : '−'}${size}`;
}
