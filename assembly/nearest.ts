/**
 * Fast rounding to nearest-even: to one-byte formats, saturating, sixteen numbers at a time, and to BF16 eight at a time, 2 to 3 times as
 * fast as the loop of encode.ts, which does the rest; to float16 eight at a time, 1.3 times.
 */
import { BF16, format, kind } from './formats';
import { lanes, splat } from './lanes';
import { sixteen } from './sixteen';

/** Constants of `eights`, loaded as in sixteen.ts: 1, and half a unit of BF16's last bit, less 1. */
const VECTORS = memory.data<u32>([1, 1, 1, 1, 0x7fff, 0x7fff, 0x7fff, 0x7fff], 16);

export abstract class nearest {
  /**
   * Exponent and rounded steps of four |x|, in 16 bits. With e = the power of two at or below |x| (at least the smallest normal), the upper
   * half of |x| + e * 2^(23 - manBits) is the exponent field, the lower half |x| in quanta, rounded to nearest-even; `weights` of 1 and
   * 2^(7 - manBits) put both on one scale. What is too large ends as infinity, above every code. Both factors of the product are powers of
   * two, so it is exact, or infinite, fused or not.
   */
  @inline private static quanta(magnitude: v128, exponents: v128, minNormal: v128, factor: v128, weights: v128): v128 {
    const exponent = i32x4.max_s(v128.and(magnitude, exponents), minNormal);
    return i32x4.dot_i16x8_s(lanes.madd<BF16>(exponent, factor, magnitude), weights);
  }

  // The constants of `quanta` and `codes`, for numbers that are still to be multiplied by 2^exponent. `first` is what the exponent of the
  // smallest normal number contributes.
  @inline static minNormal(dtype: i32, exponent: i32): v128 { return splat.words((128 - format.bias(dtype) - exponent) << 23); }
  @inline static factor(manBits: i32): v128 { return splat.words((150 - manBits) << 23); }
  @inline static weights(manBits: i32): v128 { return splat.words((1 << 16) | (1 << (7 - manBits))); }
  @inline static first(dtype: i32, manBits: i32, exponent: i32): v128 {
    return splat.pairs((151 - format.bias(dtype) - manBits - exponent) << 7);
  }

  /** Codes, without signs, of sixteen |x|: nearest-even, saturated. */
  @inline static codes(
    manBits: i32, m0: v128, m1: v128, m2: v128, m3: v128, exponents: v128, minNormal: v128, factor: v128, weights: v128, first: v128,
    most: v128,
  ): v128 {
    const low = i16x8.narrow_i32x4_s(
      nearest.quanta(m0, exponents, minNormal, factor, weights), nearest.quanta(m1, exponents, minNormal, factor, weights),
    );
    const high = i16x8.narrow_i32x4_s(
      nearest.quanta(m2, exponents, minNormal, factor, weights), nearest.quanta(m3, exponents, minNormal, factor, weights),
    );
    const codes = i8x16.narrow_i16x8_u(
      i16x8.shr_u(i16x8.sub(low, first), 7 - manBits), i16x8.shr_u(i16x8.sub(high, first), 7 - manBits),
    );
    return i8x16.min_u(codes, most);
  }

  /**
   * `encode.loop` for one-byte formats with a sign, nearest-even and saturating, sixteen numbers at a time; n is a multiple of 16. Returns
   * the bits of the largest |x * scale|, and adds to `stats`, unless 0, the number of non-zero elements whose code is zero.
   */
  @inline private static scaledLoop(
    manBits: i32, src: usize, dst: usize, n: i32, k: v128, exponents: v128, minNormal: v128, factor: v128, weights: v128, first: v128,
    most: v128, signs: v128, unsigned: v128, absolute: v128, stats: usize,
  ): u32 {
    const zero = i32x4.splat(0);
    let largest = zero;
    let under = 0;
    const end = src + (<usize>n << 2);
    while (src < end) {
      const x0 = f32x4.mul(v128.load(src), k);
      const x1 = f32x4.mul(v128.load(src, 16), k);
      const x2 = f32x4.mul(v128.load(src, 32), k);
      const x3 = f32x4.mul(v128.load(src, 48), k);
      // Taken early, so that x need not be kept.
      const negative = i8x16.lt_s(sixteen.signBytes(x0, x1, x2, x3), zero);
      const m0 = v128.and(x0, absolute);
      const m1 = v128.and(x1, absolute);
      const m2 = v128.and(x2, absolute);
      const m3 = v128.and(x3, absolute);
      largest = i32x4.max_u(largest, sixteen.largest(m0, m1, m2, m3));
      const codes = nearest.codes(manBits, m0, m1, m2, m3, exponents, minNormal, factor, weights, first, most);
      v128.store(dst, v128.or(codes, v128.and(i8x16.gt_s(codes, unsigned), v128.and(negative, signs))));
      if (stats) under += sixteen.under(src, codes);
      src += 64;
      dst += 16;
    }
    if (stats) store<i32>(stats, load<i32>(stats, 4) + under, 4);
    return lanes.maxU32(largest);
  }

  /** Sixteen numbers of `plainLoop`. Returns their largest magnitudes. */
  @inline private static plainSixteen(
    manBits: i32, src: usize, dst: usize, exponents: v128, minNormal: v128, factor: v128, weights: v128, first: v128, most: v128, signs: v128,
    absolute: v128,
  ): v128 {
    const x0 = v128.load(src);
    const x1 = v128.load(src, 16);
    const x2 = v128.load(src, 32);
    const x3 = v128.load(src, 48);
    const signed = v128.and(sixteen.signBytes(x0, x1, x2, x3), signs);
    const m0 = v128.and(x0, absolute);
    const m1 = v128.and(x1, absolute);
    const m2 = v128.and(x2, absolute);
    const m3 = v128.and(x3, absolute);
    v128.store(dst, v128.or(signed, nearest.codes(manBits, m0, m1, m2, m3, exponents, minNormal, factor, weights, first, most)));
    return sixteen.largest(m0, m1, m2, m3);
  }

  /** `scaledLoop` for a scale of 1, a sign bit of 0x80, a format with -0, and no counts; n is a multiple of 32. 1.15 times as fast. */
  @inline private static plainLoop(
    manBits: i32, src: usize, dst: usize, n: i32, exponents: v128, minNormal: v128, factor: v128, weights: v128, first: v128,
    most: v128, signs: v128, absolute: v128,
  ): u32 {
    let largest = i32x4.splat(0);
    const end = src + (<usize>n << 2);
    while (src < end) {
      largest = i32x4.max_u(largest, nearest.plainSixteen(manBits, src, dst, exponents, minNormal, factor, weights, first, most, signs, absolute));
      // Unrolled by two: the loop itself costs as much as a tenth of the work.
      largest = i32x4.max_u(largest, nearest.plainSixteen(manBits, src + 64, dst + 16, exponents, minNormal, factor, weights, first, most, signs, absolute));
      src += 128;
      dst += 32;
    }
    return lanes.maxU32(largest);
  }

  /**
   * `scaledLoop` with manBits, and so the shifts, made constant: in strict SIMD only constant shifts are one instruction, and it is 1.25
   * times as fast.
   *
   * Two calls each keep this function and the next from being inlined by either compiler: vectors passed as arguments stay in registers,
   * where V8 11 would recompute them in the loop.
   */
  private static scaled(
    manBits: i32, src: usize, dst: usize, n: i32, k: v128, exponents: v128, minNormal: v128, factor: v128, weights: v128, first: v128,
    most: v128, signs: v128, unsigned: v128, absolute: v128, stats: usize,
  ): u32 {
    if (manBits === 3) return nearest.scaledLoop(3, src, dst, n, k, exponents, minNormal, factor, weights, first, most, signs, unsigned, absolute, stats);
    if (manBits === 2) return nearest.scaledLoop(2, src, dst, n, k, exponents, minNormal, factor, weights, first, most, signs, unsigned, absolute, stats);
    if (manBits === 4) return nearest.scaledLoop(4, src, dst, n, k, exponents, minNormal, factor, weights, first, most, signs, unsigned, absolute, stats);
    return nearest.scaledLoop(1, src, dst, n, k, exponents, minNormal, factor, weights, first, most, signs, unsigned, absolute, stats);
  }

  /** `plainLoop` likewise. No byte with a sign has 1 bit of mantissa. */
  private static plain(
    manBits: i32, src: usize, dst: usize, n: i32, exponents: v128, minNormal: v128, factor: v128, weights: v128, first: v128, most: v128,
    signs: v128, absolute: v128,
  ): u32 {
    if (manBits === 3) return nearest.plainLoop(3, src, dst, n, exponents, minNormal, factor, weights, first, most, signs, absolute);
    if (manBits === 2) return nearest.plainLoop(2, src, dst, n, exponents, minNormal, factor, weights, first, most, signs, absolute);
    return nearest.plainLoop(4, src, dst, n, exponents, minNormal, factor, weights, first, most, signs, absolute);
  }

  /**
   * Encodes as much of a row, from its start, as these two can, and returns its length; the rest is left to `encode.loop`.
   */
  private static bytes(dtype: i32, src: usize, dst: usize, n: i32, scale: f32, stats: usize): i32 {
    const manBits = format.manBits(dtype);
    const maxCode = format.maxCode(dtype);
    const signCode: i32 = 1 << (format.expBits(dtype) + manBits);
    const whole = n & ~15;
    const exponents = sixteen.exponents;
    const minNormal = nearest.minNormal(dtype, 0);
    const factor = nearest.factor(manBits);
    const weights = nearest.weights(manBits);
    const first = nearest.first(dtype, manBits, 0);
    const most = i8x16.splat(<i8>maxCode);
    const signs = i8x16.splat(<i8>signCode);
    const absolute = sixteen.absolute;
    const negativeZero = format.nanCode(dtype) !== signCode;
    if (!stats && scale === 1 && signCode === 0x80 && negativeZero && n >= 32) {
      let largest = nearest.plain(manBits, src, dst, n & ~31, exponents, minNormal, factor, weights, first, most, signs, absolute);
      // The last 32 again, overlapping, so that no tail is left.
      const last = n - 32;
      const from = src + (<usize>last << 2);
      if (n & 31) largest = max(largest, nearest.plain(manBits, from, dst + last, 32, exponents, minNormal, factor, weights, first, most, signs, absolute));
      return largest > 0x7f800000 ? 0 : n;
    }
    const k = f32x4.splat(scale);
    // In formats without -0, only codes above 0 take a sign.
    const unsigned = i8x16.splat(negativeZero ? -1 : 0);
    const before = stats ? load<i32>(stats, 4) : 0;
    let largest = nearest.scaled(
      manBits, src, dst, whole, k, exponents, minNormal, factor, weights, first, most, signs, unsigned, absolute, stats,
    );
    if (!sixteen.finish(largest, dtype, src, whole, scale, stats)) {
      if (stats) store<i32>(stats, before, 4);
      return 0;
    }
    if (stats || whole === n || whole === 0) return whole;
    largest = nearest.scaled(
      manBits, src + (<usize>(n - 16) << 2), dst + n - 16, 16, k, exponents, minNormal, factor, weights, first, most, signs, unsigned, absolute, 0,
    );
    return largest > 0x7f800000 ? whole : n;
  }

  /** BF16 to nearest-even, eight numbers at a time, signs included; n is a multiple of 8. False if it met a NaN. */
  @inline private static eights(src: usize, dst: usize, n: i32, scale: f32, scaled: bool): bool {
    const one = v128.load(VECTORS);
    const half = v128.load(VECTORS, 16);
    const k = f32x4.splat(scale);
    let nan = i32x4.splat(0);
    const end = src + (<usize>n << 2);
    while (src < end) {
      const x0 = scaled ? f32x4.mul(v128.load(src), k) : v128.load(src);
      const x1 = scaled ? f32x4.mul(v128.load(src, 16), k) : v128.load(src, 16);
      nan = v128.or(nan, v128.or(f32x4.ne(x0, x0), f32x4.ne(x1, x1)));
      const r0 = i32x4.add(i32x4.add(x0, half), v128.and(i32x4.shr_u(x0, 16), one));
      const r1 = i32x4.add(i32x4.add(x1, half), v128.and(i32x4.shr_u(x1, 16), one));
      v128.store(dst, i16x8.narrow_i32x4_u(i32x4.shr_u(r0, 16), i32x4.shr_u(r1, 16)));
      src += 32;
      dst += 16;
    }
    return !v128.any_true(nan);
  }

  /**
   * Eight numbers to float16, nearest-even: half a unit of the last bit, less 1 where that bit is 0, is added and carries into it or not.
   * Right for normal numbers in range only: returns false, and writes nothing, unless all are.
   */
  @inline static halves(src: usize, dst: usize, k: v128): bool {
    const one = i32x4.splat(1);
    const half = i32x4.splat(0xfff);
    // The smallest normal number, 2^-14, and the distance from it to what rounds to 65536.
    const least = i32x4.splat(0x38800000);
    const beyond = i32x4.splat(0x477ff000 - 0x38800000);
    const x0 = f32x4.mul(v128.load(src), k);
    const x1 = f32x4.mul(v128.load(src, 16), k);
    const m0 = i32x4.sub(lanes.abs(x0), least);
    const m1 = i32x4.sub(lanes.abs(x1), least);
    if (v128.any_true(v128.or(i32x4.ge_u(m0, beyond), i32x4.ge_u(m1, beyond)))) return false;
    // m's exponent counts from that of the smallest normal number, whose field is 1: this is added below.
    const c0 = i32x4.shr_u(i32x4.add(i32x4.add(m0, half), v128.and(i32x4.shr_u(m0, 13), one)), 13);
    const c1 = i32x4.shr_u(i32x4.add(i32x4.add(m1, half), v128.and(i32x4.shr_u(m1, 13), one)), 13);
    const signs = i16x8.shl(i16x8.shr_u(i16x8.narrow_i32x4_s(x0, x1), 15), 15);
    v128.store(dst, v128.or(i16x8.add(i16x8.narrow_i32x4_s(c0, c1), i16x8.splat(0x400)), signs));
    return true;
  }

  /** Encodes as much of a row, from its start, as is possible here, and returns its length; the rest is left to the loop of encode.ts. */
  static row(dtype: i32, src: usize, dst: usize, n: i32, scale: f32, saturate: bool, stats: usize): i32 {
    const how = kind.of(dtype);
    if (how === kind.upperHalf) {
      if (saturate || stats) return 0;
      // Multiplying subnormal numbers is slow, even by 1: 2.3 GB/s where normal ones went at 7.8.
      const right = scale === 1 ? nearest.eights(src, dst, n & ~7, 1, false) : nearest.eights(src, dst, n & ~7, scale, true);
      return right ? n & ~7 : 0;
    }
    return how === kind.narrow && format.bytes(dtype) === 1 && saturate ? nearest.bytes(dtype, src, dst, n, scale, stats) : 0;
  }
}
