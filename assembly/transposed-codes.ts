/**
 * Panels of codes, transposed: the codes that eight rows of an N x K matrix have at one k, then those at the next, K padded to even. After
 * one-byte codes come a word that tells whether infinity or NaN is among them, and a flag for every eight k, set where none of their codes
 * is subnormal. `prepack` stores a whole weight like this, for many products with few rows, as in generation; of other one-byte weights
 * `gemv` makes two panels at a time.
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { decodeBytes } from './decode-bytes';
import { BF16, E4M3FN, E5M2, facts, format } from './formats';
import { quad, splat } from './lanes';
import { pack } from './pack';

/** Number of k that one flag stands for. */
export const GROUP = 8;
/**
 * A panel where more than one group in this many has a subnormal is treated as having no normal group, as switching decoders costs time.
 */
const GROUPS_TO_ONE = 8;

/** Number of k that are converted to BF16 panels at a time, even. */
const SLICE = 64;

export abstract class weightPanel {
  /** K padded to even: codes are decoded in pairs of k. */
  @inline static depth(depth: i32): i32 {
    return (depth + 1) & ~1;
  }

  /** Bytes of a panel's codes. */
  @inline static codes(depth: i32): usize {
    return <usize>(weightPanel.depth(depth) * TILE_COLUMNS);
  }

  @inline static groups(depth: i32): i32 {
    return (depth + GROUP - 1) / GROUP;
  }

  @inline static bytes(depth: i32): i32 {
    return <i32>weightPanel.codes(depth) + weightPanel.rest(depth);
  }

  /** Bytes from one prepacked panel to the next. Panels of BF16 are nothing but codes. */
  @inline static stride(dtype: i32, depth: i32): i32 {
    return dtype === facts.about<BF16>().id ? <i32>weightPanel.codes(depth) << 1 : weightPanel.bytes(depth);
  }

  /** Bytes after a panel's codes. */
  @inline static rest(depth: i32): i32 {
    return 16 + ((weightPanel.groups(depth) + 15) & ~15);
  }

  /** Address of a panel's flags, a byte for each group. */
  @inline static flags(panel: usize, depth: i32): usize {
    return panel + weightPanel.codes(depth) + 16;
  }

  /** Whether a panel holds infinity or NaN. */
  @inline static special(panel: usize, depth: i32): bool {
    return load<u64>(panel + weightPanel.codes(depth)) !== 0;
  }

  /** Packs eight rows of codes, of which `valid` exist. F has the format's bit layout; maxCode is its largest finite magnitude. */
  static packAs<F>(dst: usize, src: usize, depth: i32, valid: i32, maxCode: i32): void {
    const magnitudes = decodeBytes.magnitudes;
    // A subnormal's magnitude less 1 is below `subnormals`; that of zero wraps to 255.
    const ones = splat.bytes(1);
    const subnormals = splat.bytes((1 << facts.about<F>().manBits) - 1);
    const groups = weightPanel.groups(depth);
    const flags = weightPanel.flags(dst, depth);
    let flag = flags;
    let normal = 0;
    let seen = i32x4.splat(0);
    let p0 = src;
    let p1 = src + <usize>min(1, valid - 1) * depth;
    let p2 = src + <usize>min(2, valid - 1) * depth;
    let p3 = src + <usize>min(3, valid - 1) * depth;
    let p4 = src + <usize>min(4, valid - 1) * depth;
    let p5 = src + <usize>min(5, valid - 1) * depth;
    let p6 = src + <usize>min(6, valid - 1) * depth;
    let p7 = src + <usize>min(7, valid - 1) * depth;
    const end = src + (depth & ~7);
    while (p0 < end) {
      const r04 = quad.lowBytes(v128.load64_zero(p0), v128.load64_zero(p4));
      const r26 = quad.lowBytes(v128.load64_zero(p2), v128.load64_zero(p6));
      const r15 = quad.lowBytes(v128.load64_zero(p1), v128.load64_zero(p5));
      const r37 = quad.lowBytes(v128.load64_zero(p3), v128.load64_zero(p7));
      const evens = quad.lowBytes(r04, r26);
      const odds = quad.lowBytes(r15, r37);
      const laterEvens = quad.highBytes(r04, r26);
      const laterOdds = quad.highBytes(r15, r37);
      const m0 = v128.and(evens, magnitudes);
      const m1 = v128.and(odds, magnitudes);
      const m2 = v128.and(laterEvens, magnitudes);
      const m3 = v128.and(laterOdds, magnitudes);
      seen = i8x16.max_u(seen, i8x16.max_u(i8x16.max_u(m0, m1), i8x16.max_u(m2, m3)));
      const less01 = i8x16.min_u(i8x16.sub(m0, ones), i8x16.sub(m1, ones));
      const less23 = i8x16.min_u(i8x16.sub(m2, ones), i8x16.sub(m3, ones));
      const isNormal = i8x16.all_true(i8x16.ge_u(i8x16.min_u(less01, less23), subnormals));
      store<u8>(flag++, isNormal);
      normal += i32(isNormal);
      v128.store(dst, quad.lowBytes(evens, odds));
      v128.store(dst, quad.highBytes(evens, odds), 16);
      v128.store(dst, quad.lowBytes(laterEvens, laterOdds), 32);
      v128.store(dst, quad.highBytes(laterEvens, laterOdds), 48);
      p0 += 8;
      p1 += 8;
      p2 += 8;
      p3 += 8;
      p4 += 8;
      p5 += 8;
      p6 += 8;
      p7 += 8;
      dst += 64;
    }
    for (let k = depth & ~7; k < depth; k++) {
      for (let j = 0; j < TILE_COLUMNS; j++) {
        const code = load<u8>(src + <usize>min(j, valid - 1) * depth + k);
        store<u8>(dst + j, code);
        seen = i8x16.max_u(seen, v128.and(i8x16.splat(<i8>code), magnitudes));
      }
      dst += TILE_COLUMNS;
    }
    if (depth & 1) {
      store<u64>(dst, 0);
      dst += TILE_COLUMNS;
    }
    store<u64>(dst, decodeBytes.special(seen, maxCode) ? 1 : 0);
    if (depth % GROUP !== 0) store<u8>(flag, 0);
    if ((groups - normal) * GROUPS_TO_ONE > groups) memory.fill(flags, 0, groups);
  }

  /** Packs eight rows of BF16, of which `valid` exist: the upper halves of float32 panels, in which small numbers are zero already. */
  static packWide(dst: usize, src: usize, depth: i32, valid: i32, scratch: usize): void {
    for (let k = 0; k < depth; k += SLICE) {
      const kc = min(SLICE, depth - k);
      pack.b<BF16>(scratch, src + (<usize>k << 1), <usize>depth << 1, false, valid, kc);
      memory.fill(scratch + (<usize>kc << 5), 0, 32);
      const end = dst + (weightPanel.codes(kc) << 1);
      for (let from = scratch; dst < end; from += 32) {
        v128.store(dst, quad.upperHalves(v128.load(from), v128.load(from, 16)));
        dst += 16;
      }
    }
  }

  /** `packAs` for any one-byte operand: E4M3 has the bit layout of E4M3FN, and fewer finite values. */
  static pack(dtype: i32, dst: usize, src: usize, depth: i32, valid: i32): void {
    const maxCode = format.maxCode(dtype);
    if (dtype === facts.about<E5M2>().id) weightPanel.packAs<E5M2>(dst, src, depth, valid, maxCode);
    else weightPanel.packAs<E4M3FN>(dst, src, depth, valid, maxCode);
  }
}

/** Bytes of a prepacked matrix of `rows` rows. */
export function prepackedBytes(dtype: i32, rows: i32, depth: i32): f64 {
  const panels: f64 = (rows + TILE_COLUMNS - 1) / TILE_COLUMNS;
  const codes = <f64>TILE_COLUMNS * weightPanel.depth(depth);
  return panels * (dtype === facts.about<BF16>().id ? 2 * codes : codes + weightPanel.rest(depth));
}

/** Bytes of scratch for `prepack`: a slice of a float32 panel, and a row to pad it with. */
export function prepackScratch(): i32 {
  return (SLICE + 1) * TILE_COLUMNS * 4;
}

/** Units: panels of 8 rows of a rows x depth matrix in a one-byte format or BF16. */
export function prepack(begin: i32, end: i32, scratch: usize, dtype: i32, src: usize, rows: i32, depth: i32, dst: usize): void {
  for (let panel = begin; panel < end; panel++) {
    const first = panel * TILE_COLUMNS;
    const from = src + <usize>(first * depth) * format.bytes(dtype);
    const to = dst + <usize>panel * weightPanel.stride(dtype, depth);
    const valid = min(TILE_COLUMNS, rows - first);
    if (dtype === facts.about<BF16>().id) weightPanel.packWide(to, from, depth, valid, scratch);
    else weightPanel.pack(dtype, to, from, depth, valid);
  }
}
