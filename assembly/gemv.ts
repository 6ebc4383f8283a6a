/**
 * A few rows times one-byte weights stored N x K, or one row times wider ones: generation reads each weight once and needs no float32
 * panel. Sums, scales and encoding are those of `gemm`, in the same order, so a generated token equals a recomputed one.
 *
 * Prepacked weights are panels (weight-panel.ts), as which other one-byte weights are packed on use, and are decoded in registers
 * (gemv-codes.ts). Four rows share each decoded weight, except in the turbo builds. Others of two or four bytes are read as they lie (gemv-wide.ts).
 */

import { TILE_COLUMNS, WEIGHT_COLUMNS } from '../src/engine/units';
import { finishRow } from './finish';
import { BF16, E4M3FN, E5M2, F32, facts, format } from './formats';
import { coded } from './gemv-codes';
import { wide } from './gemv-wide';
import { TILE } from './tile';
import { vectorRow } from './vector-row';
import { holds, weightPanel } from './weight-panel';

/** Bytes of a row's sums for a number of columns, a multiple of WEIGHT_COLUMNS. */
function sumsBytes(columns: i32): i32 {
  return (columns / TILE_COLUMNS) * (TILE << 2);
}

/**
 * Bytes of scratch a thread needs: the prepared rows of A, their sums, a line, and a panel. Below 2^31 for the rows and depths that
 * src/ops/matmul.ts allows.
 */
export function gemvScratch(rows: i32, depth: i32, columnBlock: i32): i32 {
  const panel = <i32>weightPanel.bytes(facts.about<E4M3FN>().id, depth);
  return rows * (<i32>vectorRow.bytes(depth) + sumsBytes(columnBlock)) + 8 * columnBlock + 16 + panel + <i32>coded.scratch;
}

/**
 * Units: blocks of columnBlock columns, a multiple of WEIGHT_COLUMNS. A is rows x K and contiguous; of several rows the products must be
 * `exact`. B is N x K in a one-byte format; with a single row it may also be BF16, if `exact`, or float32. Where `prepacked`, it is what
 * `prepack` wrote. The rest is as in `gemm`; amax gets one word per unit.
 */
export function gemv(
  begin: i32, end: i32, scratch: usize,
  rows: i32, columns: i32, depth: i32, aDtype: i32, a: usize, bDtype: i32, b: usize, prepacked: i32, exact: i32, columnBlock: i32, out: usize, outDtype: i32,
  alpha: f32, rowScale: usize, columnScale: usize, addend: usize, outScale: f32, amax: usize,
): void {
  const x = (scratch + 15) & ~15;
  const xBytes = vectorRow.bytes(depth);
  const sums = x + <usize>rows * xBytes;
  const cBytes = <usize>sumsBytes(columnBlock);
  const line = sums + <usize>rows * cBytes;
  const spare = line + (<usize>columnBlock << 3);
  for (let row = 0; row < rows; row++) {
    vectorRow.load(x + <usize>row * xBytes, a + <usize>(row * depth) * format.bytes(aDtype), aDtype, depth, bDtype);
  }
  for (let unit = begin; unit < end; unit++) {
    const first = unit * columnBlock;
    const n = min(columnBlock, columns - first);
    for (let j = 0; j < n; j += WEIGHT_COLUMNS) {
      const c = sums + <usize>sumsBytes(j);
      const valid = min(n - j, WEIGHT_COLUMNS);
      const weights = b + <usize>((first + j) * depth) * format.bytes(bDtype);
      if (prepacked) {
        const panel = b + <usize>((first + j) / WEIGHT_COLUMNS) * <usize>weightPanel.bytes(bDtype, depth);
        const next = n - j > WEIGHT_COLUMNS ? panel + <usize>weightPanel.bytes(bDtype, depth) : 0;
        if (product(bDtype, rows, c, cBytes, x, xBytes, panel, next, depth, exact, spare)) j += WEIGHT_COLUMNS;
      } else if (bDtype === facts.about<BF16>().id) wide.product<BF16>(c, x, weights, depth, valid);
      else if (bDtype === facts.about<F32>().id) wide.product<F32>(c, x, weights, depth, valid);
      else {
        weightPanel.pack(bDtype, spare, weights, depth, valid);
        product(bDtype, rows, c, cBytes, x, xBytes, spare, 0, depth, exact, spare + <usize>weightPanel.bytes(bDtype, depth));
      }
    }
    let largest: u32 = 0;
    for (let row = 0; row < rows; row++) {
      const at = <usize>(row * columns + first) * format.bytes(outDtype);
      vectorRow.unscale(x + <usize>row * xBytes, depth, sums + <usize>row * cBytes, n);
      const scale = alpha * (rowScale ? load<f32>(rowScale + (row << 2)) : 1);
      largest = max(largest, finishRow(sums + <usize>row * cBytes, 1, 1, 0, n, line, columnBlock, scale,
        columnScale ? columnScale + (first << 2) : 0, addend ? addend + at : 0, out + at, outDtype, outScale));
    }
    if (amax) store<u32>(amax + (unit << 2), largest);
  }
}

/** The sums of a panel's columns for each row; in the turbo builds, where possible, also of the panel at `next`, unless 0: true if so. */
function product(
  dtype: i32, rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, next: usize, depth: i32, exact: i32, scratch: usize,
): bool {
  if (dtype === facts.about<BF16>().id) return sumsOf<BF16>(dtype, rows, c, cStride, x, xStride, panel, next, depth, exact, scratch);
  if (dtype === facts.about<E5M2>().id) return sumsOf<E5M2>(dtype, rows, c, cStride, x, xStride, panel, next, depth, exact, scratch);
  // The finite values of E4M3 are those of E4M3FN.
  return sumsOf<E4M3FN>(dtype, rows, c, cStride, x, xStride, panel, next, depth, exact, scratch);
}

function sumsOf<F>(
  dtype: i32, rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, next: usize, depth: i32, exact: i32, scratch: usize,
): bool {
  if (isDefined(TURBO) && next && exact && coded.pair<F>(dtype, rows, c, cStride, x, xStride, panel, next, depth)) return true;
  if (facts.about<F>().bytes === 2) {
    coded.one<BF16, BF16>(dtype, c, x, panel, depth, scratch);
    return false;
  }
  const special = load<i32>(weightPanel.content(panel, dtype, depth)) === holds.INFINITY_OR_NAN;
  // The rows beyond a multiple of four are taken one by one: sharing a weight gains about as much as a fourth row would cost.
  const together = special ? 0 : rows & ~3;
  if (together) coded.fours<F>(dtype, together, c, cStride, x, xStride, panel, depth, scratch);
  for (let row = together; row < rows; row++) {
    const sums = c + <usize>row * cStride;
    const values = x + <usize>row * xStride;
    if (special) coded.any(dtype, sums, values, panel, depth, scratch);
    else if (exact) coded.one<F, BF16>(dtype, sums, values, panel, depth, scratch);
    else coded.one<F, F32>(dtype, sums, values, panel, depth, scratch);
  }
  return false;
}
