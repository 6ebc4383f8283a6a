/** Sums the findings of a verification by format. */
import type { Finding } from '../../src/verify/index.js';

export interface Tally {
  readonly dtype: string;
  readonly checks: number;
  readonly inputs: number;
  readonly mismatches: number;
  /** The first input that differs. */
  readonly first?: string;
}

/** Adds a finding to the tallies. Formats keep the order in which they first appeared. */
export function tallied(tallies: readonly Tally[], { dtype, inputs, mismatches, first }: Finding): Tally[] {
  const before = tallies.find((tally) => tally.dtype === dtype);
  const after: Tally = {
    dtype,
    checks: (before?.checks ?? 0) + 1,
    inputs: (before?.inputs ?? 0) + inputs,
    mismatches: (before?.mismatches ?? 0) + mismatches,
    first: before?.first ?? first,
  };
  return before ? tallies.map((tally) => (tally === before ? after : tally)) : [...tallies, after];
}
