/**
 * Panels of weights as `gemv` reads them: of 32 rows of an N x K matrix, the 32-bit word that each has from one k on (four one-byte codes
 * or two of BF16), then the words that follow, K padded with zeros. A line after them says what is among the codes. `prepack` stores a
 * whole weight like this, for many products with few rows, as in generation; of other one-byte weights `gemv` makes one panel at a time.
 */

import { TILE_COLUMNS, WEIGHT_COLUMNS } from '../src/engine/units';
import { decode } from './decode';
import { decodeBytes } from './decode-bytes';
import { BF16, E4M3FN, E5M2, facts, format } from './formats';
import { quad, splat } from './lanes';

/** Bytes from one word of a row to its next. */
export const WORDS: usize = WEIGHT_COLUMNS * 4;
/** Bytes after the words of a panel. */
const LINE: i32 = 16;
/** A panel has few subnormals if at most one in this many of its steps, of sixteen codes in four rows, has any. */
const STEPS_TO_ONE = 16;

/** What a panel holds beside normal numbers and zeros. */
export abstract class holds {
  static readonly FEW: i32 = 0;
  static readonly MANY_SUBNORMALS: i32 = 1;
  static readonly INFINITY_OR_NAN: i32 = 2;
}

export abstract class weightPanel {
  /** Words of each row. */
  @inline static words(dtype: i32, depth: i32): i32 {
    return (depth * format.bytes(dtype) + 3) >> 2;
  }

  /** Bytes from one panel to the next. */
  @inline static bytes(dtype: i32, depth: i32): f64 {
    return <f64>WORDS * weightPanel.words(dtype, depth) + LINE;
  }

  /** Address of what `holds` lists, after the words. */
  @inline static content(panel: usize, dtype: i32, depth: i32): usize {
    return panel + WORDS * <usize>weightPanel.words(dtype, depth);
  }

  /** Packs 32 rows, of which `valid` exist; the others repeat the last one. F has the format's bit layout. */
  private static packAs<F>(dtype: i32, dst: usize, src: usize, depth: i32, valid: i32): void {
    const bytes = facts.about<F>().bytes;
    const ld = <usize>(depth * bytes);
    const rest = <i32>(ld & 15);
    const magnitudes = decodeBytes.magnitudes;
    // The magnitude of a subnormal, less 1, is below `subnormals`; that of zero wraps to 255.
    const ones = splat.bytes(1);
    const subnormals = splat.bytes((1 << facts.about<F>().manBits) - 1);
    const existing = i8x16.lt_u(i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), i8x16.splat(<i8>rest));
    let seen = i32x4.splat(0);
    let found = 0;
    for (let j = 0; j < WEIGHT_COLUMNS; j += 4) {
      let p0 = src + <usize>min(j, valid - 1) * ld;
      let p1 = src + <usize>min(j + 1, valid - 1) * ld;
      let p2 = src + <usize>min(j + 2, valid - 1) * ld;
      let p3 = src + <usize>min(j + 3, valid - 1) * ld;
      let to = dst + (j << 2);
      // The last step, unless there is no rest, reads beyond the rows and clears what it finds there.
      for (const end = p0 + ld; p0 < end; p0 += 16) {
        let a0 = weightPanel.load<F>(p0);
        let a1 = weightPanel.load<F>(p1);
        let a2 = weightPanel.load<F>(p2);
        let a3 = weightPanel.load<F>(p3);
        let left = 4;
        if (p0 + 16 > end) {
          a0 = v128.and(a0, existing);
          a1 = v128.and(a1, existing);
          a2 = v128.and(a2, existing);
          a3 = v128.and(a3, existing);
          left = (rest + 3) >> 2;
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
        }
        const l01 = quad.lo(a0, a1);
        const l23 = quad.lo(a2, a3);
        const h01 = quad.hi(a0, a1);
        const h23 = quad.hi(a2, a3);
        v128.store(to, quad.evenHalves(l01, l23));
        if (left > 1) v128.store(to, quad.oddHalves(l01, l23), WORDS);
        if (left > 2) v128.store(to, quad.evenHalves(h01, h23), 2 * WORDS);
        if (left > 3) v128.store(to, quad.oddHalves(h01, h23), 3 * WORDS);
        p1 += 16;
        p2 += 16;
        p3 += 16;
        to += 4 * WORDS;
      }
    }
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

  /** Copies `count` k of eight rows, whose words begin at `words`: for each k eight codes, and up to three k more. */
  static turn(bytes: i32, dst: usize, words: usize, count: i32): void {
    for (const end = dst + <usize>(count * TILE_COLUMNS * bytes); dst < end; dst += 32) {
      const low = v128.load(words);
      const high = v128.load(words, 16);
      if (bytes === 1) {
        v128.store(dst, i8x16.shuffle(low, high, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29));
        v128.store(dst, i8x16.shuffle(low, high, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31), 16);
      } else {
        v128.store(dst, i8x16.shuffle(low, high, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29));
        v128.store(dst, quad.upperHalves(low, high), 16);
      }
      words += WORDS;
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
