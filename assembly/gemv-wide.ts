/**
 * The part of `gemv` for one row times weights of two or four bytes, transposed in registers: panels for a single row take longer to pack
 * than to multiply. Node 26 on a Xeon: 1 x 2048 x 2048 in float32 3.7 -> 12.6 GFLOP/s, in BF16 4.3 -> 10.4; 1 x 11008 x 4096 1.7 -> 6.0,
 * 2.6 -> 8.5. Refused: sixteen columns at a time, 9.8 in float32 (rows of weights lie a power of two apart, and sixteen lines of one set do
 * not stay in L1); weights shared by up to four rows, 13 -> 24 for four rows in float32, but 16 -> 17 in BF16, and slower from eight rows
 * on. Both, with float16 and rounded products, took 25 KB of code; this takes 3.
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { decode } from './decode';
import { facts } from './formats';
import { lanes, quad } from './lanes';
import { TILE } from './tile';

export abstract class wide {
  /** Sums for `columns` rows of weights, as tiles of eight. */
  static product<F>(c: usize, x: usize, weights: usize, depth: i32, columns: i32): void {
    for (let j = 0; j < columns; j += TILE_COLUMNS) {
      wide.eight<F>(c, x, weights, depth, min(TILE_COLUMNS, columns - j));
      c += TILE << 2;
      weights += <usize>(TILE_COLUMNS * depth * facts.about<F>().bytes);
    }
  }

  /** Up to eight sums; columns that do not exist repeat the last one. */
  private static eight<F>(c: usize, x: usize, weights: usize, depth: i32, columns: i32): void {
    const bytes = facts.about<F>().bytes;
    const ld = <usize>(depth * bytes);
    const last = columns - 1;
    let p0 = weights;
    let p1 = p0 + <usize>min(1, last) * ld;
    let p2 = p0 + <usize>min(2, last) * ld;
    let p3 = p0 + <usize>min(3, last) * ld;
    let p4 = p0 + <usize>min(4, last) * ld;
    let p5 = p0 + <usize>min(5, last) * ld;
    let p6 = p0 + <usize>min(6, last) * ld;
    let p7 = p0 + <usize>min(7, last) * ld;
    let low = i32x4.splat(0), high = low;
    const absolute = decode.absoluteEight;
    const flushed = decode.flushedEight;
    const whole = depth & ~(16 / bytes - 1);
    for (const end = p0 + <usize>(whole * bytes); p0 < end; p0 += 16) {
      low = wide.add<F>(low, x, wide.load<F>(p0, absolute, flushed), wide.load<F>(p1, absolute, flushed), wide.load<F>(p2, absolute, flushed), wide.load<F>(p3, absolute, flushed));
      high = wide.add<F>(high, x, wide.load<F>(p4, absolute, flushed), wide.load<F>(p5, absolute, flushed), wide.load<F>(p6, absolute, flushed), wide.load<F>(p7, absolute, flushed));
      p1 += 16;
      p2 += 16;
      p3 += 16;
      p4 += 16;
      p5 += 16;
      p6 += 16;
      p7 += 16;
      x += 64 / bytes;
    }
    v128.store(c, low);
    v128.store(c, high, 16);
    if (whole < depth) wide.rest<F>(c, x, weights + <usize>(whole * bytes), ld, depth - whole, columns);
  }

  @inline private static load<F>(p: usize, absolute: v128, flushed: v128): v128 {
    return facts.about<F>().bytes === 4 ? v128.load(p) : decode.eight(p, absolute, flushed);
  }

  /** Adds one vector of weights from each of four columns (4 or 8 k) to their sums, in ascending k. */
  @inline private static add<F>(sum: v128, x: usize, a0: v128, a1: v128, a2: v128, a3: v128): v128 {
    if (facts.about<F>().bytes === 4) {
      const l01 = quad.lo(a0, a1);
      const l23 = quad.lo(a2, a3);
      const h01 = quad.hi(a0, a1);
      const h23 = quad.hi(a2, a3);
      sum = lanes.madd<F>(v128.load32_splat(x), quad.evenHalves(l01, l23), sum);
      sum = lanes.madd<F>(v128.load32_splat(x, 4), quad.oddHalves(l01, l23), sum);
      sum = lanes.madd<F>(v128.load32_splat(x, 8), quad.evenHalves(h01, h23), sum);
      return lanes.madd<F>(v128.load32_splat(x, 12), quad.oddHalves(h01, h23), sum);
    }
    const l01 = quad.lowPairs(a0, a1);
    const l23 = quad.lowPairs(a2, a3);
    const h01 = quad.highPairs(a0, a1);
    const h23 = quad.highPairs(a2, a3);
    sum = wide.addTwo<F>(sum, x, quad.lo(l01, l23));
    sum = wide.addTwo<F>(sum, x + 8, quad.hi(l01, l23));
    sum = wide.addTwo<F>(sum, x + 16, quad.lo(h01, h23));
    return wide.addTwo<F>(sum, x + 24, quad.hi(h01, h23));
  }

  /** Two k of four columns, in BF16. */
  @inline private static addTwo<F>(sum: v128, x: usize, fours: v128): v128 {
    sum = lanes.madd<F>(v128.load32_splat(x), decode.low(fours), sum);
    return lanes.madd<F>(v128.load32_splat(x, 4), decode.high(fours), sum);
  }

  /** The last k, fewer than fill a vector. */
  private static rest<F>(c: usize, x: usize, weights: usize, ld: usize, depth: i32, columns: i32): void {
    for (let j = 0; j < columns; j++) {
      let sum = load<f32>(c + (j << 2));
      for (let k = 0; k < depth; k++) {
        const codes = decode.load<F>(weights + <usize>j * ld + <usize>(k * facts.about<F>().bytes));
        sum = sum + load<f32>(x + (<usize>k << 2)) * f32x4.extract_lane(decode.operand<F>(codes), 0);
      }
      store<f32>(c + (j << 2), sum);
    }
  }
}
