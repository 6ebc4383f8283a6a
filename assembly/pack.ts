/**
 * Matrix codes to float32 panels: what the tile reads.
 *
 *   A panel: for each k, TILE_ROWS consecutive floats (one per row of the tile)
 *   B panel: for each k, TILE_COLUMNS consecutive floats (one per column of the tile)
 *
 * `along`: k runs along the stored rows of the operand (A is M x K, B is N x K). `across`: k selects the stored row (A is K x M, B is K x
 * N). Rows and columns past the edge are packed from whatever lies there (a clamped row, or the bytes behind the matrix, which the
 * allocator pads); their results are never stored.
 */

import { TILE_COLUMNS, TILE_ROWS } from '../src/engine/units';
import { decode } from './decode';
import { decodeBytes } from './decode-bytes';
import { facts } from './formats';
import { quad } from './lanes';

export abstract class pack {
  /** Row `row` of a panel, or the last one that exists. */
  @inline private static clamped(src: usize, ld: usize, row: i32, valid: i32): usize {
    return src + <usize>min(row, valid - 1) * ld;
  }

  /** Whether F is BF16. */
  @inline private static isBF16<F>(): bool {
    return facts.about<F>().expBits === 8 && facts.about<F>().bytes === 2;
  }

  /** One A panel from `valid` (1 to 6) rows of kc codes each, ld bytes apart. */
  static aAlong<F>(dst: usize, src: usize, ld: usize, valid: i32, kc: i32): void {
    if (facts.about<F>().bytes === 1) {
      if (pack.aBytes<F>(dst, src, ld, valid, kc)) pack.aWide<F>(dst, src, ld, valid, kc);
    } else if (pack.isBF16<F>()) pack.aBF16<F>(dst, src, ld, valid, kc);
    else pack.aWide<F>(dst, src, ld, valid, kc);
  }

  private static aBF16<F>(dst: usize, src: usize, ld: usize, valid: i32, kc: i32): void {
    const absolute = decode.absoluteEight;
    const flushed = decode.flushedEight;
    const whole = kc & ~7;
    let p0 = src;
    let p1 = pack.clamped(src, ld, 1, valid);
    let p2 = pack.clamped(src, ld, 2, valid);
    let p3 = pack.clamped(src, ld, 3, valid);
    let p4 = pack.clamped(src, ld, 4, valid);
    let p5 = pack.clamped(src, ld, 5, valid);
    for (let k = 0; k < whole; k += 8) {
      pack.aEight(
        dst, decode.eight(p0, absolute, flushed), decode.eight(p1, absolute, flushed), decode.eight(p2, absolute, flushed),
        decode.eight(p3, absolute, flushed), decode.eight(p4, absolute, flushed), decode.eight(p5, absolute, flushed),
      );
      p0 += 16;
      p1 += 16;
      p2 += 16;
      p3 += 16;
      p4 += 16;
      p5 += 16;
      dst += 192;
    }
    if (whole < kc) pack.aWide<F>(dst, p0, ld, valid, kc - whole);
  }

  /**
   * One-byte codes, two rows at a time; true if it met infinity or NaN and the panel must be packed again. Transposed as bytes, in panels of
   * eight rows of which two are of no use, as bBytes does, it took 1.27 times as long in Node 26, 1.07 in Node 20.
   */
  private static aBytes<F>(dst: usize, src: usize, ld: usize, valid: i32, kc: i32): bool {
    const magnitudes = decodeBytes.magnitudes;
    const lowMask = decodeBytes.lowMask<F>();
    const rebias = decodeBytes.rebias<F>();
    const lowTable = decodeBytes.lowTable<F>();
    const highTable = decodeBytes.highTable<F>();
    const whole = kc & ~7;
    let seen = i32x4.splat(0);
    let p0 = src;
    let p1 = pack.clamped(src, ld, 1, valid);
    let p2 = pack.clamped(src, ld, 2, valid);
    let p3 = pack.clamped(src, ld, 3, valid);
    let p4 = pack.clamped(src, ld, 4, valid);
    let p5 = pack.clamped(src, ld, 5, valid);
    for (let k = 0; k < whole; k += 8) {
      const c01 = pack.twoRows(p0, p1);
      const c23 = pack.twoRows(p2, p3);
      const c45 = pack.twoRows(p4, p5);
      const m01 = v128.and(c01, magnitudes);
      const m23 = v128.and(c23, magnitudes);
      const m45 = v128.and(c45, magnitudes);
      seen = i8x16.max_u(seen, i8x16.max_u(m01, i8x16.max_u(m23, m45)));
      const l01 = decodeBytes.lowBytes<F>(c01, m01, lowMask, lowTable);
      const h01 = decodeBytes.highBytes<F>(c01, m01, magnitudes, lowMask, rebias, highTable);
      const l23 = decodeBytes.lowBytes<F>(c23, m23, lowMask, lowTable);
      const h23 = decodeBytes.highBytes<F>(c23, m23, magnitudes, lowMask, rebias, highTable);
      const l45 = decodeBytes.lowBytes<F>(c45, m45, lowMask, lowTable);
      const h45 = decodeBytes.highBytes<F>(c45, m45, magnitudes, lowMask, rebias, highTable);
      pack.aEight(
        dst, quad.lowBytes(l01, h01), quad.highBytes(l01, h01), quad.lowBytes(l23, h23), quad.highBytes(l23, h23),
        quad.lowBytes(l45, h45), quad.highBytes(l45, h45),
      );
      p0 += 8;
      p1 += 8;
      p2 += 8;
      p3 += 8;
      p4 += 8;
      p5 += 8;
      dst += 192;
    }
    if (decodeBytes.special(seen, facts.about<F>().maxCode)) return true;
    if (whole < kc) pack.aWide<F>(dst, p0, ld, valid, kc - whole);
    return false;
  }

  /** Eight codes of each of two rows. */
  @inline private static twoRows(p: usize, q: usize): v128 {
    return v128.load64_lane(q, v128.load64_zero(p), 1);
  }

  /** Eight k of an A panel from eight BF16 of each row: transposed in 16-bit, then in 32-bit lanes, and widened last. */
  @inline private static aEight(dst: usize, a0: v128, a1: v128, a2: v128, a3: v128, a4: v128, a5: v128): void {
    const l01 = quad.lowPairs(a0, a1);
    const h01 = quad.highPairs(a0, a1);
    const l23 = quad.lowPairs(a2, a3);
    const h23 = quad.highPairs(a2, a3);
    const l45 = quad.lowPairs(a4, a5);
    const h45 = quad.highPairs(a4, a5);
    pack.aStoreTwo(dst, quad.lo(l01, l23), decode.low(l45));
    pack.aStoreTwo(dst + 48, quad.hi(l01, l23), decode.high(l45));
    pack.aStoreTwo(dst + 96, quad.lo(h01, h23), decode.low(h45));
    pack.aStoreTwo(dst + 144, quad.hi(h01, h23), decode.high(h45));
  }

  /** Two k of an A panel: rows 0 to 3 as BF16, four to a k, and rows 4 and 5 as float32, two to a k. */
  @inline private static aStoreTwo(dst: usize, fours: v128, pairs: v128): void {
    v128.store(dst, decode.low(fours));
    v128.store64_lane(dst, pairs, 0, 16);
    v128.store(dst, decode.high(fours), 24);
    v128.store64_lane(dst, pairs, 1, 40);
  }

  private static aWide<F>(dst: usize, src: usize, ld: usize, valid: i32, kc: i32): void {
    const bytes = facts.about<F>().bytes;
    let p0 = src;
    let p1 = pack.clamped(src, ld, 1, valid);
    let p2 = pack.clamped(src, ld, 2, valid);
    let p3 = pack.clamped(src, ld, 3, valid);
    let p4 = pack.clamped(src, ld, 4, valid);
    let p5 = pack.clamped(src, ld, 5, valid);
    for (let k = 0; k < kc; k += 4) {
      const a0 = decode.operands<F>(p0);
      const a1 = decode.operands<F>(p1);
      const a2 = decode.operands<F>(p2);
      const a3 = decode.operands<F>(p3);
      const a4 = decode.operands<F>(p4);
      const a5 = decode.operands<F>(p5);
      const l01 = quad.lo(a0, a1);
      const l23 = quad.lo(a2, a3);
      const l45 = quad.lo(a4, a5);
      const h01 = quad.hi(a0, a1);
      const h23 = quad.hi(a2, a3);
      const h45 = quad.hi(a4, a5);
      const left = kc - k;
      v128.store(dst, quad.evenHalves(l01, l23));
      v128.store64_lane(dst, l45, 0, 16);
      if (left > 1) {
        v128.store(dst, quad.oddHalves(l01, l23), 24);
        v128.store64_lane(dst, l45, 1, 40);
      }
      if (left > 2) {
        v128.store(dst, quad.evenHalves(h01, h23), 48);
        v128.store64_lane(dst, h45, 0, 64);
      }
      if (left > 3) {
        v128.store(dst, quad.oddHalves(h01, h23), 72);
        v128.store64_lane(dst, h45, 1, 88);
      }
      const step = 4 * bytes;
      p0 += step;
      p1 += step;
      p2 += step;
      p3 += step;
      p4 += step;
      p5 += step;
      dst += 96;
    }
  }

  /** One A panel from kc stored rows of 6 consecutive codes, ld bytes apart. */
  static aAcross<F>(dst: usize, src: usize, ld: usize, kc: i32): void {
    if (facts.about<F>().bytes === 1 && !pack.bytesAcross<F>(dst, src, ld, kc, TILE_ROWS)) return;
    const bytes = facts.about<F>().bytes;
    if (pack.isBF16<F>()) {
      const absolute = decode.absoluteEight;
      const flushed = decode.flushedEight;
      for (let k = 0; k < kc; k++) {
        pack.storeOne(dst, decode.eight(src, absolute, flushed), TILE_ROWS);
        src += ld;
        dst += 24;
      }
      return;
    }
    for (let k = 0; k < kc; k++) {
      v128.store(dst, decode.operands<F>(src));
      v128.store64_lane(dst, decode.operands<F>(src + 4 * bytes), 0, 16);
      src += ld;
      dst += 24;
    }
  }

  /** One B panel from `valid` (1 to 8) rows of kc codes each, ld bytes apart. */
  static bAlong<F>(dst: usize, src: usize, ld: usize, valid: i32, kc: i32): void {
    if (facts.about<F>().bytes === 1) {
      if (!pack.bBytes<F>(dst, src, ld, valid, kc)) return;
    } else if (pack.isBF16<F>()) {
      pack.bHalfBF16<F>(dst, src, ld, 0, valid, kc);
      pack.bHalfBF16<F>(dst + 16, src, ld, 4, valid, kc);
      return;
    }
    pack.bHalfWide<F>(dst, src, ld, 0, valid, kc);
    pack.bHalfWide<F>(dst + 16, src, ld, 4, valid, kc);
  }

  /** Four of the eight columns of a B panel; `dst` points at the first of them. */
  private static bHalfBF16<F>(dst: usize, src: usize, ld: usize, first: i32, valid: i32, kc: i32): void {
    const absolute = decode.absoluteEight;
    const flushed = decode.flushedEight;
    const whole = kc & ~7;
    let p0 = pack.clamped(src, ld, first, valid);
    let p1 = pack.clamped(src, ld, first + 1, valid);
    let p2 = pack.clamped(src, ld, first + 2, valid);
    let p3 = pack.clamped(src, ld, first + 3, valid);
    for (let k = 0; k < whole; k += 8) {
      const a0 = decode.eight(p0, absolute, flushed);
      const a1 = decode.eight(p1, absolute, flushed);
      const a2 = decode.eight(p2, absolute, flushed);
      const a3 = decode.eight(p3, absolute, flushed);
      const l01 = quad.lowPairs(a0, a1);
      const h01 = quad.highPairs(a0, a1);
      const l23 = quad.lowPairs(a2, a3);
      const h23 = quad.highPairs(a2, a3);
      pack.bStoreTwo(dst, quad.lo(l01, l23));
      pack.bStoreTwo(dst + 64, quad.hi(l01, l23));
      pack.bStoreTwo(dst + 128, quad.lo(h01, h23));
      pack.bStoreTwo(dst + 192, quad.hi(h01, h23));
      p0 += 16;
      p1 += 16;
      p2 += 16;
      p3 += 16;
      dst += 256;
    }
    if (whole < kc) pack.bHalfWide<F>(dst, src + <usize>(whole << 1), ld, first, valid, kc - whole);
  }

  /**
   * One-byte codes; true as `aBytes`. Transposed as bytes: two rows at a time, as there, took 1.0 to 1.1 times as long in Node 26, 1.15 in
   * Node 20.
   */
  private static bBytes<F>(dst: usize, src: usize, ld: usize, valid: i32, kc: i32): bool {
    const magnitudes = decodeBytes.magnitudes;
    const lowMask = decodeBytes.lowMask<F>();
    const rebias = decodeBytes.rebias<F>();
    const lowTable = decodeBytes.lowTable<F>();
    const highTable = decodeBytes.highTable<F>();
    const whole = kc & ~7;
    let seen = i32x4.splat(0);
    let p0 = src;
    let p1 = pack.clamped(src, ld, 1, valid);
    let p2 = pack.clamped(src, ld, 2, valid);
    let p3 = pack.clamped(src, ld, 3, valid);
    let p4 = pack.clamped(src, ld, 4, valid);
    let p5 = pack.clamped(src, ld, 5, valid);
    let p6 = pack.clamped(src, ld, 6, valid);
    let p7 = pack.clamped(src, ld, 7, valid);
    for (let k = 0; k < whole; k += 8) {
      const r04 = quad.lowBytes(v128.load64_zero(p0), v128.load64_zero(p4));
      const r26 = quad.lowBytes(v128.load64_zero(p2), v128.load64_zero(p6));
      const r15 = quad.lowBytes(v128.load64_zero(p1), v128.load64_zero(p5));
      const r37 = quad.lowBytes(v128.load64_zero(p3), v128.load64_zero(p7));
      const even = quad.lowBytes(r04, r26);
      const odd = quad.lowBytes(r15, r37);
      const evenHigh = quad.highBytes(r04, r26);
      const oddHigh = quad.highBytes(r15, r37);
      seen = i8x16.max_u(seen, pack.two<F>(dst, quad.lowBytes(even, odd), magnitudes, lowMask, rebias, lowTable, highTable, TILE_COLUMNS));
      seen = i8x16.max_u(seen, pack.two<F>(dst + 64, quad.highBytes(even, odd), magnitudes, lowMask, rebias, lowTable, highTable, TILE_COLUMNS));
      seen = i8x16.max_u(seen, pack.two<F>(dst + 128, quad.lowBytes(evenHigh, oddHigh), magnitudes, lowMask, rebias, lowTable, highTable, TILE_COLUMNS));
      seen = i8x16.max_u(seen, pack.two<F>(dst + 192, quad.highBytes(evenHigh, oddHigh), magnitudes, lowMask, rebias, lowTable, highTable, TILE_COLUMNS));
      p0 += 8;
      p1 += 8;
      p2 += 8;
      p3 += 8;
      p4 += 8;
      p5 += 8;
      p6 += 8;
      p7 += 8;
      dst += 256;
    }
    if (decodeBytes.special(seen, facts.about<F>().maxCode)) return true;
    if (whole < kc) {
      pack.bHalfWide<F>(dst, p0, ld, 0, valid, kc - whole);
      pack.bHalfWide<F>(dst + 16, p0, ld, 4, valid, kc - whole);
    }
    return false;
  }

  @inline private static bStoreTwo(dst: usize, fours: v128): void {
    v128.store(dst, decode.low(fours));
    v128.store(dst, decode.high(fours), 32);
  }

  static bHalfWide<F>(dst: usize, src: usize, ld: usize, first: i32, valid: i32, kc: i32): void {
    const bytes = facts.about<F>().bytes;
    let p0 = pack.clamped(src, ld, first, valid);
    let p1 = pack.clamped(src, ld, first + 1, valid);
    let p2 = pack.clamped(src, ld, first + 2, valid);
    let p3 = pack.clamped(src, ld, first + 3, valid);
    for (let k = 0; k < kc; k += 4) {
      const a0 = decode.operands<F>(p0);
      const a1 = decode.operands<F>(p1);
      const a2 = decode.operands<F>(p2);
      const a3 = decode.operands<F>(p3);
      const l01 = quad.lo(a0, a1);
      const l23 = quad.lo(a2, a3);
      const h01 = quad.hi(a0, a1);
      const h23 = quad.hi(a2, a3);
      const left = kc - k;
      v128.store(dst, quad.evenHalves(l01, l23));
      if (left > 1) v128.store(dst, quad.oddHalves(l01, l23), 32);
      if (left > 2) v128.store(dst, quad.evenHalves(h01, h23), 64);
      if (left > 3) v128.store(dst, quad.oddHalves(h01, h23), 96);
      const step = 4 * bytes;
      p0 += step;
      p1 += step;
      p2 += step;
      p3 += step;
      dst += 128;
    }
  }

  /** One B panel from kc stored rows of 8 consecutive codes, ld bytes apart. */
  static bAcross<F>(dst: usize, src: usize, ld: usize, kc: i32): void {
    if (facts.about<F>().bytes === 1 && !pack.bytesAcross<F>(dst, src, ld, kc, TILE_COLUMNS)) return;
    if (pack.isBF16<F>()) {
      const absolute = decode.absoluteEight;
      const flushed = decode.flushedEight;
      for (let k = 0; k < kc; k++) {
        pack.storeOne(dst, decode.eight(src, absolute, flushed), TILE_COLUMNS);
        src += ld;
        dst += 32;
      }
      return;
    }
    for (let k = 0; k < kc; k++) {
      v128.store(dst, decode.operands<F>(src));
      v128.store(dst, decode.operands<F>(src + 4 * facts.about<F>().bytes), 16);
      src += ld;
      dst += 32;
    }
  }

  /** Decodes n operands of a row. Writes up to 3 floats past them. */
  static row<F>(dst: usize, src: usize, n: i32): void {
    for (let i = 0; i < n; i += 4) v128.store(dst + (i << 2), decode.operand<F>(decode.load<F>(src + i * facts.about<F>().bytes)));
  }

  /** One k of a panel of `width` from eight BF16. */
  @inline private static storeOne(dst: usize, codes: v128, width: i32): void {
    v128.store(dst, decode.low(codes));
    if (width === TILE_ROWS) v128.store64_lane(dst, decode.high(codes), 0, 16);
    else v128.store(dst, decode.high(codes), 16);
  }

  /** Decodes sixteen codes, eight for each of two k, into a panel of `width` floats per k. Returns the codes' magnitudes. */
  @inline private static two<F>(
    dst: usize, codes: v128, magnitudes: v128, lowMask: v128, rebias: v128, lowTable: v128, highTable: v128, width: i32,
  ): v128 {
    const mag = v128.and(codes, magnitudes);
    const low = decodeBytes.lowBytes<F>(codes, mag, lowMask, lowTable);
    const high = decodeBytes.highBytes<F>(codes, mag, magnitudes, lowMask, rebias, highTable);
    const first = quad.lowBytes(low, high);
    const second = quad.highBytes(low, high);
    pack.storeOne(dst, first, width);
    pack.storeOne(dst + (width << 2), second, width);
    return mag;
  }

  /** One-byte codes from kc stored rows of 6 or 8 consecutive ones; true as `aBytes`. */
  @inline private static bytesAcross<F>(dst: usize, src: usize, ld: usize, kc: i32, width: i32): bool {
    const magnitudes = decodeBytes.magnitudes;
    const lowMask = decodeBytes.lowMask<F>();
    const rebias = decodeBytes.rebias<F>();
    const lowTable = decodeBytes.lowTable<F>();
    const highTable = decodeBytes.highTable<F>();
    const whole = kc & ~1;
    let seen = i32x4.splat(0);
    for (let k = 0; k < whole; k += 2) {
      const codes = v128.load64_lane(src + ld, v128.load64_zero(src), 1);
      seen = i8x16.max_u(seen, pack.two<F>(dst, codes, magnitudes, lowMask, rebias, lowTable, highTable, width));
      src += 2 * ld;
      dst += width << 3;
    }
    if (decodeBytes.special(seen, facts.about<F>().maxCode)) return true;
    if (whole < kc) {
      v128.store(dst, decode.operands<F>(src));
      if (width === TILE_ROWS) v128.store64_lane(dst, decode.operands<F>(src + 4), 0, 16);
      else v128.store(dst, decode.operands<F>(src + 4), 16);
    }
    return false;
  }

  @inline static a<F>(dst: usize, src: usize, ld: usize, across: bool, valid: i32, kc: i32): void {
    if (across) pack.aAcross<F>(dst, src, ld, kc);
    else pack.aAlong<F>(dst, src, ld, valid, kc);
  }

  @inline static b<F>(dst: usize, src: usize, ld: usize, across: bool, valid: i32, kc: i32): void {
    if (across) pack.bAcross<F>(dst, src, ld, kc);
    else pack.bAlong<F>(dst, src, ld, valid, kc);
  }
}
