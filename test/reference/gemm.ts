/** assembly/gemm.ts in its own order: each element summed over k upwards in float32, then the scales, the addend, and one rounding. */
import { type BlockTensor, decodeBlocks } from '../../src/formats/blocks.js';
import { encode } from '../../src/formats/index.js';
import { operands } from './codes.js';
import { add, amax, mul } from './lanes.js';

export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Operands as the kernel reads them (codes.ts `operands`), as stored. */
  readonly a: Float32Array;
  readonly b: Float32Array;
  /** A is stored K x M; B is stored N x K. */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Rows of `columns` numbers, turned. */
export function transposed(values: Float32Array, columns: number): Float32Array<ArrayBuffer> {
  const rows = values.length / columns;
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j];
  return out;
}

/** The sums, before any scale. Four columns at a time, for speed: their sums do not meet. */
export function sums({ m, n, k, a, b, transposeA, transposeB }: Product): Float32Array<ArrayBuffer> {
  const rows = transposeA ? transposed(a, m) : a;
  const columns = transposeB ? b : transposed(b, n);
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      const [c0, c1, c2, c3] = [j * k, (j + 1) * k, (j + 2) * k, (j + 3) * k];
      for (let l = 0; l < k; l++) {
        const x = rows[i * k + l];
        s0 = Math.fround(s0 + Math.fround(x * columns[c0 + l]));
        s1 = Math.fround(s1 + Math.fround(x * columns[c1 + l]));
        s2 = Math.fround(s2 + Math.fround(x * columns[c2 + l]));
        s3 = Math.fround(s3 + Math.fround(x * columns[c3 + l]));
      }
      out.set([s0, s1, s2, s3], i * n + j);
    }
    for (; j < n; j++) {
      let s = 0;
      for (let l = 0; l < k; l++) s = Math.fround(s + Math.fround(rows[i * k + l] * columns[j * k + l]));
      out[i * n + j] = s;
    }
  }
  return out;
}

/** Operands with a power of two for each block: BF16 numbers, and read as such. */
export const blockOperands = (blocks: BlockTensor): Float32Array<ArrayBuffer> =>
  operands(encode(decodeBlocks(blocks), 'bfloat16'), 'bfloat16');

export interface Epilogue {
  readonly alpha: number;
  readonly rowScale?: Float32Array;
  readonly columnScale?: Float32Array;
  readonly addend?: Float32Array;
  /** 1 / the output's scaleInv. */
  readonly outScale: number;
}

/** What is encoded, and the largest magnitude before the output's scale. */
export function finish(
  product: Float32Array,
  n: number,
  { alpha, rowScale, columnScale, addend, outScale }: Epilogue,
): { values: Float32Array<ArrayBuffer>; amax: number } {
  const line = product.map((sum, at) => {
    let x = mul(sum, mul(alpha, rowScale ? rowScale[Math.floor(at / n)] : 1));
    if (columnScale) x = mul(x, columnScale[at % n]);
    return addend ? add(addend[at], x) : x;
  }) as Float32Array<ArrayBuffer>;
  return { values: line.map((x) => mul(x, outScale)) as Float32Array<ArrayBuffer>, amax: amax(line) };
}
