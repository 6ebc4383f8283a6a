/**
 * Casts of float32 rows to E4M3 with a copy in E5M2, as the FP8 recipe stores activations and weights: sixteen numbers at a time, with
 * their statistics, in one pass.
 */
import { amaxRow, encodeRow } from './encode';
import { format, rounding } from './formats';
import { lanes, splat } from './lanes';
import { nearest } from './nearest';
import { sixteen } from './sixteen';

export abstract class twice {
  /**
   * Whether numbers can be rounded as they are for a scale of 2^exponent: the smallest normal number over the scale is normal in float32,
   * and the largest times the factor of `nearest` below 2^127, so that its 16 bits stay below 2^15.
   */
  @inline private static suits(dtype: i32, exponent: i32): bool {
    return 128 - format.bias(dtype) - exponent > 0 && (format.maxBits(dtype) >> 23) - exponent < 231;
  }

  /**
   * x * scale1 in format1 to dst1 and x * scale2 in format2 to dst2, nearest-even and saturating. The first word of `stats` gets the bits of
   * the largest |x| if that is larger; to the third is added the number of non-zero elements whose first code is zero. False, with no
   * statistics, where formats or scales do not suit this loop, or with NaN.
   */
  static row(src: usize, n: i32, dst1: usize, format1: i32, scale1: f32, dst2: usize, format2: i32, scale2: f32, stats: usize): bool {
    if (!format.isSignedByte(format1, 3) || !format.isSignedByte(format2, 2)) return false;
    const exponent1 = sixteen.exponentOf(scale1);
    const exponent2 = sixteen.exponentOf(scale2);
    if (!twice.suits(format1, exponent1) || !twice.suits(format2, exponent2)) return false;
    const absolute = sixteen.absolute;
    const exponents = sixteen.exponents;
    const signs = splat.bytes(0x80);
    const zero = i32x4.splat(0);
    const minNormal1 = nearest.minNormal(format1, exponent1);
    const factor1 = nearest.factor(3);
    const weights1 = nearest.weights(3);
    const first1 = nearest.first(format1, 3, exponent1);
    const most1 = splat.bytes(format.maxCode(format1));
    const minNormal2 = nearest.minNormal(format2, exponent2);
    const factor2 = nearest.factor(2);
    const weights2 = nearest.weights(2);
    const first2 = nearest.first(format2, 2, exponent2);
    const most2 = splat.bytes(format.maxCode(format2));
    const whole = n & ~15;
    let most = zero;
    let under = 0;
    for (let i = 0; i < whole; i += 16) {
      const x0 = v128.load(src);
      const x1 = v128.load(src, 16);
      const x2 = v128.load(src, 32);
      const x3 = v128.load(src, 48);
      const negative = v128.and(sixteen.signBytes(x0, x1, x2, x3), signs);
      const m0 = v128.and(x0, absolute);
      const m1 = v128.and(x1, absolute);
      const m2 = v128.and(x2, absolute);
      const m3 = v128.and(x3, absolute);
      most = i32x4.max_u(most, sixteen.largest(m0, m1, m2, m3));
      const codes = nearest.codes(3, m0, m1, m2, m3, exponents, minNormal1, factor1, weights1, first1, most1);
      v128.store(dst1 + i, v128.or(negative, codes));
      // A magnitude narrowed is 0 only where it was.
      under += popcnt(i8x16.bitmask(v128.andnot(i8x16.eq(codes, zero), i8x16.eq(sixteen.signBytes(m0, m1, m2, m3), zero))));
      const copies = nearest.codes(2, m0, m1, m2, m3, exponents, minNormal2, factor2, weights2, first2, most2);
      v128.store(dst2 + i, v128.or(negative, copies));
      src += 64;
    }
    const rest = n - whole;
    const largest = max(lanes.maxU32(most), amaxRow(src, rest));
    // Rounding keeps order, so the product is the largest |x * scale1|.
    const scaled = reinterpret<u32>(reinterpret<f32>(largest) * scale1);
    if (!sixteen.finish(scaled, format1, src - (<usize>whole << 2), whole, scale1, stats + 4)) return false;
    store<u32>(stats, max(load<u32>(stats), largest));
    store<i32>(stats, load<i32>(stats, 8) + under, 8);
    encodeRow(format1, src, dst1 + whole, rest, scale1, 0, rounding.tiesToEven, true, stats + 4);
    encodeRow(format2, src, dst2 + whole, rest, scale2, 0, rounding.tiesToEven, true, 0);
    return true;
  }
}
