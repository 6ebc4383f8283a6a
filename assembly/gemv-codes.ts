/**
 * The part of `gemv` for weights in panels (transposed-codes.ts). One-byte codes are decoded in one of two ways.
 *
 *   normal groups  bits shifted to their place in a float32, which gives value * 2^(bias - 127); the row of A is scaled by the inverse
 *                  (vector-row.ts), so products and sums keep their bits. Subnormal codes would become subnormal float32, each of which
 *                  costs Intel's processors an assist: 36 ms instead of 0.7 for 2048 x 2048 of them
 *   others         as `pack` does it (decode-bytes.ts), to BF16 in scratch: twice the instructions
 *
 * `npm run bench -- --filter gemv`, Node 26 on an EPYC, E4M3FN prepacked and scaled to its range as recipes do it (one code in 8000 is
 * subnormal): 2048 x 2048 times one row 14.2 -> 25.3 GFLOP/s, two 13.8 -> 25.5, four 28.7 -> 50.3, sixteen 27.2 -> 48.3; 1 x 11008 x 4096
 * 11.5 -> 19.9. Unscaled (the benchmark's earlier data, of standard deviation 1: one in eighty), one row stays at 13.8. BF16 prepacked has
 * 25.2 and 18.4 (11.8 and 8.6 in rows, gemv-wide.ts). Refused: four panels for one row (no gain: the limit is the ten vector instructions
 * that decode 16 codes); two k at a time for four rows (V8 keeps more values than there are registers, 26).
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { loadRow } from './decode';
import { decodeBytes } from './decode-bytes';
import { BF16, facts } from './formats';
import { lanes, quad, splat } from './lanes';
import { prefetch } from './prefetch';
import { TILE } from './tile';
import { GROUP, weightPanel } from './transposed-codes';
import { vectorRow } from './vector-row';

/** Bytes from one tile of sums to the next. */
const NEXT: usize = TILE << 2;
/** Bytes of a group of codes. */
const GROUP_BYTES: usize = GROUP * TILE_COLUMNS;
/** Most bytes of a panel taken at a time, while the next as many are prefetched. */
const CHUNK: usize = prefetch.BYTES;

/**
 * The eight weights of one k, as one-byte codes of normal numbers or as BF16, loaded as four 32-bit words of two weights each. `even` and
 * `odd` move one of the two to its place in a float32 and clear the other.
 */
abstract class words {
  /** Bytes of one k. */
  @inline static bytes<F>(): usize { return TILE_COLUMNS * facts.about<F>().bytes; }
  @inline static load<F>(p: usize): v128 {
    return facts.about<F>().bytes === 1 ? v128.load8x8_s(p) : v128.load(p);
  }
  /** Sign and magnitude bits of a weight, at their place in a float32. */
  @inline static mask<F>(): v128 {
    const magnitude = (1 << (facts.about<F>().expBits + facts.about<F>().manBits)) - 1;
    return splat.words(0x80000000 | (magnitude << (16 + decodeBytes.shift<F>())));
  }
  @inline static even<F>(w: v128, mask: v128): v128 {
    const moved = i32x4.shl(w, 16 + decodeBytes.shift<F>());
    return facts.about<F>().bytes === 1 ? v128.and(moved, mask) : moved;
  }
  @inline static odd<F>(w: v128, mask: v128): v128 {
    return v128.and(i32x4.shl(w, decodeBytes.shift<F>()), mask);
  }
}

export abstract class coded {
  /** Bytes of scratch: a chunk of two panels, as BF16. */
  @inline static get scratch(): usize { return 4 * CHUNK; }

  /** Sixteen sums of one row. P says whether the products are exact (lanes.madd). */
  static one<F, P>(c: usize, x: usize, panel: usize, next: usize, depth: i32, scratch: usize): void {
    const both = coded.shifts<P>() && vectorRow.factor(x, depth) !== 0;
    const flags = weightPanel.flags(panel, depth);
    const others = weightPanel.flags(next, depth);
    const end = weightPanel.codes(depth);
    memory.fill(c, 0, 2 * NEXT);
    for (let from: usize = 0, to: usize = 0; from < end; from = to) {
      const normal = both && coded.normal(flags, others, from);
      to = both ? coded.runEnd(flags, others, from, end) : min(end, from + CHUNK);
      const count = (to - from) / TILE_COLUMNS;
      const at = x + (from >> 1);
      prefetch.lines(panel + from + CHUNK);
      prefetch.lines(next + from + CHUNK);
      if (normal) coded.addOne<F, P>(c, at + vectorRow.scaledCopy(depth), panel + from, next + from, count);
      else {
        coded.decode<F>(scratch, panel + from, panel + to);
        coded.decode<F>(scratch + 2 * CHUNK, next + from, next + to);
        coded.addOne<BF16, P>(c, at, scratch, scratch + 2 * CHUNK, count);
      }
    }
    coded.inOrder(c);
    coded.inOrder(c + NEXT);
  }

  /** `one` for panels of BF16, whose products with A are exact. */
  static oneWide(c: usize, x: usize, panel: usize, next: usize, depth: i32): void {
    const end = weightPanel.codes(depth) << 1;
    memory.fill(c, 0, 2 * NEXT);
    for (let from: usize = 0; from < end; from += CHUNK) {
      prefetch.lines(panel + from + CHUNK);
      prefetch.lines(next + from + CHUNK);
      coded.addOne<BF16, BF16>(c, x + (from >> 2), panel + from, next + from, min(CHUNK, end - from) / (2 * TILE_COLUMNS));
    }
    coded.inOrder(c);
    coded.inOrder(c + NEXT);
  }

  /** Eight sums for each of up to four rows, which share each decoded weight; products are exact. Rows that do not exist repeat the last one. */
  static four<F>(c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, depth: i32, rows: i32, scratch: usize): void {
    let both = true;
    for (let row = 0; row < rows; row++) {
      if (vectorRow.factor(x + <usize>row * xStride, depth) === 0) both = false;
      memory.fill(c + <usize>row * cStride, 0, NEXT);
    }
    const flags = weightPanel.flags(panel, depth);
    const end = weightPanel.codes(depth);
    for (let from: usize = 0, to: usize = 0; from < end; from = to) {
      const normal = both && coded.normal(flags, flags, from);
      to = both ? coded.runEnd(flags, flags, from, end) : min(end, from + CHUNK);
      const at = x + (from >> 1);
      if (normal) coded.addFour<F>(c, cStride, at + vectorRow.scaledCopy(depth), xStride, panel + from, panel + to, rows);
      else {
        coded.decode<F>(scratch, panel + from, panel + to);
        coded.addFour<BF16>(c, cStride, at, xStride, scratch, scratch + 2 * (to - from), rows);
      }
    }
    for (let row = 0; row < rows; row++) coded.inOrder(c + <usize>row * cStride);
  }

  /** Eight sums of one row and a panel that holds infinity or NaN: slow, and right for every code. */
  static any(dtype: i32, c: usize, x: usize, panel: usize, depth: i32, scratch: usize): void {
    let low = f32x4.splat(0);
    let high = low;
    for (let k = 0; k < depth; k++) {
      loadRow(dtype, panel, scratch, TILE_COLUMNS, 1);
      const value = v128.load32_splat(x);
      low = f32x4.add(low, f32x4.mul(value, v128.load(scratch)));
      high = f32x4.add(high, f32x4.mul(value, v128.load(scratch, 16)));
      panel += TILE_COLUMNS;
      x += 4;
    }
    coded.storeSums(c, low, high);
  }

  /** Whether normal groups may be decoded by a shift. Rounded products are rare with FP8 weights, and always take the other way. */
  @inline private static shifts<P>(): bool {
    return facts.about<P>().manBits < 12;
  }

  /** Whether the group `at` bytes into a panel is normal, in both panels. */
  @inline private static normal(flags: usize, others: usize, at: usize): bool {
    const group = at / GROUP_BYTES;
    return <bool>(load<u8>(flags + group) & load<u8>(others + group));
  }

  /** End of the run of groups that are of the same kind as the first, at most a chunk long. */
  private static runEnd(flags: usize, others: usize, from: usize, end: usize): usize {
    const first = coded.normal(flags, others, from);
    const last = min(end, from + CHUNK);
    do from += GROUP_BYTES; while (from < last && coded.normal(flags, others, from) === first);
    return min(from, last);
  }

  /** Decodes the finite codes from `panel` to `end` to BF16, two k at a time. */
  private static decode<F>(to: usize, panel: usize, end: usize): void {
    const magnitudes = decodeBytes.magnitudes;
    const lowMask = decodeBytes.lowMask<F>();
    const rebias = decodeBytes.rebias<F>();
    const lowTable = decodeBytes.lowTable<F>();
    const highTable = decodeBytes.highTable<F>();
    for (; panel < end; panel += 16) {
      const codes = v128.load(panel);
      const m = v128.and(codes, magnitudes);
      const lower = decodeBytes.lowBytes<F>(codes, m, lowMask, lowTable);
      const upper = decodeBytes.highBytes<F>(codes, m, magnitudes, lowMask, rebias, highTable);
      v128.store(to, quad.lowBytes(lower, upper));
      v128.store(to, quad.highBytes(lower, upper), 16);
      to += 32;
    }
  }

  /** Adds the products of an even number of k to sixteen sums, which hold even and odd columns apart. */
  private static addOne<F, P>(c: usize, x: usize, panel: usize, next: usize, count: usize): void {
    const mask = words.mask<F>();
    let even = v128.load(c), odd = v128.load(c, 16), nextEven = v128.load(c, NEXT), nextOdd = v128.load(c, NEXT + 16);
    for (const end = x + (count << 2); x < end; x += 8) {
      let value = v128.load32_splat(x);
      let w = words.load<F>(panel);
      even = lanes.madd<P>(value, words.even<F>(w, mask), even);
      odd = lanes.madd<P>(value, words.odd<F>(w, mask), odd);
      w = words.load<F>(next);
      nextEven = lanes.madd<P>(value, words.even<F>(w, mask), nextEven);
      nextOdd = lanes.madd<P>(value, words.odd<F>(w, mask), nextOdd);
      value = v128.load32_splat(x, 4);
      w = words.load<F>(panel + words.bytes<F>());
      even = lanes.madd<P>(value, words.even<F>(w, mask), even);
      odd = lanes.madd<P>(value, words.odd<F>(w, mask), odd);
      w = words.load<F>(next + words.bytes<F>());
      nextEven = lanes.madd<P>(value, words.even<F>(w, mask), nextEven);
      nextOdd = lanes.madd<P>(value, words.odd<F>(w, mask), nextOdd);
      panel += 2 * words.bytes<F>();
      next += 2 * words.bytes<F>();
    }
    coded.storeSums(c, even, odd);
    coded.storeSums(c + NEXT, nextEven, nextOdd);
  }

  /** Adds the products of a number of k to eight sums of each of up to four rows. */
  private static addFour<F>(c: usize, cStride: usize, x: usize, xStride: usize, panel: usize, end: usize, rows: i32): void {
    const mask = words.mask<F>();
    const second: usize = rows > 1 ? 1 : 0;
    const third: usize = rows > 2 ? 2 : second;
    const last: usize = rows > 3 ? 3 : third;
    let p1 = x + second * xStride;
    let p2 = x + third * xStride;
    let p3 = x + last * xStride;
    let a0 = v128.load(c), a1 = v128.load(c, 16);
    let b0 = v128.load(c + second * cStride), b1 = v128.load(c + second * cStride, 16);
    let c0 = v128.load(c + third * cStride), c1 = v128.load(c + third * cStride, 16);
    let d0 = v128.load(c + last * cStride), d1 = v128.load(c + last * cStride, 16);
    for (; panel < end; panel += words.bytes<F>()) {
      const w = words.load<F>(panel);
      const even = words.even<F>(w, mask);
      const odd = words.odd<F>(w, mask);
      let value = v128.load32_splat(x);
      a0 = lanes.madd<BF16>(value, even, a0);
      a1 = lanes.madd<BF16>(value, odd, a1);
      value = v128.load32_splat(p1);
      b0 = lanes.madd<BF16>(value, even, b0);
      b1 = lanes.madd<BF16>(value, odd, b1);
      value = v128.load32_splat(p2);
      c0 = lanes.madd<BF16>(value, even, c0);
      c1 = lanes.madd<BF16>(value, odd, c1);
      value = v128.load32_splat(p3);
      d0 = lanes.madd<BF16>(value, even, d0);
      d1 = lanes.madd<BF16>(value, odd, d1);
      x += 4;
      p1 += 4;
      p2 += 4;
      p3 += 4;
    }
    coded.storeSums(c + last * cStride, d0, d1);
    coded.storeSums(c + third * cStride, c0, c1);
    coded.storeSums(c + second * cStride, b0, b1);
    coded.storeSums(c, a0, a1);
  }

  private static storeSums(c: usize, even: v128, odd: v128): void {
    v128.store(c, even);
    v128.store(c, odd, 16);
  }

  /** Interleaves a tile's even and odd sums into column order. */
  private static inOrder(c: usize): void {
    const even = v128.load(c);
    const odd = v128.load(c, 16);
    v128.store(c, quad.lo(even, odd));
    v128.store(c, quad.hi(even, odd), 16);
  }
}
