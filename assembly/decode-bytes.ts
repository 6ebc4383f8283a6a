/**
 * One-byte codes to float32, sixteen at a time, through BF16. Every value of such a format is a BF16 value, so each code becomes two bytes
 * by byte arithmetic and a table lookup, and float32 only when these are interleaved.
 *
 *   BF16 bits of a normal code = (magnitude << shift) + bias, computed separately in its two bytes
 *   bytes of a subnormal       = the same + a correction from a table of 16, whose lookup gives 0 from index 16 on
 *
 * Infinity and NaN come out wrong: callers keep the largest magnitude (`decodeBytes.special`) and decode again by `decode.operands` if
 * one occurs.
 */
import { decode } from './decode';
import { facts } from './formats';
import { splat } from './lanes';

export abstract class decodeBytes {
  @inline static get magnitudes(): v128 { return splat.bytes(0x7f); }

  /** Left shift that moves a magnitude to its place in BF16. */
  @inline static shift<F>(): i32 { return 7 - facts.about<F>().manBits; }
  /** The bits of a lower byte that are its own, after two codes were shifted as one 16-bit lane; the upper byte keeps the others. */
  @inline static lowMask<F>(): v128 { return splat.bytes((0xff << decodeBytes.shift<F>()) & 0xff); }
  /** Upper byte of the difference of the biases; the lower byte is 0, as all these biases are odd. */
  @inline static rebias<F>(): v128 { return splat.bytes((127 - facts.about<F>().bias) >> 1); }

  /** Lower and upper bytes, by the rule for normal codes. */
  @inline static low<F>(codes: v128, mask: v128): v128 {
    return v128.and(i16x8.shl(codes, decodeBytes.shift<F>()), mask);
  }
  @inline static high<F>(magnitudes: v128, lowMask: v128, rebias: v128): v128 {
    return i8x16.add(v128.andnot(i16x8.shr_u(magnitudes, 8 - decodeBytes.shift<F>()), lowMask), rebias);
  }

  /** BF16 bytes of sixteen codes; `magnitudes` are the codes without their signs. */
  @inline static lowBytes<F>(codes: v128, magnitudes: v128, mask: v128, table: v128): v128 {
    return i8x16.add(decodeBytes.low<F>(codes, mask), i8x16.swizzle(table, magnitudes));
  }
  @inline static highBytes<F>(codes: v128, magnitudes: v128, mask: v128, lowMask: v128, rebias: v128, table: v128): v128 {
    return v128.or(i8x16.add(decodeBytes.high<F>(magnitudes, lowMask, rebias), i8x16.swizzle(table, magnitudes)), v128.andnot(codes, mask));
  }

  /** Mask of a code's exponent field, which is zero in zero and subnormals. */
  @inline static exponents<F>(): v128 { return splat.bytes(0x7f & (0xff << facts.about<F>().manBits)); }

  /** Corrections for codes 0 to 7, which include all subnormals; 0 for codes 8 to 15. */
  @inline static lowTable<F>(): v128 {
    const first = decodeBytes.first<F>();
    const codes = decodeBytes.firstEight();
    const right = i8x16.shuffle(first, first, 0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
    return decodeBytes.lowerHalf(i8x16.sub(right, decodeBytes.low<F>(codes, decodeBytes.lowMask<F>())));
  }
  @inline static highTable<F>(): v128 {
    const first = decodeBytes.first<F>();
    const codes = decodeBytes.firstEight();
    const right = i8x16.shuffle(first, first, 1, 3, 5, 7, 9, 11, 13, 15, 1, 3, 5, 7, 9, 11, 13, 15);
    return decodeBytes.lowerHalf(i8x16.sub(right, decodeBytes.high<F>(codes, decodeBytes.lowMask<F>(), decodeBytes.rebias<F>())));
  }

  /** BF16 bits of codes 0 to 7. */
  @inline private static first<F>(): v128 {
    const low = decode.four<F>(i32x4(0, 1, 2, 3));
    const high = decode.four<F>(i32x4(4, 5, 6, 7));
    return i8x16.shuffle(low, high, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  }
  @inline private static firstEight(): v128 {
    // An opaque zero keeps the compilers from folding the tables into constants.
    return v128.or(i64x2.splat(0x0706050403020100), splat.bytes(0));
  }
  @inline private static lowerHalf(v: v128): v128 {
    return i64x2.replace_lane(v, 1, 0);
  }

  /** Whether magnitudes up to `seen` (the largest in each lane) include infinity or NaN. */
  @inline static special(seen: v128, maxCode: i32): bool {
    return v128.any_true(i8x16.gt_u(seen, i8x16.splat(<i8>maxCode)));
  }
}
