/**
 * One row, or a few, times one-byte weights stored N x K, decoded in registers: generation reads each weight once and keeps no panel.
 * Sums, scales and encoding are those of `gemm`, in the same order, so a token generated equals a token recomputed.
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { decode } from './decode';
import { finishRow } from './finish';
import { BF16, bytesOf, E4M3, E4M3FN, E5M2, F16, F32, facts } from './formats';
import { lanes, quad } from './lanes';
import { octets } from './octets';
import { pack } from './pack';
import { TILE } from './tile';

/** Floats of a tail of k (7) for a panel. */
const TAIL = 7 * TILE_COLUMNS;

/** Bytes of scratch a thread needs: the row of A, a block's sums and its line, a tail. */
export function gemvScratch(depth: i32, columnBlock: i32): i32 {
  return (depth + 4 + (columnBlock / TILE_COLUMNS) * TILE + 2 * columnBlock + TAIL + 32) * 4;
}

/**
 * Units: blocks of columnBlock columns, a multiple of 8. A is rows x K and contiguous, B is N x K of a one-byte format. The rest as in
 * `gemm`; amax gets one word per unit.
 */
export function gemv(
  begin: i32, end: i32, scratch: usize,
  rows: i32, columns: i32, depth: i32, aDtype: i32, a: usize, bDtype: i32, b: usize, exact: i32, columnBlock: i32, out: usize, outDtype: i32,
  alpha: f32, rowScale: usize, columnScale: usize, addend: usize, outScale: f32, amax: usize,
): void {
  const tail = (scratch + 15) & ~15;
  const sums = tail + (<usize>TAIL << 2);
  const line = sums + <usize>(columnBlock / TILE_COLUMNS) * (TILE << 2);
  const x = line + (<usize>columnBlock << 3);
  for (let row = 0; row < rows; row++) {
    vector(aDtype, x, a + <usize>(row * depth) * bytesOf(aDtype), depth);
    const scale = alpha * (rowScale ? load<f32>(rowScale + (row << 2)) : 1);
    for (let unit = begin; unit < end; unit++) {
      const first = unit * columnBlock;
      const n = min(columnBlock, columns - first);
      for (let j = 0; j < n; j += TILE_COLUMNS) {
        const w = b + <usize>(first + j) * depth;
        const c = sums + <usize>(j / TILE_COLUMNS) * (TILE << 2);
        const valid = min(TILE_COLUMNS, n - j);
        if (bDtype === facts.about<E4M3FN>().id) panel<E4M3FN>(exact, c, x, w, depth, valid, tail);
        else if (bDtype === facts.about<E5M2>().id) panel<E5M2>(exact, c, x, w, depth, valid, tail);
        else if (bDtype === facts.about<E4M3>().id) panel<E4M3>(exact, c, x, w, depth, valid, tail);
      }
      const at = <usize>(row * columns + first) * bytesOf(outDtype);
      const largest = finishRow(sums, 1, 1, 0, n, line, columnBlock, scale, columnScale ? columnScale + (first << 2) : 0,
        addend ? addend + at : 0, out + at, outDtype, outScale);
      if (amax) store<u32>(amax + (unit << 2), row ? max(load<u32>(amax + (unit << 2)), largest) : largest);
    }
  }
}

function vector(dtype: i32, dst: usize, src: usize, depth: i32): void {
  if (dtype === facts.about<F32>().id) pack.row<F32>(dst, src, depth);
  else if (dtype === facts.about<BF16>().id) pack.row<BF16>(dst, src, depth);
  else if (dtype === facts.about<F16>().id) pack.row<F16>(dst, src, depth);
  else if (dtype === facts.about<E4M3FN>().id) pack.row<E4M3FN>(dst, src, depth);
  else if (dtype === facts.about<E5M2>().id) pack.row<E5M2>(dst, src, depth);
  else if (dtype === facts.about<E4M3>().id) pack.row<E4M3>(dst, src, depth);
}

function panel<F>(exact: i32, c: usize, x: usize, w: usize, depth: i32, valid: i32, tail: usize): void {
  if (exact) eight<F, BF16>(c, x, w, depth, valid, tail);
  else eight<F, F32>(c, x, w, depth, valid, tail);
}

/**
 * Eight sums. F is the format of the weights, P that of the products (lanes.madd). 1 x 2048 x 2048 from E4M3, Node 26 / 20: 0.86 / 1.06 ms,
 * where packing panels took 4.0. Refused: a shift and an addition for all blocks without subnormals, 0.87 / 1.12; that and two panels (four
 * chains) at a time, 0.87 / 0.93 and half as much code again.
 */
function eight<F, P>(c: usize, x: usize, w: usize, depth: i32, valid: i32, tail: usize): void {
  const magnitudes = octets.magnitudes;
  const lowMask = octets.lowMask<F>();
  const rebias = octets.rebias<F>();
  const lowTable = octets.lowTable<F>();
  const highTable = octets.highTable<F>();
  let seen = i32x4.splat(0);
  let low = i32x4.splat(0);
  let high = low;
  let p0 = w;
  let p1 = w + <usize>min(1, valid - 1) * depth;
  let p2 = w + <usize>min(2, valid - 1) * depth;
  let p3 = w + <usize>min(3, valid - 1) * depth;
  let p4 = w + <usize>min(4, valid - 1) * depth;
  let p5 = w + <usize>min(5, valid - 1) * depth;
  let p6 = w + <usize>min(6, valid - 1) * depth;
  let p7 = w + <usize>min(7, valid - 1) * depth;
  const whole = depth & ~7;
  const end = x + (<usize>whole << 2);
  for (let at = x; at < end; at += 32) {
    const r04 = quad.lowBytes(v128.load64_zero(p0), v128.load64_zero(p4));
    const r26 = quad.lowBytes(v128.load64_zero(p2), v128.load64_zero(p6));
    const r15 = quad.lowBytes(v128.load64_zero(p1), v128.load64_zero(p5));
    const r37 = quad.lowBytes(v128.load64_zero(p3), v128.load64_zero(p7));
    p0 += 8;
    p1 += 8;
    p2 += 8;
    p3 += 8;
    p4 += 8;
    p5 += 8;
    p6 += 8;
    p7 += 8;
    let even = quad.lowBytes(r04, r26);
    let odd = quad.lowBytes(r15, r37);
    for (let half: usize = 0; half < 2; half++) {
      const from = at + (half << 4);
      let codes = quad.lowBytes(even, odd);
      let mag = v128.and(codes, magnitudes);
      seen = i8x16.max_u(seen, mag);
      let lowBytes = octets.lowBytes<F>(codes, mag, lowMask, lowTable);
      let highBytes = octets.highBytes<F>(codes, mag, magnitudes, lowMask, rebias, highTable);
      let values = quad.lowBytes(lowBytes, highBytes);
      let xs = v128.load32_splat(from);
      low = lanes.madd<P>(xs, decode.low(values), low);
      high = lanes.madd<P>(xs, decode.high(values), high);
      values = quad.highBytes(lowBytes, highBytes);
      xs = v128.load32_splat(from, 4);
      low = lanes.madd<P>(xs, decode.low(values), low);
      high = lanes.madd<P>(xs, decode.high(values), high);
      codes = quad.highBytes(even, odd);
      mag = v128.and(codes, magnitudes);
      seen = i8x16.max_u(seen, mag);
      lowBytes = octets.lowBytes<F>(codes, mag, lowMask, lowTable);
      highBytes = octets.highBytes<F>(codes, mag, magnitudes, lowMask, rebias, highTable);
      values = quad.lowBytes(lowBytes, highBytes);
      xs = v128.load32_splat(from, 8);
      low = lanes.madd<P>(xs, decode.low(values), low);
      high = lanes.madd<P>(xs, decode.high(values), high);
      values = quad.highBytes(lowBytes, highBytes);
      xs = v128.load32_splat(from, 12);
      low = lanes.madd<P>(xs, decode.low(values), low);
      high = lanes.madd<P>(xs, decode.high(values), high);
      even = quad.highBytes(r04, r26);
      odd = quad.highBytes(r15, r37);
    }
  }
  if (octets.special<F>(seen)) {
    bytewise<F>(c, x, w, depth, valid);
    return;
  }
  if (whole < depth) {
    pack.bHalfWide<F>(tail, w + whole, depth, 0, valid, depth - whole);
    pack.bHalfWide<F>(tail + 16, w + whole, depth, 4, valid, depth - whole);
    for (let k = whole; k < depth; k++) {
      const xs = v128.load32_splat(x + (<usize>k << 2));
      const from = tail + (<usize>(k - whole) << 5);
      low = lanes.madd<P>(xs, v128.load(from), low);
      high = lanes.madd<P>(xs, v128.load(from, 16), high);
    }
  }
  v128.store(c, low);
  v128.store(c, high, 16);
}

/** The same where weights hold infinity or NaN: slow, and right for every code. */
function bytewise<F>(c: usize, x: usize, w: usize, depth: i32, valid: i32): void {
  for (let j = 0; j < valid; j++) {
    let sum: f32 = 0;
    for (let k = 0; k < depth; k++) {
      const value = f32x4.extract_lane(decode.operand<F>(decode.load<F>(w + k)), 0);
      sum = sum + load<f32>(x + (<usize>k << 2)) * value;
    }
    store<f32>(c + (j << 2), sum);
    w += depth;
  }
}
