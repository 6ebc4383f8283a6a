/**
 * Panels of weights as `gemv` reads them, made of 32 rows of an N x K matrix: for each k 32-bit words that join the codes of rows 8 apart
 * (one-byte formats: rows w, w + 8, w + 16 and w + 24 from the lowest byte up, 8 words) or 16 apart (BF16: w and w + 16, 16 words). So the
 * codes of a tile's eight columns are the same part of eight words, and a vector of words gives four vectors of one-byte codes, or two of
 * BF16, by a few shifts. There is room for a multiple of 16 k; `gemv` reads none beyond K. A line after the words says what is among the
 * codes. `prepack` stores a whole weight like this, for many products with few rows, as in generation; of other one-byte weights `gemv`
 * makes one panel at a time.
 */

import { TILE_COLUMNS, WEIGHT_COLUMNS } from '../src/engine/units';
import { decode } from './decode';
import { decodeBytes } from './decode-bytes';
import { BF16, E4M3FN, E5M2, facts, format } from './formats';
import { quad, splat } from './lanes';

/** Room is for a multiple of this number of k, as rows are packed in vectors. */
const STEP = 16;
/** Bytes after the words of a panel: as many as keep the next on a line of the cache. */
const LINE: i32 = 64;
/** A panel has few subnormals if at most one in this many of its steps, of sixteen codes in four rows, has any. */
const STEPS_TO_ONE = 16;

/** What a panel holds beside normal numbers and zeros. */
export abstract class holds {
  static readonly FEW: i32 = 0;
  static readonly MANY_SUBNORMALS: i32 = 1;
  static readonly INFINITY_OR_NAN: i32 = 2;
}

export abstract class weightPanel {
  /** Bytes from one k to the next. */
  @inline static stride(dtype: i32): usize {
    return <usize>(WEIGHT_COLUMNS * format.bytes(dtype));
  }

  /** Bytes of the words. */
  @inline private static words(dtype: i32, depth: i32): f64 {
    return <f64>weightPanel.stride(dtype) * ((depth + STEP - 1) & -STEP);
  }

  /** Bytes from one panel to the next. */
  @inline static bytes(dtype: i32, depth: i32): f64 {
    return weightPanel.words(dtype, depth) + LINE;
  }

  /** Address of what `holds` lists, after the words. */
  @inline static content(panel: usize, dtype: i32, depth: i32): usize {
    return panel + <usize>weightPanel.words(dtype, depth);
  }

  /** Packs 32 rows, of which `valid` exist; the others repeat the last one. F has the format's bit layout. */
  private static packAs<F>(dtype: i32, dst: usize, src: usize, depth: i32, valid: i32): void {
    const bytes = facts.about<F>().bytes;
    const ld = <usize>(depth * bytes);
    const stride = weightPanel.stride(dtype);
    const apart = 8 * bytes;
    const magnitudes = decodeBytes.magnitudes;
    // The magnitude of a subnormal, less 1, is below `subnormals`; that of zero wraps to 255.
    const ones = splat.bytes(1);
    const subnormals = splat.bytes((1 << facts.about<F>().manBits) - 1);
    const existing = i8x16.lt_u(i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), i8x16.splat(<i8>(ld & 15)));
    let seen = i32x4.splat(0);
    let found = 0;
    for (let word = 0; word < apart; word++) {
      let p0 = src + <usize>min(word, valid - 1) * ld;
      let p1 = src + <usize>min(word + apart, valid - 1) * ld;
      let p2 = src + <usize>min(word + 2 * apart, valid - 1) * ld;
      let p3 = src + <usize>min(word + 3 * apart, valid - 1) * ld;
      // Four k of word w go to k = w mod 4 of the four, where `transpose` expects them.
      let to = dst + <usize>(word & 3) * stride + <usize>((word & ~3) << 2);
      // The last step of a row, unless there is no rest, reads beyond it and clears what it finds there.
      for (const end = p0 + ld; p0 < end; p0 += 16) {
        let a0 = weightPanel.load<F>(p0);
        let a1 = weightPanel.load<F>(p1);
        let a2 = bytes === 1 ? v128.load(p2) : a0;
        let a3 = bytes === 1 ? v128.load(p3) : a1;
        if (p0 + 16 > end) {
          a0 = v128.and(a0, existing);
          a1 = v128.and(a1, existing);
          a2 = v128.and(a2, existing);
          a3 = v128.and(a3, existing);
        }
        if (bytes === 1) {
          const m0 = v128.and(a0, magnitudes);
          const m1 = v128.and(a1, magnitudes);
          const m2 = v128.and(a2, magnitudes);
          const m3 = v128.and(a3, magnitudes);
          seen = i8x16.max_u(seen, i8x16.max_u(i8x16.max_u(m0, m1), i8x16.max_u(m2, m3)));
          const less01 = i8x16.min_u(i8x16.sub(m0, ones), i8x16.sub(m1, ones));
          const less23 = i8x16.min_u(i8x16.sub(m2, ones), i8x16.sub(m3, ones));
          found += i32(v128.any_true(i8x16.lt_u(i8x16.min_u(less01, less23), subnormals)));
          const l01 = quad.lowBytes(a0, a1);
          const l23 = quad.lowBytes(a2, a3);
          const h01 = quad.highBytes(a0, a1);
          const h23 = quad.highBytes(a2, a3);
          v128.store(to, quad.lowPairs(l01, l23));
          v128.store(to + 4 * stride, quad.highPairs(l01, l23));
          v128.store(to + 8 * stride, quad.lowPairs(h01, h23));
          v128.store(to + 12 * stride, quad.highPairs(h01, h23));
        } else {
          v128.store(to, quad.lowPairs(a0, a1));
          v128.store(to + 4 * stride, quad.highPairs(a0, a1));
        }
        p1 += 16;
        p2 += 16;
        p3 += 16;
        to += <usize>(16 / bytes) * stride;
      }
    }
    weightPanel.transpose(dst, depth, stride);
    let content = holds.FEW;
    if (bytes === 1) {
      if (decodeBytes.special(seen, format.maxCode(dtype))) content = holds.INFINITY_OR_NAN;
      else if (found * STEPS_TO_ONE > depth * WEIGHT_COLUMNS / 64) content = holds.MANY_SUBNORMALS;
    }
    store<i32>(weightPanel.content(dst, dtype, depth), content);
  }

  /** Sixteen bytes of a row; of BF16, numbers as operands of a product. */
  @inline private static load<F>(p: usize): v128 {
    return facts.about<F>().bytes === 1 ? v128.load(p) : decode.eight(p, decode.absoluteEight, decode.flushedEight);
  }

  /** Packs 32 rows of one-byte codes or BF16, of which `valid` exist. E4M3 has the bit layout of E4M3FN, and fewer finite values. */
  static pack(dtype: i32, dst: usize, src: usize, depth: i32, valid: i32): void {
    if (dtype === facts.about<BF16>().id) weightPanel.packAs<BF16>(dtype, dst, src, depth, valid);
    else if (dtype === facts.about<E5M2>().id) weightPanel.packAs<E5M2>(dtype, dst, src, depth, valid);
    else weightPanel.packAs<E4M3FN>(dtype, dst, src, depth, valid);
  }

  /** Transposes the words of `count` k in squares of 4 x 4: from four k of a word to four words of a k. */
  private static transpose(at: usize, count: i32, stride: usize): void {
    for (let k = 0; k < count; k += 4) {
      for (const end = at + stride; at < end; at += 16) {
        const a0 = v128.load(at);
        const a1 = v128.load(at + stride);
        const a2 = v128.load(at + 2 * stride);
        const a3 = v128.load(at + 3 * stride);
        const l01 = quad.lo(a0, a1);
        const l23 = quad.lo(a2, a3);
        const h01 = quad.hi(a0, a1);
        const h23 = quad.hi(a2, a3);
        v128.store(at, quad.evenHalves(l01, l23));
        v128.store(at + stride, quad.oddHalves(l01, l23));
        v128.store(at + 2 * stride, quad.evenHalves(h01, h23));
        v128.store(at + 3 * stride, quad.oddHalves(h01, h23));
      }
      at += 3 * stride;
    }
  }

  /** Copies `count` k of tile `t` of a panel, from the k at `words` on: eight codes for each, and up to one k more. */
  static tile(bytes: i32, dst: usize, words: usize, t: i32, count: i32): void {
    const end = dst + <usize>(count * TILE_COLUMNS * bytes);
    if (bytes === 2) weightPanel.pairs(dst, end, words + <usize>((t & 1) << 5), t > 1);
    else if (t === 0) weightPanel.bytesOf(0, dst, end, words);
    else if (t === 1) weightPanel.bytesOf(8, dst, end, words);
    else if (t === 2) weightPanel.bytesOf(16, dst, end, words);
    else weightPanel.bytesOf(24, dst, end, words);
  }

  /** The byte `shift` bits above the lowest of each word, two k at a time. */
  @inline private static bytesOf(shift: i32, dst: usize, end: usize, words: usize): void {
    const mask = splat.words(0xff);
    for (; dst < end; dst += 16) {
      const first = i16x8.narrow_i32x4_u(weightPanel.byteOf(shift, v128.load(words), mask), weightPanel.byteOf(shift, v128.load(words, 16), mask));
      const second = i16x8.narrow_i32x4_u(weightPanel.byteOf(shift, v128.load(words, 32), mask), weightPanel.byteOf(shift, v128.load(words, 48), mask));
      v128.store(dst, i8x16.narrow_i16x8_u(first, second));
      words += 2 * WEIGHT_COLUMNS;
    }
  }
  @inline private static byteOf(shift: i32, words: v128, mask: v128): v128 {
    const shifted = shift ? i32x4.shr_u(words, shift) : words;
    return shift < 24 ? v128.and(shifted, mask) : shifted;
  }

  /** The lower or the upper half of each word. */
  private static pairs(dst: usize, end: usize, words: usize, upper: bool): void {
    for (; dst < end; dst += 16) {
      const low = v128.load(words);
      const high = v128.load(words, 16);
      v128.store(dst, upper ? quad.upperHalves(low, high) : quad.lowerHalves(low, high));
      words += 2 * WEIGHT_COLUMNS;
    }
  }
}

/** Bytes of a prepacked matrix of `rows` rows. */
export function prepackedBytes(dtype: i32, rows: i32, depth: i32): f64 {
  return <f64>((rows + WEIGHT_COLUMNS - 1) / WEIGHT_COLUMNS) * weightPanel.bytes(dtype, depth);
}

/** Units: panels of a rows x depth matrix in a one-byte format or BF16. */
export function prepack(begin: i32, end: i32, _scratch: usize, dtype: i32, src: usize, rows: i32, depth: i32, dst: usize): void {
  for (let panel = begin; panel < end; panel++) {
    const first = panel * WEIGHT_COLUMNS;
    const to = dst + <usize>panel * <usize>weightPanel.bytes(dtype, depth);
    weightPanel.pack(dtype, to, src + <usize>(first * depth) * format.bytes(dtype), depth, min(WEIGHT_COLUMNS, rows - first));
  }
}
