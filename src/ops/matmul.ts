/** C = A B from codes, with scales applied in the epilogue. Kernels: assembly/gemm.ts. */

import type { Runtime } from '../engine/runtime.js';
import { TILE_COLUMNS, WEIGHT_COLUMNS } from '../engine/units.js';
import { type DType, formatSpec } from '../formats/index.js';
import { largestAmax } from './scale.js';
import { type BlockScales, idOf, matrixShape, type Tensor } from './tensor.js';

export interface MatmulOptions {
  /** A is stored K x M. */
  readonly transposeA?: boolean;
  /** B is stored N x K, like the weights of a linear. */
  readonly transposeB?: boolean;
  readonly out: Tensor;
  /** Added to the product before it is stored. Same shape and dtype as `out`, without a scale; may be `out` itself. */
  readonly addend?: Tensor;
  /** Addresses of float32 factors per row and per column of C, in addition to operands' scales per tensor. Operands with scales per row take none. */
  readonly rowFactor?: number;
  readonly columnFactor?: number;
}

/** Height of a block of C in tiles: its packed slice of A (384 KiB) stays in L2. */
const MAX_TILES = 16;
const MAX_COLUMN_BLOCK = 512;
/**
 * Bytes of decoded B per thread: wider products are computed in ranges of about as many columns, whose panels stay in cache, but of no fewer
 * than MIN_RANGE, because each range packs A again. On an EPYC (1 MiB of L2 per core), one thread, E4M3FN, from one range to several: 2048^3
 * 58.2 -> 61.6 GFLOP/s, 32 x 2048 x 2048 43.1 -> 49.9, and in BF16 2 x 2048 x 2048 7.2 -> 15.
 */
const PANEL_BYTES = 1 << 21;
const MIN_RANGE = 256;
/** Where MIN_RANGE columns would be more bytes than this, ranges are narrower. */
const MAX_PANEL_BYTES = 1 << 25;

/**
 * There are two ways to multiply by one-byte weights: in registers (gemv), where each weight is decoded once per four rows of C, or with
 * turbo, if prepacked, once per row, and by panels (gemm), where it is decoded to float32 in memory once. The fewer the rows, the better are
 * registers: up to FEW_ROWS; where weights are not prepacked, with turbo up to FEW_ROWS_TURBO, and for one row only where products are not
 * fused.
 * GFLOP/s times 2048 x 2048 in E4M3FN, in registers and by panels, of prepacked weights and of others, on an EPYC (Zen 4):
 *
 *   Node 26, relaxed   8 rows 47, 24 and 39, 30   16 rows 47, 33 and 43, 39   24 rows 46, 41 and 44, 46
 *   Node 26, turbo     4 rows 68, 19 and 33, 29    6 rows 68, 28 and 38, 42   16 rows 69, 49 and 43, 64
 *   Node 26, strict    2 rows 22,  9 and 15, 13    3 rows 22, 13 and 17, 19   16 rows 31, 29 and 30, 33
 *   Node 20, strict    2 rows 22,  6 and 15, 12    3 rows 22,  9 and 17, 17   16 rows 27, 23 and 25, 30
 */
const FEW_ROWS = 16;
const FEW_ROWS_TURBO = 4;
/** The deepest sum in registers: there, scratch grows with depth times rows. */
const FEW_ROWS_DEPTH = 1 << 17;
/** Columns per unit in registers. */
const VECTOR_COLUMNS = 64;

/** Formats of products and of state stored between steps; the others are for exchange only. */
export const OPERANDS: readonly DType[] = [
  'float8_e4m3fn',
  'float8_e5m2',
  'float8_e4m3',
  'bfloat16',
  'float16',
  'float32',
];

/** The most rows of C for which the kernel for few rows takes these weights (N, K). */
function mostRows(rt: Runtime, { dtype, prepacked }: Tensor, exact: number): number {
  if (formatSpec(dtype).bytes > 1) return dtype === 'float32' || (dtype === 'bfloat16' && exact) ? 1 : 0;
  if (!exact) return 1;
  if (prepacked) return FEW_ROWS;
  if (!rt.info.fused) return 1;
  return rt.info.turbo ? FEW_ROWS_TURBO : FEW_ROWS;
}

const roundUp = (n: number, multiple: number) => Math.ceil(n / multiple) * multiple;

const NO_BLOCKS: BlockScales = { blocks: 0, block: [1, 1] };

/** The operand's scale: one factor, the address of a factor per row of the stored matrix, or blocks. */
function scalesOf(
  name: string,
  t: Tensor,
  alongRows: boolean,
): { factor: number; vector: number; scaled: BlockScales } {
  if (typeof t.scaleInv === 'number') return { factor: t.scaleInv, vector: 0, scaled: NO_BLOCKS };
  if ('blocks' in t.scaleInv) return { factor: 1, vector: 0, scaled: t.scaleInv };
  if (!alongRows) {
    throw new RangeError(
      `matmul: expected ${name} with scales per row of the product, got scales that run along the summed dimension`,
    );
  }
  return { factor: 1, vector: t.scaleInv.rows, scaled: NO_BLOCKS };
}

function oneVector(what: string, a: number, b: number): number {
  if (a && b) throw new RangeError(`matmul: expected one factor per ${what}, got two`);
  return a || b;
}

/** The kernel adds codes unscaled, in the layout of `out`. */
function checkAddend(addend: Tensor, dtype: DType, m: number, n: number): void {
  if (addend.dtype !== dtype) {
    throw new TypeError(`matmul: expected an addend of out's dtype ${dtype}, got ${addend.dtype}`);
  }
  const [rows, columns] = matrixShape(addend);
  if (rows !== m || columns !== n) {
    throw new RangeError(`matmul: expected an addend of shape [${m}, ${n}], got [${rows}, ${columns}]`);
  }
  if (addend.scaleInv !== 1) throw new RangeError('matmul: expected an addend without a scale, got one with a scale');
}

/** The operand formats that `prepack` accepts. */
const PREPACKED: readonly DType[] = /* @__PURE__ */ OPERANDS.filter(
  (dtype) => formatSpec(dtype).bytes === 1 || dtype === 'bfloat16',
);

export const canPrepack = ({ dtype, scaleInv }: Tensor): boolean =>
  PREPACKED.includes(dtype) && typeof scaleInv === 'number';

/**
 * Returns a copy of a weight (N, K) of a one-byte format or BF16, without block scales, laid out for products with one row (of a one-byte
 * format also a few): as the transposed second operand of `matmul` it gives the same bits sooner. It takes the bytes of the weight, rounded up
 * to 32 rows and 16 columns, and a line for each 32 rows.
 */
export function prepack(rt: Runtime, w: Tensor): Tensor {
  const { dtype, shape, scaleInv } = w;
  if (!PREPACKED.includes(dtype))
    throw new RangeError(`prepack: expected a weight of ${PREPACKED.join(', ')}, got ${dtype}`);
  if (typeof scaleInv !== 'number')
    throw new RangeError('prepack: expected a weight with one scale, got one with several');
  const [rows, depth] = matrixShape(w);
  const ptr = rt.arena.alloc(rt.kernels.prepackedBytes(idOf(dtype), rows, depth));
  rt.parallel('prepack', Math.ceil(rows / WEIGHT_COLUMNS), 0, idOf(dtype), w.ptr, rows, depth, ptr);
  return { dtype, shape, ptr, block: rt.arena.blockAt(ptr), scaleInv, prepacked: true };
}

/** Throws unless the operands have formats that the kernels multiply, are prepacked only where allowed, and do not overlap `out`. */
function checkOperands(a: Tensor, b: Tensor, out: Tensor, transposeB: boolean): void {
  for (const [name, { dtype }] of Object.entries({ A: a, B: b, out })) {
    if (!OPERANDS.includes(dtype)) {
      throw new RangeError(`matmul: expected ${name} of dtype ${OPERANDS.join(', ')}, got ${dtype}`);
    }
  }
  if (a.prepacked || out.prepacked || (b.prepacked && !transposeB)) {
    throw new RangeError('matmul: expected a prepacked weight as B with transposeB, got it elsewhere');
  }
  if (out.ptr === a.ptr || out.ptr === b.ptr) {
    throw new RangeError('matmul: expected out with memory of its own, got that of an operand');
  }
}

/** Checks a product and returns its sizes, and its factors as the kernels take them. */
function checkedProduct(a: Tensor, b: Tensor, options: MatmulOptions) {
  const { transposeA = false, transposeB = false, out, addend } = options;
  checkOperands(a, b, out, transposeB);
  const [aRows, aColumns] = matrixShape(a);
  const [bRows, bColumns] = matrixShape(b);
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [n, kb] = transposeB ? [bRows, bColumns] : [bColumns, bRows];
  if (k !== kb) throw new RangeError(`matmul: expected equal inner dimensions, got A with ${k} and B with ${kb}`);
  const [outRows, outColumns] = matrixShape(out);
  if (outRows !== m || outColumns !== n) {
    throw new RangeError(`matmul: expected out of shape [${m}, ${n}], got [${outRows}, ${outColumns}]`);
  }
  if (addend) checkAddend(addend, out.dtype, m, n);
  if (typeof out.scaleInv !== 'number') throw new RangeError('matmul: expected out with one scale, got several');
  const scaleA = scalesOf('A', a, !transposeA);
  const scaleB = scalesOf('B', b, transposeB);
  return {
    a,
    b,
    out,
    transposeA,
    transposeB,
    m,
    n,
    k,
    aColumns,
    bColumns,
    exact: a.dtype !== 'float32' && b.dtype !== 'float32' ? 1 : 0,
    alpha: Math.fround(scaleA.factor * scaleB.factor),
    rowScale: oneVector('row', scaleA.vector, options.rowFactor ?? 0),
    columnScale: oneVector('column', scaleB.vector, options.columnFactor ?? 0),
    aBlocks: scaleA.scaled,
    bBlocks: scaleB.scaled,
    addendAt: addend?.ptr ?? 0,
    outScale: 1 / out.scaleInv,
  };
}

type Product = ReturnType<typeof checkedProduct>;

/** Multiplies and returns the largest |value| of C before its own scale. Every element is summed over k in ascending order. */
export function matmul(rt: Runtime, a: Tensor, b: Tensor, options: MatmulOptions): number {
  const product = checkedProduct(a, b, options);
  return rt.scoped(() => (isOfFewRows(rt, product) ? multiplyFewRows(rt, product) : multiplyPanels(rt, product)));
}

/** Whether B's weights are decoded in registers. A single row has the same layout whether or not A is transposed. */
function isOfFewRows(rt: Runtime, { b, transposeA, transposeB, m, k, exact, aBlocks, bBlocks }: Product): boolean {
  if (!transposeB || aBlocks.blocks || bBlocks.blocks || (transposeA && m > 1) || k > FEW_ROWS_DEPTH) return false;
  return m <= mostRows(rt, b, exact);
}

function multiplyFewRows(rt: Runtime, product: Product): number {
  const { a, b, out, m, n, k, exact, alpha, rowScale, columnScale, addendAt, outScale } = product;
  const units = Math.ceil(n / VECTOR_COLUMNS);
  const amax = rt.arena.alloc(units * 4);
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'gemv', units, rt.kernels.gemvScratch(m, k, VECTOR_COLUMNS), m, n, k,
    idOf(a.dtype), a.ptr, idOf(b.dtype), b.ptr, b.prepacked ? 1 : 0, exact, VECTOR_COLUMNS,
    out.ptr, idOf(out.dtype), alpha, rowScale, columnScale, addendAt, outScale, amax,
  );
  return largestAmax(new Uint32Array(rt.arena.buffer, amax, units));
}

/** Multiplies with B as float32 panels, a range of columns at a time, and then block by block of C. */
function multiplyPanels(rt: Runtime, product: Product): number {
  const { a, b, out, transposeA, transposeB, m, n, k, aColumns, bColumns, exact, aBlocks, bBlocks } = product;
  const { alpha, rowScale, columnScale, addendAt, outScale } = product;
  const outBytes = formatSpec(out.dtype).bytes;
  const bBytes = formatSpec(b.dtype).bytes;
  const range = rangeFor(n, k, rt.info.threads);
  const panels = rt.arena.alloc(range * k * 4);
  let largest = 0;
  for (let first = 0; first < n; first += range) {
    const columns = Math.min(range, n - first);
    const from = b.ptr + (b.prepacked ? 0 : first * (transposeB ? bColumns : 1) * bBytes);
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'packB', Math.ceil(columns / TILE_COLUMNS), rt.kernels.packBScratch(),
      idOf(b.dtype), from, bColumns, transposeB ? 0 : 1, b.prepacked ? 1 : 0,
      columns, k, panels, first, bBlocks.blocks, ...bBlocks.block,
    );
    const { rowBlock, columnBlock } = blocksFor(m, columns, rt.kernels.tileRows(exact), rt.info.threads);
    const units = Math.ceil(m / rowBlock) * Math.ceil(columns / columnBlock);
    const amax = rt.arena.alloc(units * 4);
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'gemm', units, rt.kernels.gemmScratch(rowBlock, columnBlock, exact), m, columns, k,
      idOf(a.dtype), a.ptr, aColumns, transposeA ? 1 : 0, panels, exact, rowBlock, columnBlock,
      out.ptr + first * outBytes, idOf(out.dtype), n, alpha, rowScale, columnScale && columnScale + 4 * first,
      addendAt && addendAt + first * outBytes, outScale, amax,
      aBlocks.blocks, ...aBlocks.block,
    );
    largest = Math.max(largest, largestAmax(new Uint32Array(rt.arena.buffer, amax, units)));
  }
  return largest;
}

/**
 * Columns per range, the same for all ranges. PANEL_BYTES per thread decide how many are wanted; N is split in two only from one and a half
 * times as many on, because each range packs A again.
 */
function rangeFor(n: number, k: number, threads: number): number {
  const least = Math.min(MIN_RANGE, MAX_PANEL_BYTES / (4 * k));
  const columns = Math.max(TILE_COLUMNS, least, (PANEL_BYTES * threads) / (4 * k));
  const ranges = Math.max(1, Math.ceil(n / columns - 0.5));
  return roundUp(Math.ceil(n / ranges), TILE_COLUMNS);
}

/** Block sizes of C: large for reuse, smaller where there would be too few blocks for the threads. Any choice gives the same bits. */
function blocksFor(m: number, n: number, tileRows: number, threads: number): { rowBlock: number; columnBlock: number } {
  const wanted = threads === 1 ? 1 : 4 * threads;
  let columnBlock = Math.min(MAX_COLUMN_BLOCK, roundUp(n, TILE_COLUMNS));
  let rowBlock = Math.min(MAX_TILES * tileRows, roundUp(m, tileRows));
  const blocks = () => Math.ceil(m / rowBlock) * Math.ceil(n / columnBlock);
  while (blocks() < wanted && rowBlock > 4 * tileRows) rowBlock = roundUp(rowBlock / 2, tileRows);
  while (blocks() < wanted && columnBlock > 8 * TILE_COLUMNS) columnBlock = roundUp(columnBlock / 2, TILE_COLUMNS);
  return { rowBlock, columnBlock };
}
