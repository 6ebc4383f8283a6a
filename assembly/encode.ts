/** Float32 to codes: one rounding, four lanes at a time, whole rows. */
import { BF16, E4M3, E4M3FN, E5M2, F16, F32, facts, rounding } from './formats';
import { lanes } from './lanes';

export abstract class encode {
  /** Bits of the largest finite value of F as float32 (F narrower than float32). */
  @inline static maxBits<F>(): i32 {
    const f = facts.about<F>();
    return (f.maxCode << (23 - f.manBits)) + ((127 - f.bias) << 23);
  }

  /**
   * Four float32 to four codes in 32-bit lanes. `words` are random bits, read only by stochastic rounding.
   *
   * In units of the format's spacing at x (its quantum) every mode is one step on q = |x| / quantum:
   * tiesToEven by adding 2^(e + 23 - manBits), whose ulp is the quantum; the others by floor(q) and a comparison of its fraction,
   * which is exact. Stochastic: up if (word >>> 8) * 2^-24 < frac(q). The code is then (exponent steps above the smallest normal,
   * in units of 2^manBits) + the integer, and a carry into the next binade comes out right by itself.
   */
  @inline static four<F>(x: v128, words: v128, mode: i32, saturate: bool): v128 {
    const f = facts.about<F>();
    const magnitude = lanes.abs(x);
    let nan = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000));
    if (f.manBits === 23) {
      // No rounding, but the one NaN: a computed NaN's bits differ between engines, and must not reach a stored tensor.
      const kept = saturate
        ? v128.or(i32x4.min_s(magnitude, i32x4.splat(f.maxCode)), v128.andnot(x, i32x4.splat(0x7fffffff)))
        : x;
      return v128.bitselect(i32x4.splat(f.nanCode), kept, nan);
    }
    let code: v128;
    if (f.expBits === 8) {
      code = encode.upperHalf(magnitude, words, mode);
      if (saturate) code = i32x4.min_s(code, i32x4.splat(f.maxCode));
    } else {
      const minNormal = i32x4.splat((128 - f.bias) << 23);
      // Towards zero, a finite value never leaves the finite range; else stop one binade above the largest, where all overflow.
      const limit = saturate ? encode.maxBits<F>() : (encode.maxBits<F>() & 0x7f800000) + (1 << 23);
      let finite = i32x4.min_s(magnitude, i32x4.splat(limit));
      if (!saturate && mode === rounding.towardZero) {
        const below = i32x4.lt_s(magnitude, i32x4.splat(0x7f800000));
        finite = v128.bitselect(i32x4.min_s(magnitude, i32x4.splat(encode.maxBits<F>())), finite, below);
      }
      const exponent = i32x4.max_s(v128.and(finite, i32x4.splat(0x7f800000)), minNormal);
      let steps: v128;
      if (mode === rounding.tiesToEven) {
        const magic = i32x4.add(exponent, i32x4.splat((23 - f.manBits) << 23));
        steps = i32x4.sub(f32x4.add(finite, magic), magic);
      } else {
        const inverse = i32x4.sub(i32x4.splat((254 + f.manBits) << 23), exponent);
        const q = f32x4.mul(finite, inverse);
        const whole = f32x4.floor(q);
        steps = i32x4.trunc_sat_f32x4_s(whole);
        if (mode !== rounding.towardZero) {
          const fraction = f32x4.sub(q, whole);
          const up = mode === rounding.stochastic
            ? f32x4.lt(f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(words, 8)), f32x4.splat(5.9604644775390625e-8)), fraction)
            : f32x4.ge(fraction, f32x4.splat(0.5));
          steps = i32x4.sub(steps, up);
        }
      }
      code = i32x4.add(steps, i32x4.shr_u(i32x4.sub(exponent, minNormal), 23 - f.manBits));
      if (!saturate) {
        const overflow = i32x4.gt_s(code, i32x4.splat(f.maxCode));
        if (f.infCode >= 0) code = v128.bitselect(i32x4.splat(f.infCode), code, overflow);
        else nan = v128.or(nan, overflow);
      }
    }
    const sign = i32x4.shl(i32x4.shr_u(x, 31), f.expBits + f.manBits);
    return v128.bitselect(i32x4.splat(f.nanCode), v128.or(code, sign), nan);
  }

  /** BF16 is the upper half of float32: rounding is integer arithmetic on the bits, and overflow to infinity comes out by itself. */
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

  /** Stores four codes held in 32-bit lanes. */
  @inline static store<F>(p: usize, codes: v128): void {
    const f = facts.about<F>();
    if (f.bytes === 4) {
      v128.store(p, codes);
    } else if (f.bytes === 2) {
      v128.store64_lane(p, i16x8.narrow_i32x4_u(codes, codes), 0);
    } else {
      const half = i16x8.narrow_i32x4_u(codes, codes);
      v128.store32_lane(p, i8x16.narrow_i16x8_u(half, half), 0);
    }
  }

  @inline static storeTail<F>(p: usize, codes: v128, n: i32): void {
    const f = facts.about<F>();
    for (let i = 0; i < n; i++) {
      const code = i32x4.extract_lane(codes, 0);
      if (f.bytes === 4) store<i32>(p, code);
      else if (f.bytes === 2) store<u16>(p, <u16>code);
      else store<u8>(p, <u8>code);
      p += f.bytes;
      codes = i8x16.shuffle(codes, codes, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    }
  }

  /**
   * n float32 at src, times scale, to n codes at dst. Random words are read from `words`, one per element.
   * Where `counting`, adds to the two i32 at `stats` the elements whose scaled magnitude exceeds the largest finite value, and the
   * non-zero elements whose code is zero.
   */
  @inline static loop<F>(
    src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, counting: bool, stats: usize,
  ): void {
    const f = facts.about<F>();
    const k = f32x4.splat(scale);
    const max = i32x4.splat(f.manBits === 23 ? f.maxCode : encode.maxBits<F>());
    const magnitudeMask = i32x4.splat(f.manBits === 23 ? 0x7fffffff : (1 << (f.expBits + f.manBits)) - 1);
    const zero = i32x4.splat(0);
    let over = zero;
    let under = zero;
    for (let i = 0; i < n; i += 4) {
      const left = n - i;
      const raw = left < 4 ? lanes.loadTail(src + (i << 2), left) : v128.load(src + (i << 2));
      const x = f32x4.mul(raw, k);
      const codes = encode.four<F>(x, mode === rounding.stochastic ? v128.load(words + (i << 2)) : zero, mode, saturate);
      if (left < 4) encode.storeTail<F>(dst + i * f.bytes, codes, left);
      else encode.store<F>(dst + i * f.bytes, codes);
      if (counting) {
        over = i32x4.sub(over, i32x4.gt_s(lanes.abs(x), max));
        under = i32x4.sub(
          under,
          v128.andnot(i32x4.eq(v128.and(codes, magnitudeMask), zero), f32x4.eq(raw, zero)),
        );
      }
    }
    if (counting) {
      store<i32>(stats, load<i32>(stats) + encode.count(over));
      store<i32>(stats, load<i32>(stats, 4) + encode.count(under), 4);
    }
  }

  @inline static count(v: v128): i32 {
    return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
  }

  @inline static row<F>(src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize): void {
    if (stats) encode.loop<F>(src, dst, n, scale, words, mode, saturate, true, stats);
    else encode.loop<F>(src, dst, n, scale, words, mode, saturate, false, 0);
  }

  /** `row` with the mode made a constant, so that each instantiation holds one rounding. */
  static rowIn<F>(src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize): void {
    if (!saturate) encode.rowOverflowing<F>(src, dst, n, scale, words, mode, stats);
    else if (mode === rounding.tiesToEven) encode.row<F>(src, dst, n, scale, words, rounding.tiesToEven, true, stats);
    else if (mode === rounding.stochastic) encode.row<F>(src, dst, n, scale, words, rounding.stochastic, true, stats);
    else if (mode === rounding.towardZero) encode.row<F>(src, dst, n, scale, words, rounding.towardZero, true, stats);
    else encode.row<F>(src, dst, n, scale, words, rounding.tiesToAway, true, stats);
  }

  private static rowOverflowing<F>(src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, stats: usize): void {
    if (mode === rounding.tiesToEven) encode.row<F>(src, dst, n, scale, words, rounding.tiesToEven, false, stats);
    else if (mode === rounding.stochastic) encode.row<F>(src, dst, n, scale, words, rounding.stochastic, false, stats);
    else if (mode === rounding.towardZero) encode.row<F>(src, dst, n, scale, words, rounding.towardZero, false, stats);
    else encode.row<F>(src, dst, n, scale, words, rounding.tiesToAway, false, stats);
  }
}

/** A float32 row, times `scale`, to any format. */
export function encodeRow(
  dtype: i32, src: usize, dst: usize, n: i32, scale: f32, words: usize, mode: i32, saturate: bool, stats: usize,
): void {
  if (dtype === facts.about<F32>().id) encode.rowIn<F32>(src, dst, n, scale, words, mode, saturate, stats);
  else if (dtype === facts.about<BF16>().id) encode.rowIn<BF16>(src, dst, n, scale, words, mode, saturate, stats);
  else if (dtype === facts.about<F16>().id) encode.rowIn<F16>(src, dst, n, scale, words, mode, saturate, stats);
  else if (dtype === facts.about<E4M3FN>().id) encode.rowIn<E4M3FN>(src, dst, n, scale, words, mode, saturate, stats);
  else if (dtype === facts.about<E5M2>().id) encode.rowIn<E5M2>(src, dst, n, scale, words, mode, saturate, stats);
  else if (dtype === facts.about<E4M3>().id) encode.rowIn<E4M3>(src, dst, n, scale, words, mode, saturate, stats);
}

/** A float32 row to a storage format (float32, or BF16 by nearest-even). */
export function storeRow(dtype: i32, src: usize, dst: usize, n: i32): void {
  encodeRow(dtype, src, dst, n, 1, 0, rounding.tiesToEven, dtype > facts.about<F16>().id, 0);
}

/** Largest |x| of n float32 as bits: NaN orders above infinity above finite. */
export function amaxRow(src: usize, n: i32): u32 {
  let m = i32x4.splat(0);
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) m = i32x4.max_u(m, lanes.abs(v128.load(src + (i << 2))));
  if (n & 3) m = i32x4.max_u(m, lanes.abs(lanes.loadTail(src + (whole << 2), n & 3)));
  return lanes.maxU32(m);
}
