/**
 * exp, log, sin, cos and power in float64, from the four basic operations alone. `Math.exp`, `Math.cos` and the like differ between engines
 * in the last bit, which would reach weights (initial values, rotary angles) and learning rates. Errors, measured in test/math.test.ts:
 * below 2 ulp for exp and log, below 2^-51 absolute for sin and cos at |x| <= 2^20.
 */
import { powerOfTwo } from '../formats/spec.js';

const LN2_HIGH = 0.6931471803691238; // 32 significand bits: n * LN2_HIGH is exact for |n| < 2^20
const LN2_LOW = 1.9082149292705877e-10;

export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709) return Number.POSITIVE_INFINITY;
  if (x < -708) return 0;
  const n = Math.round(x / Math.LN2);
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  // Taylor to r^14 / 14!: |r| <= 0.347 leaves 1e-19.
  let p = 1;
  for (let k = 14; k > 0; k--) p = 1 + (p * r) / k;
  return p * powerOfTwo(n);
}

export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  let m = x;
  let n = 0;
  while (m > Math.SQRT2) {
    m /= 2;
    n++;
  }
  while (m < Math.SQRT1_2) {
    m *= 2;
    n--;
  }
  // log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| <= 0.172: the series to s^23 leaves 1e-20.
  const s = (m - 1) / (m + 1);
  const square = s * s;
  let p = 0;
  for (let k = 23; k > 1; k -= 2) p = (p + 1 / k) * square;
  return n * LN2_HIGH + (2 * s + (2 * s * p + n * LN2_LOW));
}

/** x^y for x > 0. */
export const power = (x: number, y: number): number => exp(y * log(x));

/** x^n for an integer n >= 0, by repeated squaring. */
export function integerPower(x: number, n: number): number {
  let result = 1;
  for (let base = x, left = n; left > 0; left = Math.floor(left / 2), base *= base) {
    if (left % 2 === 1) result *= base;
  }
  return result;
}

// pi/2 in three parts of 33, 33 and 53 bits: n times either of the first two is exact for |n| < 2^20.
const HALF_PI_1 = 1.5707963267341256;
const HALF_PI_2 = 6.077100506303966e-11;
const HALF_PI_3 = 2.0222662487959506e-21;

function reduce(x: number): { quadrant: number; r: number } {
  const n = Math.round(x / (Math.PI / 2));
  return { quadrant: ((n % 4) + 4) % 4, r: x - n * HALF_PI_1 - n * HALF_PI_2 - n * HALF_PI_3 };
}

function sinSeries(r: number): number {
  let p = 1;
  for (let k = 20; k > 0; k -= 2) p = 1 - (p * r * r) / (k * (k + 1));
  return r * p;
}

function cosSeries(r: number): number {
  let p = 1;
  for (let k = 20; k > 0; k -= 2) p = 1 - (p * r * r) / (k * (k - 1));
  return p;
}

export function sin(x: number): number {
  const { quadrant, r } = reduce(x);
  const value = quadrant % 2 === 0 ? sinSeries(r) : cosSeries(r);
  return quadrant < 2 ? value : -value;
}

export const cos = (x: number): number => {
  const { quadrant, r } = reduce(x);
  const value = quadrant % 2 === 0 ? cosSeries(r) : sinSeries(r);
  return quadrant === 0 || quadrant === 3 ? value : -value;
};
