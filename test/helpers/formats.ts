/** What the suites of number formats share: the formats by kind, every rounding mode, and numbers to round. */
import { DTYPES, formatSpec, philoxWord, type Rounding } from '../../src/formats/index.js';

export const ONE_BYTE = DTYPES.filter((dtype) => formatSpec(dtype).bytes === 1);
export const FLOAT16 = ['bfloat16', 'float16'] as const;
export const SIGNED = [...ONE_BYTE, ...FLOAT16].filter((dtype) => dtype !== 'float8_e8m0fnu');

/** Every mode, stochastic with random numbers around the points where a tie or a neighbour of a code decides. */
export const CASES: { rounding: Rounding; random?: number }[] = [
  { rounding: 'tiesToEven' },
  { rounding: 'tiesToAway' },
  { rounding: 'towardZero' },
  ...[0, 0.5 - 2 ** -24, 0.5, 1 - 2 ** -24].map((random) => ({ rounding: 'stochastic' as const, random })),
];

/** The vectors spell what JSON cannot. */
export const number = (value: number | string): number => (value === '-0' ? -0 : Number(value));
export const hex = (code: string): number => Number.parseInt(code, 16);

const bits64 = new BigInt64Array(1);
const floats64 = new Float64Array(bits64.buffer);

/** The next float64 above (or below) a finite x >= 0; below 0 there is no need. */
export function neighbour(x: number, step: 1n | -1n): number {
  floats64[0] = x;
  bits64[0] += step;
  return floats64[0];
}

/** Decoding written out another way, for the formats the vectors do not list. */
export function independentValue(dtype: 'bfloat16' | 'float16', code: number): number {
  if (dtype === 'bfloat16') return new Float32Array(Uint32Array.of(code << 16).buffer)[0];
  const exponent = (code >> 10) & 31;
  const fraction = (code & 1023) / 1024;
  const magnitude = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
  const special = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  return (code >> 15 ? -1 : 1) * (exponent === 31 ? special : magnitude);
}

/** Random float64s with all 53 bits, log-uniform over the exponents given; seeded. */
export function randomFloats(count: number, minExponent: number, maxExponent: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const [a, b, c] = [0, 1, 2].map((stream) => philoxWord(i, stream, 0, 1));
    const significand = 1 + (a * 2 ** 20 + (b >>> 12)) * 2 ** -52;
    return (c & 1 ? -1 : 1) * significand * 2 ** (minExponent + ((c >>> 1) % (maxExponent - minExponent)));
  });
}
