/**
 * The arithmetic of the kernels in JavaScript: float32 is Math.fround after every operation. One rounding of an exact or float64 result
 * is one float32 operation, because float64 has more than twice the bits (sums, products, quotients and roots; Figueroa, 1995).
 */

export const f = Math.fround;
export const add = (a: number, b: number): number => f(a + b);
export const sub = (a: number, b: number): number => f(a - b);
export const mul = (a: number, b: number): number => f(a * b);
export const div = (a: number, b: number): number => f(a / b);
export const sqrt = (a: number): number => f(Math.sqrt(a));

/** A sum as the kernels take it: element i to lane i % 4 in ascending order, then (l0 + l1) + (l2 + l3). */
export function laneSum(count: number, term: (i: number) => number): number {
  const lanes = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) lanes[i & 3] = add(lanes[i & 3], term(i));
  return add(add(lanes[0], lanes[1]), add(lanes[2], lanes[3]));
}

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

/** Largest |x|, ordered as the bits are: NaN above infinity above finite. */
export function amax(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const x = Math.abs(values[i]);
    if (Number.isNaN(x)) return Number.NaN;
    if (x > largest) largest = x;
  }
  return largest;
}

/** 2^n for the float32 exponents, by its bits. */
export function powerOfTwo(n: number): number {
  word[0] = (n + 127) << 23;
  return real[0];
}

/** The largest power of two not above a positive normal float32. */
export function truncateToPower(x: number): number {
  real[0] = x;
  word[0] &= 0x7f800000;
  return real[0];
}

const LN2_HIGH = f(0.693145751953125);
const LN2_LOW = f(1.42860677e-6);
const LOG2E = f(Math.LOG2E);
const CEILING = f(88.37);
const POLYNOMIAL = [1.38145401e-3, 8.3687452e-3, 4.16683908e-2, 0.166665204, 0.499999934].map(f);
/** Adding and taking away 1.5 * 2^52 rounds a small float64 to an integer, ties to even. */
const ROUND = 6755399441055744;

/** assembly/math.ts `exp`, operation for operation. */
export function exp(x: number): number {
  if (x < -87) return 0;
  if (Number.isNaN(x)) return x;
  const clamped = Math.min(x, CEILING);
  const n = mul(clamped, LOG2E) + ROUND - ROUND;
  return scaled(sub(sub(clamped, mul(n, LN2_HIGH)), mul(n, LN2_LOW)), n);
}

/** assembly/math.ts `exp2`, for x of at least `least`; 0 below it. */
export function exp2(x: number, least: number): number {
  if (x < least) return 0;
  if (Number.isNaN(x)) return x;
  const n = x + ROUND - ROUND;
  return scaled(mul(sub(x, n), f(Math.LN2)), n);
}

function scaled(r: number, n: number): number {
  let p = POLYNOMIAL[0];
  for (let i = 1; i < POLYNOMIAL.length; i++) p = add(mul(p, r), POLYNOMIAL[i]);
  p = add(mul(mul(p, r), r), r);
  return mul(add(p, 1), powerOfTwo(n));
}

const LOG_SERIES = [0.111111112, 0.142857149, 0.200000003, 0.333333343].map(f);
const TWO_LOG2E = f(2.88539004);

/** assembly/math.ts `log2`. */
export function log2(x: number): number {
  real[0] = x;
  const e = (word[0] - 0x3f3504f3) >> 23;
  word[0] -= e << 23;
  const s = div(sub(real[0], 1), add(real[0], 1));
  const z = mul(s, s);
  const p = LOG_SERIES.reduce((sum, term) => add(mul(sum, z), term));
  return add(e, mul(add(s, mul(mul(p, z), s)), TWO_LOG2E));
}

/** assembly/math.ts `sigmoid`. */
export const sigmoid = (x: number): number => div(1, add(1, exp(-x)));
