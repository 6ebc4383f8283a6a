/**
 * The part of `gemv` for weights in panels (weight-panel.ts), decoded by shifts and masks (gemv-weights.ts). A one-byte weight is then its
 * value times 2^(bias - 127), for which the row of A is scaled beforehand (vector-row.ts), so products and sums keep their bits. A
 * subnormal code becomes a subnormal float32, which costs Intel's processors an assist: 36 ms instead of 0.7 for 2048 x 2048 of them.
 * Panels with many, and rounded products, are decoded as `pack` does it (decode-bytes.ts), to BF16 in scratch: twice the instructions.
 */

import { TILE_COLUMNS, WEIGHT_COLUMNS } from '../src/engine/units';
import { loadRow } from './decode';
import { decodeBytes } from './decode-bytes';
import { BF16, facts } from './formats';
import { addPair } from './gemv-pair';
import { NEXT, sums, weights } from './gemv-weights';
import { lanes, splat } from './lanes';
import { vectorRow } from './vector-row';
import { holds, weightPanel } from './weight-panel';

/** Tiles of a panel. */
const TILES: usize = <usize>(WEIGHT_COLUMNS / TILE_COLUMNS);
/** Number of k that are decoded, or shared by several rows, before the next: 16 KiB of BF16. */
const CHUNK = 256;
/** Bytes from one k to the next of a panel of BF16, as which chunks are decoded. */
const DECODED: usize = 2 * WEIGHT_COLUMNS;

export abstract class coded {
  /** Bytes of scratch: a chunk of a panel as BF16. */
  @inline static get scratch(): usize { return CHUNK * DECODED; }

  /** 32 sums of one row. P says whether the products are exact (lanes.madd). */
  static one<F, P>(dtype: i32, c: usize, x: usize, panel: usize, depth: i32, scratch: usize): void {
    clear(c);
    if (facts.about<F>().bytes === 2) coded.addOne<F, P>(c, x, panel, depth);
    else if (lanes.exact<P>() && coded.shifts(dtype, x, panel, depth)) {
      coded.addOne<F, P>(c, x + vectorRow.scaledCopy(depth), panel, depth);
    } else {
      for (let k = 0; k < depth; k += CHUNK) {
        const count = min(CHUNK, depth - k);
        coded.decode<F>(scratch, panel + <usize>(k * WEIGHT_COLUMNS), count);
        coded.addOne<BF16, P>(c, x + (k << 2), scratch, count);
      }
    }
  }

  /** 32 sums of each of `rows` rows, a multiple of four, which share each decoded weight; products are exact. */
  static fours<F>(
    dtype: i32, rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, scratch: usize,
  ): void {
    let shifts = true;
    for (let row = 0; row < rows; row++) {
      if (!coded.shifts(dtype, x + <usize>row * xStride, panel, depth)) shifts = false;
      clear(c + <usize>row * cStride);
    }
    if (shifts) x += vectorRow.scaledCopy(depth);
    for (let k = 0; k < depth; k += CHUNK) {
      const count = min(CHUNK, depth - k);
      const chunk = panel + <usize>(k * WEIGHT_COLUMNS);
      if (!shifts) coded.decode<F>(scratch, chunk, count);
      for (let row = 0; row < rows; row += 4) {
        const to = c + <usize>row * cStride;
        const at = x + <usize>row * xStride + (k << 2);
        for (let h: usize = 0; h < 32; h += 16) {
          if (shifts) coded.addBoth<F>(to + h, cStride, at, xStride, chunk + h, count);
          else coded.addBoth<BF16>(to + h, cStride, at, xStride, scratch + h, count);
        }
      }
    }
  }

  /** 32 sums of one row and a panel that holds infinity or NaN: slow, and right for every code. */
  static any(dtype: i32, c: usize, x: usize, panel: usize, depth: i32, scratch: usize): void {
    clear(c);
    const numbers = scratch + 32;
    for (let k = 0; k < depth; k++) {
      const value = v128.load32_splat(x + (k << 2));
      for (let t: usize = 0; t < TILES; t++) {
        weightPanel.tile(1, scratch, panel, <i32>t, 1);
        loadRow(dtype, scratch, numbers, TILE_COLUMNS, 1);
        const to = c + t * NEXT;
        v128.store(to, f32x4.add(v128.load(to), f32x4.mul(value, v128.load(numbers))));
        v128.store(to, f32x4.add(v128.load(to, 16), f32x4.mul(value, v128.load(numbers, 16))), 16);
      }
      panel += WEIGHT_COLUMNS;
    }
  }

  /**
   * 32 sums of each of two panels for each row (gemv-pair.ts), in the turbo builds; products are exact. False, with nothing written, unless
   * the panels and all rows allow decoding by shifts.
   */
  static pair<F>(dtype: i32, rows: i32, c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, next: usize, depth: i32): bool {
    if (facts.about<F>().bytes === 1) {
      for (let row = 0; row < rows; row++) {
        const values = x + <usize>row * xStride;
        if (!coded.shifts(dtype, values, panel, depth) || !coded.shifts(dtype, values, next, depth)) return false;
      }
      x += vectorRow.scaledCopy(depth);
    }
    for (let row = 0; row < rows; row++) {
      clear(c + <usize>row * cStride);
      clear(c + <usize>row * cStride + TILES * NEXT);
    }
    // In chunks, one row takes 5 to 10 % longer.
    const step = rows > 1 ? CHUNK : depth;
    for (let k = 0; k < depth; k += step) {
      const count = min(step, depth - k);
      const from = <usize>k * weightPanel.stride(dtype);
      for (let row = 0; row < rows; row++) {
        addPair<F>(c + <usize>row * cStride, x + <usize>row * xStride + (k << 2), panel + from, next + from, count);
      }
    }
    return true;
  }

  /** Whether a panel of one-byte codes is decoded by shifts, for this row of A. */
  @inline private static shifts(dtype: i32, x: usize, panel: usize, depth: i32): bool {
    return vectorRow.factor(x, depth) !== 0 && load<i32>(weightPanel.content(panel, dtype, depth)) === holds.FEW;
  }

  /** Decodes `count` k of a panel, finite codes, to BF16. */
  private static decode<F>(to: usize, words: usize, count: i32): void {
    const magnitudes = decodeBytes.magnitudes;
    const lowMask = decodeBytes.lowMask<F>();
    const rebias = decodeBytes.rebias<F>();
    const lowTable = decodeBytes.lowTable<F>();
    const highTable = decodeBytes.highTable<F>();
    const lowBytes = splat.pairs(0xff);
    for (const end = to + <usize>count * DECODED; to < end; to += DECODED) {
      for (let h: usize = 0; h < 32; h += 16) {
        const codes = v128.load(words + h);
        const m = v128.and(codes, magnitudes);
        const lower = decodeBytes.lowBytes<F>(codes, m, lowMask, lowTable);
        const upper = decodeBytes.highBytes<F>(codes, m, magnitudes, lowMask, rebias, highTable);
        v128.store(to + h, v128.or(v128.and(lower, lowBytes), i16x8.shl(upper, 8)));
        v128.store(to + h, v128.or(i16x8.shr_u(lower, 8), v128.andnot(upper, lowBytes)), 32);
      }
      words += WEIGHT_COLUMNS;
    }
  }

  /**
   * Adds the products of `count` k (1 or more) to 32 sums, one k after another. Eight chains of sums hide the latency of an addition; what
   * limits is the number of instructions. Of one-byte codes, those of tiles 0 and 2 come to the upper bytes of 16-bit lanes by a load from
   * one byte before. GFLOP/s of this loop alone on an EPYC (Zen 4, 57 at most), E4M3FN from L1, Node 26 and 20: 35 and 35. Refused: by a
   * shift instead of that load, 33 and 33; by a relaxed dot product, 36 and 18; words of four k of a column, each vector of weights from a
   * load of its own, 32 and 27; a loop unrolled by two k, 26 and 25.
   */
  private static addOne<F, P>(c: usize, x: usize, words: usize, count: i32): void {
    const bytes = facts.about<F>().bytes;
    const mask = weights.mask<F>();
    let a0 = v128.load(c), a1 = v128.load(c, 16), b0 = v128.load(c, NEXT), b1 = v128.load(c, NEXT + 16);
    let c0 = v128.load(c, 2 * NEXT), c1 = v128.load(c, 2 * NEXT + 16), d0 = v128.load(c, 3 * NEXT), d1 = v128.load(c, 3 * NEXT + 16);
    words += weights.even<F>();
    const end = x + (<usize>count << 2);
    do {
      const value = v128.load32_splat(x);
      let halves = weights.halves<F>(v128.load(words));
      c0 = lanes.madd<P>(value, weights.upper(halves, mask), c0);
      a0 = lanes.madd<P>(value, weights.lower<F>(halves, mask), a0);
      halves = weights.halves<F>(bytes === 1 ? v128.load(words, 1) : v128.load(words, 32));
      d0 = lanes.madd<P>(value, weights.upper(halves, mask), d0);
      b0 = lanes.madd<P>(value, weights.lower<F>(halves, mask), b0);
      // Never true: V8 11 and 12 would load all vectors first and, with no register left, keep a sum in memory (17 instead of 32 GFLOP/s).
      if (!isDefined(TURBO) && x === 0) break;
      halves = weights.halves<F>(v128.load(words, 16));
      c1 = lanes.madd<P>(value, weights.upper(halves, mask), c1);
      a1 = lanes.madd<P>(value, weights.lower<F>(halves, mask), a1);
      halves = weights.halves<F>(bytes === 1 ? v128.load(words, 17) : v128.load(words, 48));
      d1 = lanes.madd<P>(value, weights.upper(halves, mask), d1);
      b1 = lanes.madd<P>(value, weights.lower<F>(halves, mask), b1);
      x += 4;
      words += WEIGHT_COLUMNS * bytes;
    } while (x < end);
    sums.store(c, a0, a1);
    sums.store(c + NEXT, b0, b1);
    sums.store(c + 2 * NEXT, c0, c1);
    sums.store(c + 3 * NEXT, d0, d1);
  }

  /**
   * The same for eight sums of each of four rows, from one vector of words of each k: four of tile 0 or 1, where c says, and as many of the
   * next tile but one.
   */
  private static addFour<F>(c: usize, cStride: usize, x: usize, xStride: usize, words: usize, count: i32): void {
    const stride: usize = WEIGHT_COLUMNS * facts.about<F>().bytes;
    const mask = weights.mask<F>();
    let p1 = x + xStride, p2 = p1 + xStride, p3 = p2 + xStride;
    const second = c + cStride, third = second + cStride, last = third + cStride;
    let a0 = v128.load(c), a1 = v128.load(c, 2 * NEXT);
    let b0 = v128.load(second), b1 = v128.load(second, 2 * NEXT);
    let c0 = v128.load(third), c1 = v128.load(third, 2 * NEXT);
    let d0 = v128.load(last), d1 = v128.load(last, 2 * NEXT);
    for (const end = words + <usize>count * stride; words < end; words += stride) {
      const halves = weights.halves<F>(v128.load(words));
      const low = weights.lower<F>(halves, mask);
      const high = weights.upper(halves, mask);
      let value = v128.load32_splat(x);
      a0 = lanes.madd<BF16>(value, low, a0);
      a1 = lanes.madd<BF16>(value, high, a1);
      value = v128.load32_splat(p1);
      b0 = lanes.madd<BF16>(value, low, b0);
      b1 = lanes.madd<BF16>(value, high, b1);
      value = v128.load32_splat(p2);
      c0 = lanes.madd<BF16>(value, low, c0);
      c1 = lanes.madd<BF16>(value, high, c1);
      value = v128.load32_splat(p3);
      d0 = lanes.madd<BF16>(value, low, d0);
      d1 = lanes.madd<BF16>(value, high, d1);
      x += 4;
      p1 += 4;
      p2 += 4;
      p3 += 4;
    }
    v128.store(c, a0);
    v128.store(c, a1, 2 * NEXT);
    v128.store(second, b0);
    v128.store(second, b1, 2 * NEXT);
    v128.store(third, c0);
    v128.store(third, c1, 2 * NEXT);
    v128.store(last, d0);
    v128.store(last, d1, 2 * NEXT);
  }

  /** Sixteen sums of each of four rows, four of each tile. */
  @inline private static addBoth<F>(c: usize, cStride: usize, x: usize, xStride: usize, words: usize, count: i32): void {
    coded.addFour<F>(c, cStride, x, xStride, words + weights.even<F>(), count);
    coded.addFour<F>(c + NEXT, cStride, x, xStride, words + weights.odd<F>(), count);
  }
}

/** The first row of as many tiles as a panel has. */
function clear(c: usize): void {
  for (let t: usize = 0; t < TILES; t++) memory.fill(c + t * NEXT, 0, TILE_COLUMNS * 4);
}
