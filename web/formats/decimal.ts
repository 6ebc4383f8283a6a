/** Converts decimal text to a number that rounds as the text would, and numbers to all their digits. */

/** The parsed input: a number for the encoders, or why it is not one. */
export type Parsed = { readonly value: number } | { readonly error: string };

/** Longer inputs and larger exponents make no difference in any format. */
const MAX_LENGTH = 400;
const MAX_EXPONENT = 9999;

const bitLength = (n: bigint): number => n.toString(2).length;
const view = new DataView(new ArrayBuffer(8));

/**
 * The float64 that any narrower format rounds as it would round the ratio itself: the ratio cut to 53 bits, with the last bit set if anything was
 * cut off ("round to odd"; Boldo and Melquiond, 2008). Rounding to the nearest float64 first would round twice.
 */
function oddRatio(numerator: bigint, denominator: bigint): number {
  if (numerator === 0n) return 0;
  const shift = 55 - (bitLength(numerator) - bitLength(denominator));
  const [up, down] = [BigInt(Math.max(shift, 0)), BigInt(Math.max(-shift, 0))];
  const [n, d] = [numerator << up, denominator << down];
  const quotient = n / d;
  // 2^-1074 is the last bit of float64's subnormals.
  const last = Math.max(bitLength(quotient) - 53 - shift, -1074);
  const cut = BigInt(last + shift);
  let significand = quotient >> cut;
  if (significand << cut !== quotient || n % d !== 0n) significand |= 1n;
  const exponent = last + 52 + 1023;
  if (exponent > 2046) return Number.MAX_VALUE;
  // The hidden bit of a normal counts as one in the exponent field.
  view.setBigUint64(0, significand + (significand >> 52n ? BigInt(exponent - 1) << 52n : 0n));
  return view.getFloat64(0);
}

/**
 * Parses a decimal ("0.1", "-3e-5"), infinity or NaN.
 *
 * @returns the float64 that every format here rounds exactly as it would the decimal; finite decimals stay finite, and nonzero ones nonzero
 */
export function parseDecimal(text: string): Parsed {
  const trimmed = text.trim().replace('−', '-');
  const [, sign, special] = /^([+-]?)(inf(?:inity)?|nan)$/i.exec(trimmed) ?? [];
  if (special) {
    const value = special.toLowerCase() === 'nan' ? Number.NaN : Number.POSITIVE_INFINITY;
    return { value: sign === '-' ? -value : value };
  }
  const match = /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(trimmed);
  if (!match || match[2] + match[3] === '')
    return { error: 'Expected a decimal number such as 0.1 or -3e-5, inf or nan.' };
  if (trimmed.length > MAX_LENGTH) return { error: `Expected at most ${MAX_LENGTH} characters.` };
  const [, minus, whole, fraction, power] = match;
  const exponent = Number(power ?? 0);
  if (Math.abs(exponent) > MAX_EXPONENT)
    return { error: `Expected an exponent from -${MAX_EXPONENT} to ${MAX_EXPONENT}.` };
  const digits = BigInt(whole + fraction);
  const scale = exponent - fraction.length;
  const magnitude = scale < 0 ? oddRatio(digits, 10n ** BigInt(-scale)) : oddRatio(digits * 10n ** BigInt(scale), 1n);
  return { value: minus === '-' ? -magnitude : magnitude };
}

/** Numbers with more digits than this before or after the point are written with an exponent. */
const PLAIN_DIGITS = 24;

/** All digits of a float64. */
export function exactDecimal(x: number): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'NaN' : x < 0 ? '-infinity' : 'infinity';
  const sign = x < 0 || Object.is(x, -0) ? '-' : '';
  let whole = Math.abs(x);
  let twos = 0;
  while (!Number.isInteger(whole)) {
    whole *= 2;
    twos++;
  }
  // whole / 2^twos = whole 5^twos / 10^twos
  const digits = (BigInt(whole) * 5n ** BigInt(twos)).toString();
  const point = digits.length - twos;
  if (twos === 0 && digits.length <= PLAIN_DIGITS) return sign + digits;
  if (twos > 0 && point > -PLAIN_DIGITS / 4 && digits.length <= 2 * PLAIN_DIGITS) {
    const padded = digits.padStart(twos + 1, '0');
    return `${sign}${padded.slice(0, -twos)}.${padded.slice(-twos)}`;
  }
  const significant = digits.replace(/0+$/, '');
  const tail = significant.slice(1);
  return `${sign}${significant[0]}${tail && `.${tail}`}e${point - 1}`;
}

/** A number with four significant digits, for tables. */
export function brief(x: number): string {
  if (!Number.isFinite(x)) return exactDecimal(x);
  if (x === 0) return Object.is(x, -0) ? '-0' : '0';
  const magnitude = Math.abs(x);
  const text = magnitude >= 1e-4 && magnitude < 1e6 ? Number(x.toPrecision(4)).toString() : x.toExponential(3);
  return text.replace(/\.?0+e/, 'e').replace('e+', 'e');
}
