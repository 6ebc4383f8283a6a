/**
 * A few rows times one-byte weights stored N x K, or one row times wider ones (gemv-wide.ts): generation reads each weight once and keeps no
 * float32 panel. Sums, scales and encoding are those of `gemm`, in the same order, so a token generated equals a token recomputed.
 *
 * Weights lie in panels of codes (turned.ts), or are turned into such, and are decoded in registers as `pack` does it (octets.ts). Several
 * rows share what was decoded, four at a time.
 *
 * 1 x 2048 x 2048 from E4M3, Node 26 on a Xeon: 0.72 ms prepacked, 0.92 ms not; 4 x 2048 x 2048: 1.17 ms and 1.36 ms. Moving bits alone (a
 * magnitude at its place in a float32 is the value times 2^(bias - 127)) takes a third fewer instructions for one row, 0.57 ms, but makes
 * float32 subnormals of FP8 subnormals, each of which costs Intel's processors an assist: 2.1 ms with the codes of normal numbers of sigma 1,
 * one in eighty of them subnormal, and 36 ms with sigma 0.02. `i8x16.relaxed_swizzle` with indices cut off at 15 gained nothing.
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { decode } from './decode';
import { finishRow } from './finish';
import { BF16, bytesOf, E4M3, E4M3FN, E5M2, F16, F32, facts } from './formats';
import { wide } from './gemv-wide';
import { lanes, quad } from './lanes';
import { octets } from './octets';
import { pack } from './pack';
import { TILE } from './tile';
import { turned } from './turned';

/** Panels multiplied at a time: four chains of sums, since a sum of one k waits for that of the last. */
const PANELS = 2;

/**
 * Reading ahead. A machine whose processor fetches little of a stream by itself (a virtual Xeon) waits for each of the few lines its loads have
 * under way; a load from every line of the next kilobyte waits for them all at once. 1 x 11008 x 4096 prepacked: 6.1 -> 8.7 GFLOP/s there,
 * and 4 % less for 1 x 2048 x 2048, which lies in the cache. Refused: one such load for each step of the loop, 7.0; one stream instead of
 * two (panels of sixteen columns), 4.8. Four rows gain nothing: they compute for longer.
 */
abstract class ahead {
  static readonly BYTES: usize = 1024;

  /** Loads from every line of a part of memory; not near the end of memory, where there may be less. */
  @inline static fetch(from: usize): void {
    if (from >= <usize>(memory.size() - 1) << 16) return;
    for (let at = from; at < from + ahead.BYTES; at += 64) load<u8>(at);
  }
}

/** Bytes of scratch a thread needs: the rows of A, two panels, the rows' sums and a line. */
export function gemvScratch(rows: i32, depth: i32, columnBlock: i32): i32 {
  const sums = rows * (columnBlock / TILE_COLUMNS + 1) * TILE;
  return (rows * (turned.depth(depth) + 4) + sums + 2 * columnBlock + 32) * 4 + PANELS * turned.bytes(depth);
}

/**
 * Units: blocks of columnBlock columns, a multiple of 16. A is rows x K and contiguous, B is N x K of a one-byte format, or where `prepacked`
 * what `prepack` made of it; for one row also of BF16, if `exact`, or float32. The rest as in `gemm`; amax gets one word per unit.
 */
export function gemv(
  begin: i32, end: i32, scratch: usize,
  rows: i32, columns: i32, depth: i32, aDtype: i32, a: usize, bDtype: i32, b: usize, prepacked: i32, exact: i32, columnBlock: i32, out: usize, outDtype: i32,
  alpha: f32, rowScale: usize, columnScale: usize, addend: usize, outScale: f32, amax: usize,
): void {
  const x = (scratch + 15) & ~15;
  const xBytes = <usize>(turned.depth(depth) + 4) << 2;
  const sums = x + <usize>rows * xBytes;
  // One tile more than there are, for the panel that is not there.
  const sumsBytes = <usize>(columnBlock / TILE_COLUMNS + 1) * (TILE << 2);
  const line = sums + <usize>rows * sumsBytes;
  const panels = line + (<usize>columnBlock << 3);
  vectors(rows, depth, aDtype, a, x, xBytes);
  for (let unit = begin; unit < end; unit++) {
    const first = unit * columnBlock;
    const n = min(columnBlock, columns - first);
    for (let j = 0; j < n; j += PANELS * TILE_COLUMNS) {
      const c = sums + <usize>(j / TILE_COLUMNS) * (TILE << 2);
      const row = b + <usize>((first + j) * depth * bytesOf(bDtype));
      const from = prepacked ? b + <usize>((first + j) / TILE_COLUMNS) * turned.bytes(depth) : row;
      const to = prepacked ? 0 : panels;
      if (bDtype === facts.about<E4M3FN>().id) product<E4M3FN>(rows, c, sumsBytes, x, xBytes, from, to, depth, n - j, exact);
      else if (bDtype === facts.about<E5M2>().id) product<E5M2>(rows, c, sumsBytes, x, xBytes, from, to, depth, n - j, exact);
      else if (bDtype === facts.about<E4M3>().id) product<E4M3>(rows, c, sumsBytes, x, xBytes, from, to, depth, n - j, exact);
      else if (bDtype === facts.about<BF16>().id) wide.product<BF16>(c, x, from, depth, min(n - j, PANELS * TILE_COLUMNS));
      else if (bDtype === facts.about<F32>().id) wide.product<F32>(c, x, from, depth, min(n - j, PANELS * TILE_COLUMNS));
    }
    let largest: u32 = 0;
    for (let row = 0; row < rows; row++) {
      const at = <usize>(row * columns + first) * bytesOf(outDtype);
      const scale = alpha * (rowScale ? load<f32>(rowScale + (row << 2)) : 1);
      largest = max(largest, finishRow(sums + <usize>row * sumsBytes, 1, 1, 0, n, line, columnBlock, scale,
        columnScale ? columnScale + (first << 2) : 0, addend ? addend + at : 0, out + at, outDtype, outScale));
    }
    if (amax) store<u32>(amax + (unit << 2), largest);
  }
}

/** The rows of A as float32, with zeros after them to an even depth. */
function vectors(rows: i32, depth: i32, dtype: i32, a: usize, x: usize, xBytes: usize): void {
  for (let row = 0; row < rows; row++) {
    const from = a + <usize>(row * depth) * bytesOf(dtype);
    const to = x + <usize>row * xBytes;
    if (dtype === facts.about<F32>().id) pack.row<F32>(to, from, depth);
    else if (dtype === facts.about<BF16>().id) pack.row<BF16>(to, from, depth);
    else if (dtype === facts.about<F16>().id) pack.row<F16>(to, from, depth);
    else if (dtype === facts.about<E4M3FN>().id) pack.row<E4M3FN>(to, from, depth);
    else if (dtype === facts.about<E5M2>().id) pack.row<E5M2>(to, from, depth);
    else if (dtype === facts.about<E4M3>().id) pack.row<E4M3>(to, from, depth);
    store<f32>(to + (<usize>depth << 2), 0);
  }
}

/** Sums of up to sixteen columns for each row. Their weights are panels, or rows to be turned into panels at `to`, unless that is 0. */
function product<F>(
  rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, weights: usize, to: usize, depth: i32, columns: i32, exact: i32,
): void {
  const both = columns > TILE_COLUMNS;
  const panel = to ? to : weights;
  const next = both ? panel + <usize>turned.bytes(depth) : panel;
  if (to) {
    turned.of<F>(panel, weights, depth, min(columns, TILE_COLUMNS));
    if (both) turned.of<F>(next, weights + <usize>(TILE_COLUMNS * depth), depth, min(columns - TILE_COLUMNS, TILE_COLUMNS));
  }
  const special = turned.special(panel, depth) || turned.special(next, depth);
  for (let row = 0; row < rows; row += special || rows === 1 ? 1 : 4) {
    if (special) {
      bytewise<F>(c, x, panel, depth);
      bytewise<F>(c + (TILE << 2), x, next, depth);
    } else if (rows > 1) {
      const left = rows - row;
      four<F>(c, cStride, x, xStride, panel, depth, left, exact);
      if (both) four<F>(c + (TILE << 2), cStride, x, xStride, next, depth, left, exact);
      c += 3 * cStride;
      x += 3 * xStride;
    } else if (exact) sixteen<F, BF16>(c, x, panel, next, depth);
    else sixteen<F, F32>(c, x, panel, next, depth);
    c += cStride;
    x += xStride;
  }
}

/** Sixteen sums over k. P tells whether the products are exact (lanes.madd). */
function sixteen<F, P>(c: usize, x: usize, panel: usize, next: usize, depth: i32): void {
  const magnitudes = octets.magnitudes;
  const lowMask = octets.lowMask<F>();
  const rebias = octets.rebias<F>();
  const lowTable = octets.lowTable<F>();
  const highTable = octets.highTable<F>();
  const zero = octets.pairs(0);
  let low = i32x4.splat(0), high = low, nextLow = low, nextHigh = low;
  const end = panel + <usize>(turned.depth(depth) * TILE_COLUMNS);
  let fetched = panel;
  while (panel < end) {
    if (panel >= fetched) {
      fetched += ahead.BYTES;
      ahead.fetch(fetched);
      ahead.fetch(next + ahead.BYTES);
    }
    const x0 = v128.load32_splat(x);
    const x1 = v128.load32_splat(x, 4);
    let codes = v128.load(panel);
    let m = v128.and(codes, magnitudes);
    let lower = octets.lowBytes<F>(codes, m, lowMask, lowTable);
    let upper = octets.highBytes<F>(codes, m, magnitudes, lowMask, rebias, highTable);
    let halves = quad.lowBytes(lower, upper);
    low = lanes.madd<P>(x0, quad.lowPairs(zero, halves), low);
    high = lanes.madd<P>(x0, quad.highPairs(zero, halves), high);
    halves = quad.highBytes(lower, upper);
    low = lanes.madd<P>(x1, quad.lowPairs(zero, halves), low);
    high = lanes.madd<P>(x1, quad.highPairs(zero, halves), high);
    codes = v128.load(next);
    m = v128.and(codes, magnitudes);
    lower = octets.lowBytes<F>(codes, m, lowMask, lowTable);
    upper = octets.highBytes<F>(codes, m, magnitudes, lowMask, rebias, highTable);
    halves = quad.lowBytes(lower, upper);
    nextLow = lanes.madd<P>(x0, quad.lowPairs(zero, halves), nextLow);
    nextHigh = lanes.madd<P>(x0, quad.highPairs(zero, halves), nextHigh);
    halves = quad.highBytes(lower, upper);
    nextLow = lanes.madd<P>(x1, quad.lowPairs(zero, halves), nextLow);
    nextHigh = lanes.madd<P>(x1, quad.highPairs(zero, halves), nextHigh);
    x += 8;
    panel += 16;
    next += 16;
  }
  storeSums(c, low, high);
  storeSums(c + (TILE << 2), nextLow, nextHigh);
}

/** Up to four rows times one panel. */
function four<F>(c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, rows: i32, exact: i32): void {
  if (exact) fourRows<F, BF16>(c, cStride, x, xStride, panel, depth, rows);
  else fourRows<F, F32>(c, cStride, x, xStride, panel, depth, rows);
}

/**
 * Eight sums for each of four rows, of which `rows` or more exist: each weight is decoded once for the four. Rows that do not exist are the
 * last one again.
 */
function fourRows<F, P>(c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, rows: i32): void {
  const magnitudes = octets.magnitudes;
  const lowMask = octets.lowMask<F>();
  const rebias = octets.rebias<F>();
  const lowTable = octets.lowTable<F>();
  const highTable = octets.highTable<F>();
  const zero = octets.pairs(0);
  const second: usize = rows > 1 ? 1 : 0;
  const third: usize = rows > 2 ? 2 : second;
  const last: usize = rows > 3 ? 3 : third;
  let p1 = x + second * xStride;
  let p2 = x + third * xStride;
  let p3 = x + last * xStride;
  let a0 = i32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  const end = panel + <usize>(turned.depth(depth) * TILE_COLUMNS);
  while (panel < end) {
    const codes = v128.load(panel);
    const m = v128.and(codes, magnitudes);
    const lower = octets.lowBytes<F>(codes, m, lowMask, lowTable);
    const upper = octets.highBytes<F>(codes, m, magnitudes, lowMask, rebias, highTable);
    let halves = quad.lowBytes(lower, upper);
    let low = quad.lowPairs(zero, halves);
    let high = quad.highPairs(zero, halves);
    let value = v128.load32_splat(x);
    a0 = lanes.madd<P>(value, low, a0);
    a1 = lanes.madd<P>(value, high, a1);
    value = v128.load32_splat(p1);
    b0 = lanes.madd<P>(value, low, b0);
    b1 = lanes.madd<P>(value, high, b1);
    value = v128.load32_splat(p2);
    c0 = lanes.madd<P>(value, low, c0);
    c1 = lanes.madd<P>(value, high, c1);
    value = v128.load32_splat(p3);
    d0 = lanes.madd<P>(value, low, d0);
    d1 = lanes.madd<P>(value, high, d1);
    halves = quad.highBytes(lower, upper);
    low = quad.lowPairs(zero, halves);
    high = quad.highPairs(zero, halves);
    value = v128.load32_splat(x, 4);
    a0 = lanes.madd<P>(value, low, a0);
    a1 = lanes.madd<P>(value, high, a1);
    value = v128.load32_splat(p1, 4);
    b0 = lanes.madd<P>(value, low, b0);
    b1 = lanes.madd<P>(value, high, b1);
    value = v128.load32_splat(p2, 4);
    c0 = lanes.madd<P>(value, low, c0);
    c1 = lanes.madd<P>(value, high, c1);
    value = v128.load32_splat(p3, 4);
    d0 = lanes.madd<P>(value, low, d0);
    d1 = lanes.madd<P>(value, high, d1);
    x += 8;
    p1 += 8;
    p2 += 8;
    p3 += 8;
    panel += 16;
  }
  storeSums(c + last * cStride, d0, d1);
  storeSums(c + third * cStride, c0, c1);
  storeSums(c + second * cStride, b0, b1);
  storeSums(c, a0, a1);
}

function storeSums(c: usize, low: v128, high: v128): void {
  v128.store(c, low);
  v128.store(c, high, 16);
}

/** The same for one panel with infinity or NaN: slow, and right for every code. */
function bytewise<F>(c: usize, x: usize, panel: usize, depth: i32): void {
  for (let j = 0; j < TILE_COLUMNS; j++) {
    let sum: f32 = 0;
    for (let k = 0; k < depth; k++) {
      const value = f32x4.extract_lane(decode.operand<F>(decode.load<F>(panel + k * TILE_COLUMNS + j)), 0);
      sum = sum + load<f32>(x + (<usize>k << 2)) * value;
    }
    store<f32>(c + (j << 2), sum);
  }
}
