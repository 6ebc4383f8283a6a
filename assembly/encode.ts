/** Float32 rows to codes: one rounding, four lanes at a time. */
import { format, kind, rounding } from './formats';
import { lanes, splat } from './lanes';
import { nearest } from './nearest';
import { stochastic } from './stochastic';

abstract class encode {
  /**
   * Four float32 to four codes of a narrow format in 32-bit lanes. `words` are random bits, read only by stochastic rounding.
   *
   * With the format's spacing at x as its quantum, every mode rounds q = |x| / quantum to an integer: tiesToEven by adding 2^(e + 23 -
   * manBits), whose ulp is the quantum; the others by floor(q) and a comparison of the fraction, which is exact. Stochastic: up if (word
   * >>> 8) * 2^-24 < frac(q). The code is (exponent steps above the smallest normal, in units of 2^manBits) + the integer, and a carry into
   * the next binade comes out right by itself.
   */
  @inline static narrow(
    magnitude: v128, words: v128, mode: i32, saturate: bool, shift: i32, minNormal: v128, limit: v128, maxBits: v128, unit: v128,
  ): v128 {
    let finite = i32x4.min_s(magnitude, limit);
    if (!saturate && mode === rounding.towardZero) {
      // Rounded towards zero, a finite value never leaves the finite range.
      const below = i32x4.lt_s(magnitude, i32x4.splat(0x7f800000));
      finite = v128.bitselect(i32x4.min_s(magnitude, maxBits), finite, below);
    }
    const exponent = i32x4.max_s(v128.and(finite, i32x4.splat(0x7f800000)), minNormal);
    let steps: v128;
    if (mode === rounding.tiesToEven) {
      const magic = i32x4.add(exponent, unit);
      steps = i32x4.sub(f32x4.add(finite, magic), magic);
    } else {
      const inverse = i32x4.sub(unit, exponent);
      const q = f32x4.mul(finite, inverse);
      const whole = f32x4.floor(q);
      // q < 2^23, so adding 2^23 leaves the integer in the low bits: 2 operations, where trunc_sat is 6 on x86.
      steps = i32x4.sub(f32x4.add(whole, f32x4.splat(8388608)), f32x4.splat(8388608));
      if (mode !== rounding.towardZero) {
        const fraction = f32x4.sub(q, whole);
        const up = mode === rounding.stochastic
          ? f32x4.lt(f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(words, 8)), f32x4.splat(5.9604644775390625e-8)), fraction)
          : f32x4.ge(fraction, f32x4.splat(0.5));
        steps = i32x4.sub(steps, up);
      }
    }
    return i32x4.add(steps, i32x4.shr_u(i32x4.sub(exponent, minNormal), shift));
  }

  /** BF16 is the upper half of float32: rounding is integer arithmetic on the bits, and overflow to infinity follows by itself. */
  @inline static upperHalf(magnitude: v128, words: v128, mode: i32): v128 {
    if (mode === rounding.tiesToEven) {
      const odd = v128.and(i32x4.shr_u(magnitude, 16), i32x4.splat(1));
      return i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0x7fff)), odd), 16);
    }
    const code = i32x4.shr_u(magnitude, 16);
    if (mode === rounding.towardZero) return code;
    const fraction = v128.and(i32x4.shl(magnitude, 8), i32x4.splat(0xffff00));
    const up = mode === rounding.stochastic
      ? i32x4.lt_s(i32x4.shr_u(words, 8), fraction)
      : i32x4.ge_s(fraction, i32x4.splat(0x800000));
    return i32x4.sub(code, up);
  }

  /**
   * E8M0: the exponent field, plus 1 where the 24-bit fraction of the way to the next power of two rounds up; ties go up. In field 0,
   * 2^-127 takes the place of 1.0.
   */
  @inline static powers(magnitude: v128, words: v128, mode: i32): v128 {
    const code = i32x4.shr_u(magnitude, 23);
    if (mode === rounding.towardZero) return code;
    const normal = i32x4.shl(v128.and(magnitude, i32x4.splat(0x7fffff)), 1);
    const subnormal = i32x4.shl(i32x4.sub(magnitude, i32x4.splat(0x400000)), 2);
    const fraction = v128.bitselect(subnormal, normal, i32x4.eq(code, i32x4.splat(0)));
    const up = mode === rounding.stochastic
      ? i32x4.lt_s(i32x4.shr_u(words, 8), fraction)
      : i32x4.ge_s(fraction, i32x4.splat(0x800000));
    return i32x4.sub(code, up);
  }

  /** Four float32 to four codes in 32-bit lanes; the arguments after `saturate` follow from the format, see `loop`. */
  @inline static four(
    how: i32, x: v128, random: v128, mode: i32, saturate: bool, shift: i32, infinite: bool, minNormal: v128, limit: v128, max: v128,
    unit: v128, maxCodes: v128, infCodes: v128, nanCodes: v128, signs: v128, unsigned: v128,
  ): v128 {
    const magnitude = lanes.abs(x);
    let nan = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000));
    let codes: v128;
    if (how === kind.whole) {
      // Nothing to round, but NaN is made canonical: the bits of a computed NaN differ between engines and must not reach a stored tensor.
      codes = v128.or(i32x4.min_s(magnitude, limit), v128.and(x, signs));
    } else if (how === kind.upperHalf) {
      codes = encode.upperHalf(magnitude, random, mode);
      if (saturate) codes = i32x4.min_s(codes, maxCodes);
      codes = v128.or(codes, v128.and(i32x4.shr_s(x, 31), signs));
    } else if (how === kind.powers) {
      const positive = i32x4.gt_s(x, i32x4.splat(0));
      codes = encode.powers(magnitude, random, mode);
      // Infinity already has the code of NaN.
      codes = saturate ? v128.and(i32x4.min_s(codes, maxCodes), positive) : v128.or(codes, v128.not(positive));
      codes = v128.and(codes, i32x4.splat(0xff));
    } else {
      codes = encode.narrow(magnitude, random, mode, saturate, shift, minNormal, limit, max, unit);
      if (!saturate) {
        const overflow = i32x4.gt_s(codes, maxCodes);
        if (infinite) codes = v128.bitselect(infCodes, codes, overflow);
        else nan = v128.or(nan, overflow);
      }
      const signed = v128.and(i32x4.shr_s(x, 31), signs);
      codes = v128.or(codes, v128.and(signed, i32x4.gt_s(codes, unsigned)));
    }
    return v128.bitselect(nanCodes, codes, nan);
  }

  /** Stores four codes held in 32-bit lanes. */
  @inline static store(p: usize, codes: v128, bytes: i32): void {
    if (bytes === 4) {
      v128.store(p, codes);
      return;
    }
    const half = i16x8.narrow_i32x4_u(codes, codes);
    if (bytes === 2) v128.store64_lane(p, half, 0);
    else v128.store32_lane(p, i8x16.narrow_i16x8_u(half, half), 0);
  }

  /** Stores the first n (1 to 3) of them. */
  @inline static storeTail(p: usize, codes: v128, bytes: i32, n: i32): void {
    for (let i = 0; i < n; i++) {
      const code = i32x4.extract_lane(codes, 0);
      if (bytes === 4) store<i32>(p, code);
      else if (bytes === 2) store<u16>(p, <u16>code);
      else store<u8>(p, <u8>code);
      p += bytes;
      codes = i8x16.shuffle(codes, codes, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    }
  }

  /**
   * Encodes n float32 at src, times scale, to dst. `words` holds one random word per element. Where `counting`, adds to the two i32 at
   * `stats` the number of elements whose scaled magnitude exceeds the largest finite value, and of non-zero elements whose code is zero.
   */
  @inline static loop(
    how: i32, dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, counting: bool, stats: usize,
  ): void {
    const manBits = format.manBits(dtype);
    const infCode = format.infCode(dtype);
    const maxCode = format.maxCode(dtype);
    const nanCode = format.nanCode(dtype);
    const signCode = format.signBits(dtype) << (format.expBits(dtype) + manBits);
    const bytes = how === kind.whole ? 4 : how === kind.upperHalf ? 2 : how === kind.powers ? 1 : format.bytes(dtype);
    const shift = 23 - manBits;
    const maxBits = format.maxBits(dtype);
    // From one binade above the largest value on, everything overflows.
    const limit = i32x4.splat(saturate ? maxBits : (maxBits & 0x7f800000) + (1 << 23));
    const minNormal = i32x4.splat((128 - format.bias(dtype)) << 23);
    const unit = i32x4.splat((mode === rounding.tiesToEven ? shift : 254 + manBits) << 23);
    const max = i32x4.splat(maxBits);
    const maxCodes = i32x4.splat(maxCode);
    // Formats without NaN encode it as the largest value.
    const nanCodes = i32x4.splat(nanCode < 0 ? maxCode : nanCode);
    const infCodes = i32x4.splat(infCode);
    const infinite = infCode >= 0;
    const signs = i32x4.splat(signCode);
    // In formats without -0, only codes above 0 take a sign.
    const unsigned = i32x4.splat(nanCode === signCode ? 0 : -1);
    const magnitudes = i32x4.splat(nanCode === signCode ? -1 : signCode - 1);
    const zero = i32x4.splat(0);
    const k = f32x4.splat(scale);
    let over = zero;
    let under = zero;
    const whole = n & ~3;
    for (let i = 0; i < whole; i += 4) {
      const raw = v128.load(src + (i << 2));
      const x = f32x4.mul(raw, k);
      const random = mode === rounding.stochastic ? v128.load(words + (i << 2)) : zero;
      const codes = encode.four(
        how, x, random, mode, saturate, shift, infinite, minNormal, limit, max, unit, maxCodes, infCodes, nanCodes, signs, unsigned,
      );
      encode.store(dst + i * bytes, codes, bytes);
      if (counting) {
        over = i32x4.sub(over, i32x4.gt_s(lanes.abs(x), max));
        under = i32x4.sub(under, v128.andnot(i32x4.eq(v128.and(codes, magnitudes), zero), f32x4.eq(raw, zero)));
      }
    }
    if (whole < n) {
      const raw = lanes.loadTail(src + (whole << 2), n - whole);
      const x = f32x4.mul(raw, k);
      const random = mode === rounding.stochastic ? v128.load(words + (whole << 2)) : zero;
      const codes = encode.four(
        how, x, random, mode, saturate, shift, infinite, minNormal, limit, max, unit, maxCodes, infCodes, nanCodes, signs, unsigned,
      );
      encode.storeTail(dst + whole * bytes, codes, bytes, n - whole);
      if (counting) {
        over = i32x4.sub(over, i32x4.gt_s(lanes.abs(x), max));
        under = i32x4.sub(under, v128.andnot(i32x4.eq(v128.and(codes, magnitudes), zero), f32x4.eq(raw, zero)));
      }
    }
    if (counting) {
      store<i32>(stats, load<i32>(stats) + lanes.sumI32(over));
      store<i32>(stats, load<i32>(stats, 4) + lanes.sumI32(under), 4);
    }
  }

  @inline static row(
    how: i32, dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize,
  ): void {
    if (stats) encode.loop(how, dtype, src, dst, n, scale, words, mode, saturate, true, stats);
    else encode.loop(how, dtype, src, dst, n, scale, words, mode, saturate, false, 0);
  }

  /** `row` with the mode made a constant, so that each copy of the loop holds one rounding. */
  @inline static rowIn(
    how: i32, dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize,
  ): void {
    if (mode === rounding.tiesToEven) encode.row(how, dtype, src, dst, n, scale, words, rounding.tiesToEven, saturate, stats);
    else if (mode === rounding.stochastic) encode.row(how, dtype, src, dst, n, scale, words, rounding.stochastic, saturate, stats);
    else if (mode === rounding.towardZero) encode.row(how, dtype, src, dst, n, scale, words, rounding.towardZero, saturate, stats);
    else encode.row(how, dtype, src, dst, n, scale, words, rounding.tiesToAway, saturate, stats);
  }

  // Written out twice: as one inlined function, one of the copies again had `saturate` as a variable of its loops.
  static narrowRow(
    dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize,
  ): void {
    if (saturate) encode.rowIn(kind.narrow, dtype, src, dst, n, scale, words, mode, true, stats);
    else encode.rowIn(kind.narrow, dtype, src, dst, n, scale, words, mode, false, stats);
  }

  static upperHalfRow(
    dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize,
  ): void {
    if (saturate) encode.rowIn(kind.upperHalf, dtype, src, dst, n, scale, words, mode, true, stats);
    else encode.rowIn(kind.upperHalf, dtype, src, dst, n, scale, words, mode, false, stats);
  }

  /** With rounding and saturation as variables, as no step of training casts to E8M0: 3 kB less, and 1.1 to 1.3 times as long. */
  static powersRow(
    dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize,
  ): void {
    encode.row(kind.powers, dtype, src, dst, n, scale, words, mode, saturate, stats);
  }

  /** With one loop for both, as `limit` is all that saturation changes here. */
  static wholeRow(dtype: i32, src: usize, dst: usize, n: i32, scale: f32, saturate: bool, stats: usize): void {
    encode.row(kind.whole, dtype, src, dst, n, scale, 0, rounding.tiesToEven, saturate, stats);
  }

  /**
   * float16, nearest-even, without counts: eight at a time by `nearest.halves`; where these include some it cannot encode, 64 by the loop.
   */
  static halves(dtype: i32, src: usize, dst: usize, n: i32, scale: f32, saturate: bool): void {
    const k = f32x4.splat(scale);
    while (n > 0) {
      let count = 8;
      if (n < 8 || !nearest.halves(src, dst, k)) {
        count = min(n, 64);
        encode.narrowRow(dtype, src, dst, count, scale, 0, rounding.tiesToEven, saturate, 0);
      }
      src += <usize>count << 2;
      dst += <usize>count << 1;
      n -= count;
    }
  }
}

/** A float32 row, times `scale`, to any format. */
export function encodeRow(
  dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize,
): void {
  const how = kind.of(dtype);
  // Formats without NaN and infinity can only saturate.
  if (format.nanCode(dtype) < 0) saturate = true;
  let done = 0;
  if (mode === rounding.stochastic) {
    if (saturate) done = stochastic.row(dtype, src, dst, n, scale, words, stats);
  } else if (mode === rounding.tiesToEven) {
    if (how === kind.narrow && format.bytes(dtype) === 2 && !stats) {
      encode.halves(dtype, src, dst, n, scale, saturate);
      return;
    }
    done = nearest.row(dtype, src, dst, n, scale, saturate, stats);
  }
  if (done === n) return;
  src += <usize>done << 2;
  dst += <usize>done * format.bytes(dtype);
  words += <usize>done << 2;
  n -= done;
  if (how === kind.narrow) encode.narrowRow(dtype, src, dst, n, scale, words, mode, saturate, stats);
  else if (how === kind.upperHalf) encode.upperHalfRow(dtype, src, dst, n, scale, words, mode, saturate, stats);
  else if (how === kind.whole) encode.wholeRow(dtype, src, dst, n, scale, saturate, stats);
  else encode.powersRow(dtype, src, dst, n, scale, words, mode, saturate, stats);
}

/** A float32 row to any format for storage: nearest-even, saturated where the format's casts to storage are. */
export function storeRow(dtype: i32, src: usize, dst: usize, n: i32): void {
  encodeRow(dtype, src, dst, n, 1, 0, rounding.tiesToEven, format.saturates(dtype), 0);
}

/** Largest |x| of n float32 as bits: NaN orders above infinity above finite. */
export function amaxRow(src: usize, n: i32): u32 {
  const absolute = splat.words(0x7fffffff);
  let m = i32x4.splat(0);
  const whole = n & ~3;
  let i = 0;
  // Four vectors at a time, as the loop itself costs more than the work.
  for (; i < (n & ~15); i += 16) {
    const p = src + (i << 2);
    const low = i32x4.max_u(v128.and(v128.load(p), absolute), v128.and(v128.load(p, 16), absolute));
    const high = i32x4.max_u(v128.and(v128.load(p, 32), absolute), v128.and(v128.load(p, 48), absolute));
    m = i32x4.max_u(m, i32x4.max_u(low, high));
  }
  for (; i < whole; i += 4) m = i32x4.max_u(m, v128.and(v128.load(src + (i << 2)), absolute));
  if (n & 3) m = i32x4.max_u(m, lanes.abs(lanes.loadTail(src + (whole << 2), n & 3)));
  return lanes.maxU32(m);
}
