/** Derives scales from amax. A scale multiplies before the cast; its inverse is stored beside the codes. */
import { LEAST_AMAX_BITS } from '../engine/units.js';
import { type DType, formatSpec } from '../formats/index.js';
import { bitsOfFloat, floatOfBits, powerOfTwo } from '../formats/spec.js';

/** The largest amax recorded by a kernel's units, which are `stride` words apart, starting at word `first`. */
export function largestAmax(words: Uint32Array, first = 0, stride = 1): number {
  let largest = 0;
  for (let i = first; i < words.length; i += stride) if (words[i] > largest) largest = words[i];
  return floatOfBits(largest);
}

/**
 * 2^floor(log2(max / amax)): the power-of-two scale of the recipe ("Scaling FP8 training", authors' code), computed by truncating the float32
 * quotient to its exponent. 1 if amax is 0, infinite or NaN, or the quotient leaves the normal range.
 */
export function powerOfTwoScale(amax: number, max: number): number {
  if (!(amax > 0)) return 1;
  const exponent = bitsOfFloat(max / Math.fround(amax)) & 0x7f800000;
  return exponent === 0 || exponent === 0x7f800000 ? 1 : floatOfBits(exponent);
}

/** A tensor whose largest magnitude is below this is practically zero, and its scale does not matter. */
const LEAST_AMAX = floatOfBits(LEAST_AMAX_BITS);

/** MAX / amax for stored optimizer state (not a power of two), and amax / MAX to undo it. */
export function fullRangeScale(amax: number, dtype: DType): { scale: number; scaleInv: number } {
  if (amax === 0) return { scale: 1, scaleInv: 1 };
  const a = Math.max(amax, LEAST_AMAX);
  const { max } = formatSpec(dtype);
  return { scale: Math.fround(max / a), scaleInv: Math.fround(a / max) };
}

/**
 * Delayed scaling: within an optimizer step the scale is constant and comes from the largest magnitudes that the tensor had in previous steps. A
 * tensor not seen before is scaled by its own values (the papers start at 1, which for weights of size 0.02 would put most E4M3 codes among the
 * subnormals).
 */
export interface AmaxHistory {
  /** The magnitude that determines the scale; 0 before the first step. */
  previous: number;
  /** Largest magnitude so far in this step. */
  current: number;
  /** Largest magnitudes of previous steps, newest first; empty if only the last one counts. */
  recent: number[];
  /** For an adaptive scale: how far it has moved from the scale of `previous`, in thousandths of a power of two. */
  level: number;
  /** Sum of the saturated shares of the casts in this step, and the number of casts. */
  saturated: number;
  casts: number;
}

/** The parameters of delayed scaling that its history needs; see `Scaling` in recipe.ts. */
export interface HistoryRule {
  readonly history: number;
  readonly algorithm: 'max' | 'most_recent';
  readonly interval: number;
}

export const newHistory = (): AmaxHistory => ({
  previous: 0,
  current: 0,
  recent: [],
  level: 0,
  saturated: 0,
  casts: 0,
});

export function observe(history: AmaxHistory, amax: number, saturated: number): void {
  history.saturated += saturated;
  history.casts++;
  // `<` is false for NaN: a NaN is caught by the loss and the gradient norm, and must not enter a scale.
  if (history.current < amax) history.current = amax;
}

/** Discards what was seen in a global batch whose step is not taken. */
export function discard(history: AmaxHistory): void {
  Object.assign(history, { current: 0, saturated: 0, casts: 0 });
}

/** Ends the global batch of a step. A batch of zeros or infinities is ignored, as in Transformer Engine. */
export function advance(entry: AmaxHistory, { history, algorithm, interval }: HistoryRule, step: number): void {
  const seen = entry.current > 0 && Number.isFinite(entry.current);
  const recent = seen ? [entry.current, ...entry.recent].slice(0, history) : entry.recent;
  if (recent.length > 0 && (step % interval === 0 || entry.previous === 0)) {
    entry.previous = algorithm === 'max' ? Math.max(...recent) : recent[0];
  }
  // If the scale follows a single step immediately, nothing else needs to be kept.
  entry.recent = history === 1 && interval === 1 ? [] : recent;
  discard(entry);
}

/** FP8-LM (arXiv 2310.18313, section 2.1): the share of overflows above which a scale is halved, and the steps over which it doubles otherwise. */
const OVERFLOW_SHARE = 1e-5;
const DOUBLING_STEPS = 1000;
/** Powers of two that a scale may move, so that it stays within float32. */
const MOST_LEVEL = 60;

/** Ends the global batch of a step for an adaptive scale, which starts at the scale of the first step's own amax. */
export function adapt(entry: AmaxHistory): void {
  if (entry.previous === 0) {
    if (entry.current > 0 && Number.isFinite(entry.current)) entry.previous = entry.current;
  } else {
    const moved = entry.saturated > OVERFLOW_SHARE * entry.casts ? -DOUBLING_STEPS : 1;
    const most = MOST_LEVEL * DOUBLING_STEPS;
    entry.level = Math.max(-most, Math.min(most, entry.level + moved));
  }
  discard(entry);
}

/** The power of two that multiplies an adaptive scale. */
export const adapted = ({ level }: AmaxHistory): number => powerOfTwo(Math.floor(level / DOUBLING_STEPS));
