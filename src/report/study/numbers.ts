/** Estimates as people read them. */
import type { Estimate } from '../../study/statistics.js';

/** As many digits as tell the numbers of one table apart: losses 4 decimals, small shares 3 significant digits. */
export const value = (x: number): string =>
  Math.abs(x) >= 0.01 && Math.abs(x) < 100 ? x.toFixed(4) : String(Number(x.toPrecision(3)));

/** `1.4791 [1.4702, 1.4880]`. */
export function estimateText(estimate: Estimate | null): string {
  if (!estimate) return 'none';
  const { mean, low, high } = estimate;
  return low === null || high === null ? value(mean) : `${value(mean)} [${value(low)}, ${value(high)}]`;
}

const percent = (share: number): string => `${share >= 0 ? '+' : '−'}${Math.abs(100 * share).toFixed(2)} %`;

/** `+0.28 % [−0.10 %, +0.66 %]`, of an estimate in parts of the baseline. */
export function signedPercent({ mean, low, high }: Pick<Estimate, 'mean' | 'low' | 'high'>): string {
  return low === null || high === null ? percent(mean) : `${percent(mean)} [${percent(low)}, ${percent(high)}]`;
}
