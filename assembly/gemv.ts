/**
 * A few rows times one-byte weights stored N x K: generation reads each weight once and keeps no float32 panel. Sums, scales and encoding are
 * those of `gemm`, in the same order, so a token generated equals a token recomputed.
 *
 * Weights lie in panels of codes (turned.ts), or are turned into such, and are decoded by moving bits: a magnitude at its place in a float32
 * is the value times 2^(bias - 127), subnormals too, which become subnormals. To make up for it, x is multiplied by 2^(125 - bias) beforehand
 * where that is exact, and all sums are a quarter of themselves, or else each weight by 2^(127 - bias).
 *
 * 1 x 2048 x 2048 from E4M3, Node 26: 0.35 ms prepacked, 0.50 ms not; 0.85 ms with an exact decoding in registers of one panel, 4.0 ms with
 * float32 panels. Several rows share what was decoded, four at a time: 4 x 2048 x 2048 in 0.81 ms instead of 1.38 ms one by one.
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { decode } from './decode';
import { amaxRow } from './encode';
import { finishRow } from './finish';
import { BF16, bytesOf, E4M3, E4M3FN, E5M2, F16, F32, facts, format } from './formats';
import { lanes, quad } from './lanes';
import { octets } from './octets';
import { pack } from './pack';
import { TILE } from './tile';
import { turned } from './turned';

/** Panels multiplied at a time: four chains of sums, since a sum of one k waits for that of the last. */
const PANELS = 2;

/** Bytes of scratch a thread needs: the rows of A, two panels, the rows' sums and a line. */
export function gemvScratch(rows: i32, depth: i32, columnBlock: i32): i32 {
  const sums = rows * (columnBlock / TILE_COLUMNS + 1) * TILE;
  return (rows * (turned.depth(depth) + 4) + sums + 2 * columnBlock + 32) * 4 + PANELS * turned.bytes(depth);
}

/**
 * Units: blocks of columnBlock columns, a multiple of 16. A is rows x K and contiguous, B is N x K of a one-byte format, or where `prepacked`
 * what `prepack` made of it. The rest as in `gemm`; amax gets one word per unit.
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
  const factor = vectors(rows, depth, aDtype, a, x, xBytes, exact ? format.bias(bDtype) : 0);
  for (let unit = begin; unit < end; unit++) {
    const first = unit * columnBlock;
    const n = min(columnBlock, columns - first);
    for (let j = 0; j < n; j += PANELS * TILE_COLUMNS) {
      const c = sums + <usize>(j / TILE_COLUMNS) * (TILE << 2);
      const from = prepacked ? b + <usize>((first + j) / TILE_COLUMNS) * turned.bytes(depth) : b + <usize>(first + j) * depth;
      const to = prepacked ? 0 : panels;
      if (bDtype === facts.about<E4M3FN>().id) product<E4M3FN>(rows, c, sumsBytes, x, xBytes, from, to, depth, n - j, exact, factor);
      else if (bDtype === facts.about<E5M2>().id) product<E5M2>(rows, c, sumsBytes, x, xBytes, from, to, depth, n - j, exact, factor);
      else if (bDtype === facts.about<E4M3>().id) product<E4M3>(rows, c, sumsBytes, x, xBytes, from, to, depth, n - j, exact, factor);
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

/**
 * The rows of A as float32, with zeros after them to an even depth. Returns what they were multiplied by: 2^(125 - bias), or 1 where bias is
 * 0 or a number would leave float32.
 */
function vectors(rows: i32, depth: i32, dtype: i32, a: usize, x: usize, xBytes: usize, bias: i32): f32 {
  let largest: u32 = 0;
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
    largest = max(largest, amaxRow(to, depth));
  }
  // Below 2^(3 + bias).
  if (bias === 0 || largest >= <u32>((130 + bias) << 23)) return 1;
  const factor = reinterpret<f32>((252 - bias) << 23);
  const k = f32x4.splat(factor);
  const end = x + <usize>rows * xBytes;
  for (let p = x; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), k));
  return factor;
}

/** Sums of up to sixteen columns for each row. Their weights are panels, or rows to be turned into panels at `to`, unless that is 0. */
function product<F>(
  rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, weights: usize, to: usize, depth: i32, columns: i32, exact: i32, factor: f32,
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
      bytewise<F>(c, x, panel, depth, factor);
      bytewise<F>(c + (TILE << 2), x, next, depth, factor);
    } else if (rows > 1) {
      const left = rows - row;
      fourRows<F>(c, cStride, x, xStride, panel, depth, left, exact, factor);
      if (both) fourRows<F>(c + (TILE << 2), cStride, x, xStride, next, depth, left, exact, factor);
      c += 3 * cStride;
      x += 3 * xStride;
    } else if (factor !== 1) light<F>(c, x, panel, next, depth);
    else if (exact) heavy<F, BF16>(c, x, panel, next, depth);
    else heavy<F, F32>(c, x, panel, next, depth);
    c += cStride;
    x += xStride;
  }
}

abstract class dot {
  /** Sign and magnitude of eight codes, each extended to 16 bits, as the upper halves of float32 numbers: values times 2^(bias - 127). */
  @inline private static halves<F>(extended: v128, mask: v128): v128 {
    return v128.and(i16x8.shl(extended, octets.shift<F>()), mask);
  }

  /** Sixteen sums over k. `heavy`: each weight is multiplied to its value; else x was, and the sums are quarters. */
  @inline static sixteen<F, P>(c: usize, x: usize, panel: usize, next: usize, depth: i32, heavy: bool): void {
    const bits = 0x8000 | (0x7f << octets.shift<F>());
    const mask = octets.pairs(bits);
    const zero = octets.pairs(0);
    const k = f32x4.splat(reinterpret<f32>((254 - facts.about<F>().bias) << 23));
    let low = i32x4.splat(0), high = low, nextLow = low, nextHigh = low;
    const end = panel + <usize>(turned.depth(depth) * TILE_COLUMNS);
    while (panel < end) {
      const x0 = v128.load32_splat(x);
      const x1 = v128.load32_splat(x, 4);
      const codes = v128.load(panel);
      const others = v128.load(next);
      const a = dot.halves<F>(i16x8.extend_low_i8x16_s(codes), mask);
      const b = dot.halves<F>(i16x8.extend_low_i8x16_s(others), mask);
      const later = dot.halves<F>(i16x8.extend_high_i8x16_s(codes), mask);
      const laterB = dot.halves<F>(i16x8.extend_high_i8x16_s(others), mask);
      low = lanes.madd<P>(x0, dot.weight(quad.lowPairs(zero, a), k, heavy), low);
      high = lanes.madd<P>(x0, dot.weight(quad.highPairs(zero, a), k, heavy), high);
      nextLow = lanes.madd<P>(x0, dot.weight(quad.lowPairs(zero, b), k, heavy), nextLow);
      nextHigh = lanes.madd<P>(x0, dot.weight(quad.highPairs(zero, b), k, heavy), nextHigh);
      low = lanes.madd<P>(x1, dot.weight(quad.lowPairs(zero, later), k, heavy), low);
      high = lanes.madd<P>(x1, dot.weight(quad.highPairs(zero, later), k, heavy), high);
      nextLow = lanes.madd<P>(x1, dot.weight(quad.lowPairs(zero, laterB), k, heavy), nextLow);
      nextHigh = lanes.madd<P>(x1, dot.weight(quad.highPairs(zero, laterB), k, heavy), nextHigh);
      x += 8;
      panel += 16;
      next += 16;
    }
    const whole = f32x4.splat(heavy ? 1 : 4);
    dot.store(c, low, high, whole);
    dot.store(c + (TILE << 2), nextLow, nextHigh, whole);
  }

  /**
   * Eight sums for each of four rows, of which `rows` or more exist: each weight is decoded once for the four. Rows that do not exist are the
   * last one again.
   */
  @inline static four<F, P>(c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, rows: i32, heavy: bool): void {
    const mask = octets.pairs(0x8000 | (0x7f << octets.shift<F>()));
    const zero = octets.pairs(0);
    const k = f32x4.splat(reinterpret<f32>((254 - facts.about<F>().bias) << 23));
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
      let halves = dot.halves<F>(i16x8.extend_low_i8x16_s(codes), mask);
      let low = dot.weight(quad.lowPairs(zero, halves), k, heavy);
      let high = dot.weight(quad.highPairs(zero, halves), k, heavy);
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
      halves = dot.halves<F>(i16x8.extend_high_i8x16_s(codes), mask);
      low = dot.weight(quad.lowPairs(zero, halves), k, heavy);
      high = dot.weight(quad.highPairs(zero, halves), k, heavy);
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
    const whole = f32x4.splat(heavy ? 1 : 4);
    dot.store(c + last * cStride, d0, d1, whole);
    dot.store(c + third * cStride, c0, c1, whole);
    dot.store(c + second * cStride, b0, b1, whole);
    dot.store(c, a0, a1, whole);
  }

  @inline private static store(c: usize, low: v128, high: v128, whole: v128): void {
    v128.store(c, f32x4.mul(low, whole));
    v128.store(c, f32x4.mul(high, whole), 16);
  }

  @inline private static weight(value: v128, k: v128, heavy: bool): v128 {
    return heavy ? f32x4.mul(value, k) : value;
  }
}

/** With x multiplied beforehand. */
function light<F>(c: usize, x: usize, panel: usize, next: usize, depth: i32): void {
  dot.sixteen<F, BF16>(c, x, panel, next, depth, false);
}

/** With each weight multiplied; P tells whether the products are exact (lanes.madd). */
function heavy<F, P>(c: usize, x: usize, panel: usize, next: usize, depth: i32): void {
  dot.sixteen<F, P>(c, x, panel, next, depth, true);
}

/** Up to four rows times one panel. */
function fourRows<F>(
  c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, rows: i32, exact: i32, factor: f32,
): void {
  if (factor !== 1) fourLight<F>(c, cStride, x, xStride, panel, depth, rows);
  else if (exact) fourHeavy<F, BF16>(c, cStride, x, xStride, panel, depth, rows);
  else fourHeavy<F, F32>(c, cStride, x, xStride, panel, depth, rows);
}

function fourLight<F>(c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, rows: i32): void {
  dot.four<F, BF16>(c, cStride, x, xStride, panel, depth, rows, false);
}

function fourHeavy<F, P>(c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, rows: i32): void {
  dot.four<F, P>(c, cStride, x, xStride, panel, depth, rows, true);
}

/** The same for one panel with infinity or NaN: slow, and right for every code. x is what it was times `factor`. */
function bytewise<F>(c: usize, x: usize, panel: usize, depth: i32, factor: f32): void {
  const inverse: f32 = <f32>1 / factor;
  for (let j = 0; j < TILE_COLUMNS; j++) {
    let sum: f32 = 0;
    for (let k = 0; k < depth; k++) {
      const value = f32x4.extract_lane(decode.operand<F>(decode.load<F>(panel + k * TILE_COLUMNS + j)), 0);
      sum = sum + load<f32>(x + (<usize>k << 2)) * inverse * value;
    }
    store<f32>(c + (j << 2), sum);
  }
}
