/**
 * The part of `gemv` for weights in panels (weight-panel.ts): of a word, one load brings each weight to the top of its lane, and a shift
 * and a mask move it to its place in a float32, BF16 even without the shift. A one-byte weight is then value * 2^(bias - 127), for which
 * the row of A is scaled beforehand (vector-row.ts), so products and sums keep their bits. A subnormal code becomes a subnormal float32,
 * which costs Intel's processors an assist: 36 ms instead of 0.7 for 2048 x 2048 of them. Panels with many, and rounded products, are
 * decoded as `pack` does it (decode-bytes.ts), to BF16 in scratch: twice the instructions.
 */

import { TILE_COLUMNS, WEIGHT_COLUMNS } from '../src/engine/units';
import { loadRow } from './decode';
import { decodeBytes } from './decode-bytes';
import { BF16, facts } from './formats';
import { lanes, quad, splat } from './lanes';
import { TILE } from './tile';
import { vectorRow } from './vector-row';
import { holds, weightPanel, WORDS } from './weight-panel';

/** Bytes from one tile of sums to the next. */
const NEXT: usize = TILE << 2;
/** Tiles of a panel. */
const TILES: usize = <usize>(WEIGHT_COLUMNS / TILE_COLUMNS);
/** Words that are decoded, or shared by several rows, before the next. */
const CHUNK = 64;

/** Four weights of one k. */
abstract class weights {
  /** The number of k in a word. */
  @inline static each<F>(): i32 { return 4 / facts.about<F>().bytes; }
  /** From the lowest code of a word down to the address whose word has it at the top. */
  @inline static above<F>(): usize { return 4 - facts.about<F>().bytes; }
  /** Sign and magnitude bits at their place in a float32. */
  @inline static mask<F>(): v128 {
    const f = facts.about<F>();
    return splat.words(0x80000000 | (((1 << (f.expBits + f.manBits)) - 1) << (23 - f.manBits)));
  }
  @inline static load<F>(p: usize, mask: v128): v128 {
    const words = v128.load(p);
    return v128.and(facts.about<F>().bytes === 1 ? i32x4.shr_s(words, 1 + facts.about<F>().manBits) : words, mask);
  }
}

export abstract class coded {
  /** Bytes of scratch: a chunk of a panel as BF16. */
  @inline static get scratch(): usize { return 2 * CHUNK * WORDS; }

  /** 32 sums of one row. P says whether the products are exact (lanes.madd). */
  static one<F, P>(dtype: i32, c: usize, x: usize, panel: usize, depth: i32, scratch: usize): void {
    const words = weightPanel.words(dtype, depth);
    clear(c);
    if (facts.about<F>().bytes === 2) coded.addOne<F, P>(c, x, panel, words);
    else if (lanes.exact<P>() && coded.shifts(dtype, x, panel, depth)) {
      coded.addOne<F, P>(c, x + vectorRow.scaledCopy(depth), panel, words);
    } else {
      for (let from = 0; from < words; from += CHUNK) {
        const count = min(CHUNK, words - from);
        coded.decode<F>(scratch, panel + <usize>from * WORDS, count);
        coded.addOne<BF16, P>(c, x + (from << 4), scratch, 2 * count);
      }
    }
  }

  /** 32 sums of each of four rows, which share each decoded weight; products are exact. */
  static four<F>(dtype: i32, c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, scratch: usize): void {
    const words = weightPanel.words(dtype, depth);
    let shifts = true;
    for (let row = 0; row < 4; row++) {
      if (!coded.shifts(dtype, x + <usize>row * xStride, panel, depth)) shifts = false;
      clear(c + <usize>row * cStride);
    }
    if (shifts) x += vectorRow.scaledCopy(depth);
    for (let from = 0; from < words; from += CHUNK) {
      const count = min(CHUNK, words - from);
      const at = x + (from << 4);
      const chunk = panel + <usize>from * WORDS;
      if (!shifts) coded.decode<F>(scratch, chunk, count);
      for (let t: usize = 0; t < TILES; t++) {
        if (shifts) coded.addFour<F>(c + t * NEXT, cStride, at, xStride, chunk + 32 * t, count);
        else coded.addFour<BF16>(c + t * NEXT, cStride, at, xStride, scratch + 32 * t, 2 * count);
      }
    }
  }

  /** 32 sums of one row and a panel that holds infinity or NaN: slow, and right for every code. */
  static any(dtype: i32, c: usize, x: usize, panel: usize, depth: i32, scratch: usize): void {
    clear(c);
    const numbers = scratch + 32;
    for (let k = 0; k < depth; k += 4) {
      for (let t: usize = 0; t < TILES; t++) {
        weightPanel.turn(1, scratch, panel + 32 * t, 4);
        loadRow(dtype, scratch, numbers, 4 * TILE_COLUMNS, 1);
        const sums = c + t * NEXT;
        for (let i = 0; i < 4; i++) {
          const value = v128.load32_splat(x + ((k + i) << 2));
          const row = numbers + (i << 5);
          v128.store(sums, f32x4.add(v128.load(sums), f32x4.mul(value, v128.load(row))));
          v128.store(sums, f32x4.add(v128.load(sums, 16), f32x4.mul(value, v128.load(row, 16))), 16);
        }
      }
      panel += WORDS;
    }
  }

  /** Whether a panel of one-byte codes is decoded by shifts, for this row of A. */
  @inline private static shifts(dtype: i32, x: usize, panel: usize, depth: i32): bool {
    return vectorRow.factor(x, depth) !== 0 && load<i32>(weightPanel.content(panel, dtype, depth)) === holds.FEW;
  }

  /** Decodes finite codes, `count` words of each row, to twice as many words of BF16. */
  private static decode<F>(to: usize, words: usize, count: i32): void {
    const magnitudes = decodeBytes.magnitudes;
    const lowMask = decodeBytes.lowMask<F>();
    const rebias = decodeBytes.rebias<F>();
    const lowTable = decodeBytes.lowTable<F>();
    const highTable = decodeBytes.highTable<F>();
    for (const end = words + <usize>count * WORDS; words < end; words += WORDS) {
      for (let at: usize = 0; at < WORDS; at += 16) {
        const codes = v128.load(words + at);
        const m = v128.and(codes, magnitudes);
        const lower = decodeBytes.lowBytes<F>(codes, m, lowMask, lowTable);
        const upper = decodeBytes.highBytes<F>(codes, m, magnitudes, lowMask, rebias, highTable);
        const first = quad.lowBytes(lower, upper);
        const last = quad.highBytes(lower, upper);
        v128.store(to + at, quad.evenLanes(first, last));
        v128.store(to + at, quad.oddLanes(first, last), WORDS);
      }
      to += 2 * WORDS;
    }
  }

  /**
   * Adds the products of `count` words (1 or more) of each row to 32 sums, one k after another. Eight chains of sums hide the latency of an
   * addition; what limits is three vector instructions for four one-byte weights. GFLOP/s of this loop alone on an EPYC (65 at most), E4M3FN at
   * 2048 x 2048 and 11008 x 4096, Node 26: 39 and 37. Refused: the k of a word written out, 36 and 34; four panels of eight columns, 36 and
   * 32, or two, 33 and 24; codes k by k, each vector of them widened, then shifted and masked twice, 31 and 22. A loop in a loop is the same
   * here and 20 instead of 30 on Node 20.
   */
  private static addOne<F, P>(c: usize, x: usize, words: usize, count: i32): void {
    const mask = weights.mask<F>();
    let a0 = v128.load(c), a1 = v128.load(c, 16), b0 = v128.load(c, NEXT), b1 = v128.load(c, NEXT + 16);
    let c0 = v128.load(c, 2 * NEXT), c1 = v128.load(c, 2 * NEXT + 16), d0 = v128.load(c, 3 * NEXT), d1 = v128.load(c, 3 * NEXT + 16);
    let at = words - weights.above<F>();
    let next = at + 4;
    const end = x + (<usize>(count * weights.each<F>()) << 2);
    do {
      const value = v128.load32_splat(x);
      a0 = lanes.madd<P>(value, weights.load<F>(at, mask), a0);
      a1 = lanes.madd<P>(value, weights.load<F>(at + 16, mask), a1);
      b0 = lanes.madd<P>(value, weights.load<F>(at + 32, mask), b0);
      b1 = lanes.madd<P>(value, weights.load<F>(at + 48, mask), b1);
      c0 = lanes.madd<P>(value, weights.load<F>(at + 64, mask), c0);
      c1 = lanes.madd<P>(value, weights.load<F>(at + 80, mask), c1);
      d0 = lanes.madd<P>(value, weights.load<F>(at + 96, mask), d0);
      d1 = lanes.madd<P>(value, weights.load<F>(at + 112, mask), d1);
      x += 4;
      at += facts.about<F>().bytes;
      if (at === next) {
        at += WORDS - 4;
        next += WORDS;
      }
    } while (x < end);
    coded.storeTile(c, a0, a1);
    coded.storeTile(c + NEXT, b0, b1);
    coded.storeTile(c + 2 * NEXT, c0, c1);
    coded.storeTile(c + 3 * NEXT, d0, d1);
  }

  /** The same for eight sums of each of four rows. This loop alone, at 2048 x 2048: 55 GFLOP/s, and 51 in the form of `addOne`. */
  private static addFour<F>(c: usize, cStride: usize, x: usize, xStride: usize, words: usize, count: i32): void {
    const mask = weights.mask<F>();
    let p1 = x + xStride, p2 = p1 + xStride, p3 = p2 + xStride;
    const second = c + cStride, third = second + cStride, last = third + cStride;
    let a0 = v128.load(c), a1 = v128.load(c, 16);
    let b0 = v128.load(second), b1 = v128.load(second, 16);
    let c0 = v128.load(third), c1 = v128.load(third, 16);
    let d0 = v128.load(last), d1 = v128.load(last, 16);
    for (const end = words + <usize>count * WORDS; words < end; words += WORDS) {
      for (let at = words - weights.above<F>(); at <= words; at += facts.about<F>().bytes) {
        const low = weights.load<F>(at, mask);
        const high = weights.load<F>(at + 16, mask);
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
    }
    coded.storeTile(c, a0, a1);
    coded.storeTile(second, b0, b1);
    coded.storeTile(third, c0, c1);
    coded.storeTile(last, d0, d1);
  }

  @inline private static storeTile(c: usize, low: v128, high: v128): void {
    v128.store(c, low);
    v128.store(c, high, 16);
  }
}

/** The first row of as many tiles as a panel has. */
function clear(c: usize): void {
  for (let t: usize = 0; t < TILES; t++) memory.fill(c + t * NEXT, 0, TILE_COLUMNS * 4);
}
