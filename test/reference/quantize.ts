/** assembly/quantize.ts: values, their scale, their codes, and what the encoder saw. */
import {
  type Codes,
  type DType,
  encode,
  encodeValue,
  formatSpec,
  philoxWord,
  type Rounding,
} from '../../src/formats/index.js';
import { amax, div, mul, truncateToPower } from './lanes.js';

/** 2^floor(log2(max / amax)); 1 where there is no such normal power. */
export function powerOfTwoScale(largest: number, dtype: DType): number {
  if (!(largest > 0)) return 1;
  const power = truncateToPower(div(formatSpec(dtype).max, largest));
  return power === 0 || power === Number.POSITIVE_INFINITY ? 1 : power;
}

/** MAX / amax and its inverse, for the optimizer's states; amax below 2^-100 counts as 2^-100. */
export function fullRangeScale(largest: number, dtype: DType): { scale: number; scaleInv: number } {
  if (largest === 0) return { scale: 1, scaleInv: 1 };
  const a = Math.max(largest, 2 ** -100);
  const { max } = formatSpec(dtype);
  return { scale: div(max, a), scaleInv: div(a, max) };
}

/** src * srcScale * rowFactor[row] * columnFactor[column], the first two multiplied first. */
export function valuesOf(
  src: Float32Array,
  columns: number,
  srcScale: number,
  rowFactor?: Float32Array,
  columnFactor?: Float32Array,
): Float32Array<ArrayBuffer> {
  return src.map((x, i) => {
    const factor = rowFactor ? mul(srcScale, rowFactor[Math.floor(i / columns)]) : srcScale;
    const value = mul(x, factor);
    return columnFactor ? mul(value, columnFactor[i % columns]) : value;
  }) as Float32Array<ArrayBuffer>;
}

/** Codes of values times a scale, by stochastic rounding with the halves of the words of (stream, step, seed). */
export function encodeStochastic(
  values: Float32Array,
  dtype: DType,
  { seed, stream, step }: { seed: number; stream: number; step: number },
  saturate?: boolean,
): Codes {
  const spec = formatSpec(dtype);
  const codes = Array.from(values, (x, i) => {
    const word = philoxWord(Math.floor(i / 2), stream, step, seed);
    const random = (i % 2 === 0 ? word % 65536 : Math.floor(word / 65536)) / 65536;
    return encodeValue(x, spec, { rounding: 'stochastic', random, saturate });
  });
  return spec.bits === 8 ? Uint8Array.from(codes) : Uint16Array.from(codes);
}

export const scaled = (values: Float32Array, scale: number): Float32Array<ArrayBuffer> =>
  values.map((x) => mul(x, scale)) as Float32Array<ArrayBuffer>;

/** Shares of the values beyond the format's range once scaled, and of non-zero values whose code is a zero. */
export function health(values: Float32Array, scale: number, codes: Codes, dtype: DType) {
  const { max, signCode } = formatSpec(dtype);
  const bits = codes instanceof Float32Array ? new Uint32Array(codes.buffer, codes.byteOffset, codes.length) : codes;
  let saturated = 0;
  let underflowed = 0;
  values.forEach((value, i) => {
    if (!(Math.abs(mul(value, scale)) <= max)) saturated++;
    if (value !== 0 && bits[i] % signCode === 0) underflowed++;
  });
  return { amax: amax(values), saturated: saturated / values.length, underflowed: underflowed / values.length };
}

/** Rows of values to codes, each row with a power-of-two scale of its own. */
export function quantizeRows(values: Float32Array, columns: number, dtype: DType, rounding: Rounding) {
  const rows = values.length / columns;
  const scaleInv = new Float32Array(rows);
  const all = values.slice();
  for (let row = 0; row < rows; row++) {
    const part = all.subarray(row * columns, (row + 1) * columns);
    const scale = powerOfTwoScale(amax(part), dtype);
    scaleInv[row] = div(1, scale);
    part.set(scaled(part, scale));
  }
  return { scaleInv, scaledValues: all, codes: encode(all, dtype, { rounding }) };
}
