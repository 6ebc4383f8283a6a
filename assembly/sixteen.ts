/** What the casts share that round sixteen numbers at a time: four vectors of float32 or two of BF16, one of bytes. */
import { format } from './formats';
import { lanes } from './lanes';

/** Masks of the magnitude and of the exponent, loaded, since V8 14 rebuilds a literal vector at every use. */
const VECTORS = memory.data<u32>([
  0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000,
], 16);

export abstract class sixteen {
  @inline static get absolute(): v128 { return v128.load(VECTORS); }
  @inline static get exponents(): v128 { return v128.load(VECTORS, 16); }

  /** log2 of a positive normal power of two; a number too large for any format where `scale` is none. */
  @inline static exponentOf(scale: f32): i32 {
    const bits = reinterpret<i32>(scale);
    return bits > 0 && bits < 0x7f800000 && !(bits & 0x7fffff) ? (bits >> 23) - 127 : 1 << 20;
  }

  /** Bytes with the signs of sixteen numbers: a negative number is a negative integer, and stays one when narrowed. */
  @inline static signBytes(x0: v128, x1: v128, x2: v128, x3: v128): v128 {
    return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(x0, x1), i16x8.narrow_i32x4_s(x2, x3));
  }

  @inline static largest(m0: v128, m1: v128, m2: v128, m3: v128): v128 {
    return i32x4.max_u(i32x4.max_u(m0, m1), i32x4.max_u(m2, m3));
  }

  /** How many of the sixteen numbers at src are not zero although their codes are. */
  @inline static under(src: usize, codes: v128): i32 {
    const zero = i32x4.splat(0);
    const zeros = sixteen.signBytes(
      f32x4.eq(v128.load(src), zero), f32x4.eq(v128.load(src, 16), zero), f32x4.eq(v128.load(src, 32), zero),
      f32x4.eq(v128.load(src, 48), zero),
    );
    return popcnt(i8x16.bitmask(v128.andnot(i8x16.eq(codes, zero), zeros)));
  }

  /**
   * Whether loops over n numbers, a multiple of 16, were right, given the bits of the largest |x * scale|: they cannot encode NaN. Adds to the
   * first word of `stats`, unless 0, how many exceed the format's largest value, by a pass of its own, as few rows have any.
   */
  static finish(largest: u32, dtype: i32, src: usize, n: i32, scale: f32, stats: usize): bool {
    if (largest > 0x7f800000) return false;
    const most = format.maxBits(dtype);
    if (!stats || largest <= <u32>most) return true;
    const k = f32x4.splat(scale);
    const max = i32x4.splat(most);
    const absolute = sixteen.absolute;
    let over = i32x4.splat(0);
    for (let i = 0; i < n << 2; i += 16) {
      over = i32x4.sub(over, i32x4.gt_s(v128.and(f32x4.mul(v128.load(src + i), k), absolute), max));
    }
    store<i32>(stats, load<i32>(stats) + lanes.sumI32(over));
    return true;
  }
}
