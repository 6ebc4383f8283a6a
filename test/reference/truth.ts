/**
 * exp, log, sin and cos to 200 bits in integers: a truth for src/ops/math.ts that owes nothing to floating point.
 * A number is a BigInt in units of 2^-200; each series stops when its terms vanish, so results are good to some 190 bits.
 */

const BITS = 200n;
const ONE = 1n << BITS;
const times = (a: bigint, b: bigint) => (a * b) >> BITS;

/** term(0) + term(1) + ... while the running power `p` is not 0. */
function series(first: bigint, step: (p: bigint, k: bigint) => bigint, term: (p: bigint, k: bigint) => bigint): bigint {
  let sum = 0n;
  let p = first;
  for (let k = 0n; p !== 0n && p !== -1n; k++) {
    sum += term(p, k);
    p = step(p, k + 1n);
  }
  return sum;
}

/** 2 artanh(s) for |s| < 1/2. */
const artanh2 = (s: bigint) =>
  2n *
  series(
    s,
    (p) => times(times(p, s), s),
    (p, k) => p / (2n * k + 1n),
  );

const LN2 = artanh2(ONE / 3n);

/** arctan(1/n), for Machin's formula. */
const arccot = (n: bigint) =>
  series(
    ONE / n,
    (p) => -p / (n * n),
    (p, k) => p / (2n * k + 1n),
  );
const PI = 16n * arccot(5n) - 4n * arccot(239n);

const bits = new DataView(new ArrayBuffer(8));

/** A finite float64 as m * 2^e, exactly. */
export function parts(x: number): { m: bigint; e: number } {
  bits.setFloat64(0, x);
  const word = bits.getBigUint64(0);
  const field = Number((word >> 52n) & 0x7ffn);
  const fraction = word & 0xfffffffffffffn;
  const magnitude = field === 0 ? fraction : fraction | (1n << 52n);
  return { m: word >> 63n ? -magnitude : magnitude, e: Math.max(field, 1) - 1075 };
}

/** A float64 in units of 2^-200: exact where its last bit is no smaller (|x| >= 2^-148). */
function fixed(x: number): bigint {
  const { m, e } = parts(x);
  const shift = BigInt(e) + BITS;
  return shift >= 0n ? m << shift : m >> -shift;
}

const divideRounding = (a: bigint, b: bigint) => (2n * a + b) / (2n * b) - ((2n * a + b) % (2n * b) < 0n ? 1n : 0n);

/** A true value: mantissa * 2^(exponent - 200). */
export interface Truth {
  readonly mantissa: bigint;
  readonly exponent: number;
}

export function exp(x: number): Truth {
  const value = fixed(x);
  const n = divideRounding(value, LN2);
  const r = value - n * LN2;
  const mantissa = series(
    ONE,
    (p, k) => times(p, r) / k,
    (p) => p,
  );
  return { mantissa, exponent: Number(n) };
}

/** For a positive normal x. */
export function log(x: number): Truth {
  const { m, e } = parts(x);
  // m * 2^e = y * 2^n with y in [1, 2).
  const n = BigInt(e) + 52n;
  const y = m << (BITS - 52n);
  return { mantissa: artanh2(((y - ONE) << BITS) / (y + ONE)) + n * LN2, exponent: 0 };
}

function sinCos(x: number): { sin: bigint; cos: bigint } {
  const value = fixed(x);
  const n = divideRounding(2n * value, PI);
  const r = value - (n * PI) / 2n;
  const square = times(r, r);
  const s = series(
    r,
    (p, k) => -times(p, square) / (2n * k * (2n * k + 1n)),
    (p) => p,
  );
  const c = series(
    ONE,
    (p, k) => -times(p, square) / ((2n * k - 1n) * 2n * k),
    (p) => p,
  );
  const quadrant = Number(((n % 4n) + 4n) % 4n);
  return { sin: [s, c, -s, -c][quadrant], cos: [c, -s, -c, s][quadrant] };
}

export const sin = (x: number): Truth => ({ mantissa: sinCos(x).sin, exponent: 0 });
export const cos = (x: number): Truth => ({ mantissa: sinCos(x).cos, exponent: 0 });

/** computed - truth, as a multiple of 2^-200 and with the truth on the same scale. */
function aligned(
  computed: number,
  { mantissa, exponent }: Truth,
): { difference: bigint; magnitude: bigint; scale: number } {
  const { m, e } = parts(computed);
  // Both over 2^low.
  const low = Math.min(e, exponent - Number(BITS));
  const truth = mantissa << BigInt(exponent - Number(BITS) - low);
  return { difference: (m << BigInt(e - low)) - truth, magnitude: truth < 0n ? -truth : truth, scale: low };
}

/** |computed - truth| in units in the last place of a float64 of the truth's size. */
export function ulps(computed: number, truth: Truth): number {
  const { difference, magnitude } = aligned(computed, truth);
  if (difference === 0n) return 0;
  const ulp = 1n << BigInt(Math.max(0, magnitude.toString(2).length - 53));
  return Math.abs(Number((difference << 20n) / ulp)) / 2 ** 20;
}

/** |computed - truth|. */
export function distance(computed: number, truth: Truth): number {
  const { difference, scale } = aligned(computed, truth);
  return Math.abs(Number(difference)) * 2 ** scale;
}
