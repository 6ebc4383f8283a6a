/**
 * A few rows times one-byte weights stored N x K, or one row times wider ones (gemv-wide.ts): generation reads each weight once and needs
 * no float32 panel. Sums, scales and encoding are those of `gemm`, in the same order, so a generated token equals a recomputed one.
 *
 * Prepacked weights are panels of codes (transposed-codes.ts), as which other one-byte weights are packed on use, and are decoded in
 * registers (gemv-codes.ts). Up to four rows share each decoded weight.
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { finishRow } from './finish';
import { BF16, E4M3FN, E5M2, F32, facts, format } from './formats';
import { coded } from './gemv-codes';
import { wide } from './gemv-wide';
import { TILE } from './tile';
import { weightPanel } from './transposed-codes';
import { vectorRow } from './vector-row';

/**
 * Panels multiplied at a time, which gives four independent chains of sums to hide the latency of an addition. Four panels gained nothing.
 */
const PANELS = 2;

/**
 * Bytes of scratch a thread needs: the prepared rows of A, two panels, the rows' sums, and a line. Below 2^31 for the rows and depths that
 * src/ops/matmul.ts allows.
 */
export function gemvScratch(rows: i32, depth: i32, columnBlock: i32): i32 {
  const sums = rows * (columnBlock / TILE_COLUMNS + 1) * TILE;
  return rows * <i32>vectorRow.bytes(depth) + (sums + 2 * columnBlock + 32) * 4 + PANELS * weightPanel.bytes(depth) + <i32>coded.scratch;
}

/**
 * Units: blocks of columnBlock columns, a multiple of 16. A is rows x K and contiguous; of several rows the products must be `exact`. B is
 * N x K in a one-byte format; with a single row it may also be BF16, if `exact`, or float32. Where `prepacked`, it is what `prepack` wrote.
 * The rest is as in `gemm`; amax gets one word per unit.
 */
export function gemv(
  begin: i32, end: i32, scratch: usize,
  rows: i32, columns: i32, depth: i32, aDtype: i32, a: usize, bDtype: i32, b: usize, prepacked: i32, exact: i32, columnBlock: i32, out: usize, outDtype: i32,
  alpha: f32, rowScale: usize, columnScale: usize, addend: usize, outScale: f32, amax: usize,
): void {
  const x = (scratch + 15) & ~15;
  const xBytes = vectorRow.bytes(depth);
  const sums = x + <usize>rows * xBytes;
  // Room for one tile more: the last pass writes two, even where only one panel is left.
  const sumsBytes = <usize>(columnBlock / TILE_COLUMNS + 1) * (TILE << 2);
  const line = sums + <usize>rows * sumsBytes;
  const panels = line + (<usize>columnBlock << 3);
  const words = panels + PANELS * <usize>weightPanel.bytes(depth);
  for (let row = 0; row < rows; row++) {
    vectorRow.load(x + <usize>row * xBytes, a + <usize>(row * depth) * format.bytes(aDtype), aDtype, depth, bDtype);
  }
  for (let unit = begin; unit < end; unit++) {
    const first = unit * columnBlock;
    const n = min(columnBlock, columns - first);
    for (let j = 0; j < n; j += PANELS * TILE_COLUMNS) {
      const c = sums + <usize>(j / TILE_COLUMNS) * (TILE << 2);
      const row = b + <usize>((first + j) * depth * format.bytes(bDtype));
      const stride = weightPanel.stride(bDtype, depth);
      const from = prepacked ? b + <usize>((first + j) / TILE_COLUMNS) * stride : row;
      const to = prepacked ? 0 : panels;
      if (bDtype === facts.about<BF16>().id && prepacked) coded.oneWide(c, x, from, n - j > TILE_COLUMNS ? from + stride : from, depth);
      else if (bDtype === facts.about<BF16>().id) wide.product<BF16>(c, x, from, depth, min(n - j, PANELS * TILE_COLUMNS));
      else if (bDtype === facts.about<F32>().id) wide.product<F32>(c, x, from, depth, min(n - j, PANELS * TILE_COLUMNS));
      else product(bDtype, rows, c, sumsBytes, x, xBytes, from, to, depth, n - j, exact, words);
    }
    let largest: u32 = 0;
    for (let row = 0; row < rows; row++) {
      const at = <usize>(row * columns + first) * format.bytes(outDtype);
      vectorRow.unscale(x + <usize>row * xBytes, depth, sums + <usize>row * sumsBytes, n);
      const scale = alpha * (rowScale ? load<f32>(rowScale + (row << 2)) : 1);
      largest = max(largest, finishRow(sums + <usize>row * sumsBytes, 1, 1, 0, n, line, columnBlock, scale,
        columnScale ? columnScale + (first << 2) : 0, addend ? addend + at : 0, out + at, outDtype, outScale));
    }
    if (amax) store<u32>(amax + (unit << 2), largest);
  }
}

/**
 * Sums of up to sixteen columns for each row. `weights` are panels where `to` is 0, else rows of codes, to be packed into panels at `to`.
 */
function product(
  dtype: i32, rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, weights: usize, to: usize, depth: i32, columns: i32, exact: i32,
  scratch: usize,
): void {
  const both = columns > TILE_COLUMNS;
  const panel = to ? to : weights;
  const next = both ? panel + <usize>weightPanel.bytes(depth) : panel;
  if (to) {
    weightPanel.pack(dtype, panel, weights, depth, min(columns, TILE_COLUMNS));
    if (both) weightPanel.pack(dtype, next, weights + <usize>(TILE_COLUMNS * depth), depth, min(columns - TILE_COLUMNS, TILE_COLUMNS));
  }
  const special = weightPanel.special(panel, depth) || weightPanel.special(next, depth);
  for (let row = 0; row < rows;) {
    let done = 1;
    if (special) {
      coded.any(dtype, c, x, panel, depth, scratch);
      coded.any(dtype, c + (TILE << 2), x, next, depth, scratch);
    } else {
      // Two rows are taken one by one: the loop for four takes as long for two as for four (4 to 9 % longer than two single ones).
      if (rows - row > 2) done = min(4, rows - row);
      // The finite values of E4M3 are those of E4M3FN.
      if (dtype === facts.about<E5M2>().id) finite<E5M2>(done, c, cStride, x, xStride, panel, next, both, depth, exact, scratch);
      else finite<E4M3FN>(done, c, cStride, x, xStride, panel, next, both, depth, exact, scratch);
    }
    row += done;
    c += <usize>done * cStride;
    x += <usize>done * xStride;
  }
}

/** `product` for up to four rows, where all weights are finite. Several rows have exact products. */
function finite<F>(
  rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, next: usize, both: bool, depth: i32, exact: i32, scratch: usize,
): void {
  if (rows === 1) {
    if (exact) coded.one<F, BF16>(c, x, panel, next, depth, scratch);
    else coded.one<F, F32>(c, x, panel, next, depth, scratch);
    return;
  }
  coded.four<F>(c, cStride, x, xStride, panel, depth, rows, scratch);
  if (both) coded.four<F>(c + (TILE << 2), cStride, x, xStride, next, depth, rows, scratch);
}
