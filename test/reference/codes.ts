/** Tensors as the kernels read and write them: codes by src/formats, which test/formats.test.ts holds against outside truth. */
import { type Codes, type DType, decode, encode } from '../../src/formats/index.js';
import { mul } from './lanes.js';

/** Values to codes as kernels store them: nearest-even, and saturating in the 8-bit formats. */
export const store = (values: ArrayLike<number>, dtype: DType): Codes => encode(values, dtype);

/** Codes to values, times a factor. */
export function load(codes: Codes, dtype: DType, factor = 1): Float32Array<ArrayBuffer> {
  const values = decode(codes, dtype);
  if (factor !== 1) for (let i = 0; i < values.length; i++) values[i] = mul(values[i], factor);
  return values;
}

/** Codes to operands of an exact-product GEMM: BF16 magnitudes below 2^-60 read as +0. */
export function operands(codes: Codes, dtype: DType): Float32Array<ArrayBuffer> {
  const values = load(codes, dtype);
  if (dtype === 'bfloat16') for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) < 2 ** -60) values[i] = 0;
  return values;
}
