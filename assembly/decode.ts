/** Codes to float32, by fours and by rows. Exact for every format here. */
import { F16, facts, format, kind } from './formats';
import { lanes, quad, splat } from './lanes';

/** BF16 operands of a product read as zero below 2^FLUSH_EXPONENT. Why: docs/numerics.md, "exact products". */
export const FLUSH_EXPONENT = -60;

export abstract class decode {
  /** Four codes from p, zero-extended to 32 bits. Always reads four: buffers are padded for that. */
  @inline static load<F>(p: usize): v128 {
    return decode.codes(p, facts.about<F>().bytes);
  }

  /**
   * Four codes to four float32. Subnormals go through an integer conversion: "shift the bits, multiply by 2^120" would form float32
   * denormals, each of which costs a microcode assist on Intel.
   */
  @inline static four<F>(codes: v128): v128 {
    const f = facts.about<F>();
    if (f.manBits === 23) return codes;
    if (f.expBits === 8) return i32x4.shl(codes, 16);
    const mag = v128.and(codes, i32x4.splat((1 << (f.expBits + f.manBits)) - 1));
    const normal = i32x4.add(i32x4.shl(mag, 23 - f.manBits), i32x4.splat((127 - f.bias) << 23));
    const subnormal = f32x4.mul(
      f32x4.convert_i32x4_s(mag),
      f32x4.splat(reinterpret<f32>((128 - f.bias - f.manBits) << 23)),
    );
    let value = v128.bitselect(subnormal, normal, i32x4.lt_s(mag, i32x4.splat(1 << f.manBits)));
    if (f.infCode < 0) {
      value = v128.or(value, v128.and(i32x4.eq(mag, i32x4.splat(f.nanCode)), i32x4.splat(0x7fc00000)));
    } else {
      value = v128.or(value, v128.and(i32x4.ge_s(mag, i32x4.splat(f.infCode)), i32x4.splat(0x7f800000)));
      value = v128.or(value, v128.and(i32x4.gt_s(mag, i32x4.splat(f.infCode)), i32x4.splat(0x7fc00000)));
    }
    const sign = i32x4.shl(i32x4.shr_u(codes, f.expBits + f.manBits), 31);
    return v128.or(value, sign);
  }

  /**
   * BF16 values as operands of a product, small ones made zero. Products of the others have no bit below 2^-134: each is exact in float32,
   * and fused equals unfused whatever the data.
   */
  @inline static flushed(value: v128): v128 {
    return v128.and(value, i32x4.gt_s(lanes.abs(value), i32x4.splat(((127 + FLUSH_EXPONENT) << 23) - 1)));
  }

  /** Four GEMM operands. */
  @inline static operand<F>(codes: v128): v128 {
    const value = decode.four<F>(codes);
    const f = facts.about<F>();
    return f.expBits === 8 && f.manBits === 7 ? decode.flushed(value) : value;
  }

  /**
   * The same from p, for packing. Its loops leave little of one-byte codes: panels with infinity or NaN, and the last of K where that is no
   * multiple of eight. One function does for all their formats: with one each, inlined, kernels had 6 kB more; a product with NaN in every
   * panel takes 1.2 to 1.4 times as long in Node 26 and up to 1.9 in Node 20, one with K = 7 1.2 and 1.4.
   */
  @inline static operands<F>(p: usize): v128 {
    if (facts.about<F>().bytes === 1) return decode.fourBytes(facts.about<F>().id, p);
    return decode.operand<F>(decode.load<F>(p));
  }
  private static fourBytes(dtype: i32, p: usize): v128 {
    const manBits = format.manBits(dtype);
    const magnitudeBits = format.expBits(dtype) + manBits;
    return decode.any(
      kind.narrow, decode.codes(p, 1), magnitudeBits, 23 - manBits, i32x4.splat((1 << magnitudeBits) - 1), i32x4.splat(1 << manBits),
      i32x4.splat((127 - format.bias(dtype)) << 23), f32x4.splat(format.quantum(dtype)), i32x4.splat(format.maxCode(dtype)),
      i32x4.splat(format.infCode(dtype)), i32x4.splat(format.nanCode(dtype)),
    );
  }

  /** Eight BF16 codes as GEMM operands in 16-bit lanes, half the work of `operand`. Its constants are the two below. */
  @inline static eight(p: usize, absolute: v128, flushed: v128): v128 {
    const value = v128.load(p);
    return v128.and(value, i16x8.gt_s(v128.and(value, absolute), flushed));
  }
  @inline static get absoluteEight(): v128 { return splat.pairs(0x7fff); }
  /** The largest magnitude that reads as zero. */
  @inline static get flushedEight(): v128 { return splat.pairs(((127 + FLUSH_EXPONENT) << 7) - 1); }

  /** The lower and the upper four of eight BF16 lanes as float32. */
  @inline static low(eight: v128): v128 {
    return quad.lowPairs(i32x4.splat(0), eight);
  }
  @inline static high(eight: v128): v128 {
    return quad.highPairs(i32x4.splat(0), eight);
  }

  /** Four codes of `bytes` bytes each, zero-extended. */
  @inline private static codes(p: usize, bytes: i32): v128 {
    if (bytes === 4) return v128.load(p);
    if (bytes === 2) return v128.load_ext<u16>(p);
    return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(p)));
  }

  /** Four codes to float32; the arguments after `codes` follow from the format, see `loop`. */
  @inline private static any(
    how: i32, codes: v128, magnitudeBits: i32, shift: i32, magnitudes: v128, firstNormal: v128, rebias: v128, quantum: v128,
    maxCode: v128, infCode: v128, nanCode: v128,
  ): v128 {
    if (how === kind.whole) return codes;
    if (how === kind.upperHalf) return i32x4.shl(codes, 16);
    const nan = i32x4.splat(0x7fc00000);
    if (how === kind.powers) {
      // 2^-127, the value of code 0, is a subnormal float32.
      const least = v128.and(i32x4.eq(codes, i32x4.splat(0)), i32x4.splat(0x00400000));
      return v128.bitselect(nan, v128.or(i32x4.shl(codes, 23), least), i32x4.eq(codes, nanCode));
    }
    const magnitude = v128.and(codes, magnitudes);
    const normal = i32x4.add(i32x4.shl(magnitude, shift), rebias);
    const subnormal = f32x4.mul(f32x4.convert_i32x4_s(magnitude), quantum);
    let value = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, firstNormal));
    // Codes beyond the largest are infinity where the format has it, else NaN.
    const beyond = v128.or(i32x4.gt_s(magnitude, maxCode), i32x4.eq(codes, nanCode));
    value = v128.bitselect(v128.bitselect(i32x4.splat(0x7f800000), nan, i32x4.eq(magnitude, infCode)), value, beyond);
    return v128.or(value, i32x4.shl(i32x4.shr_u(codes, magnitudeBits), 31));
  }

  /** n codes to n float32, times a factor. */
  @inline static loop(how: i32, bytes: i32, dtype: i32, src: usize, dst: usize, n: i32, factor: f32): void {
    const manBits = format.manBits(dtype);
    const bias = format.bias(dtype);
    const magnitudeBits = format.expBits(dtype) + manBits;
    const shift = 23 - manBits;
    const magnitudes = i32x4.splat((1 << magnitudeBits) - 1);
    const firstNormal = i32x4.splat(1 << manBits);
    const rebias = i32x4.splat((127 - bias) << 23);
    const quantum = f32x4.splat(format.quantum(dtype));
    const maxCode = i32x4.splat(format.maxCode(dtype));
    const infCode = i32x4.splat(format.infCode(dtype));
    const nanCode = i32x4.splat(format.nanCode(dtype));
    const k = f32x4.splat(factor);
    const whole = n & ~3;
    for (let i = 0; i < whole; i += 4) {
      const codes = decode.codes(src + i * bytes, bytes);
      const value = decode.any(how, codes, magnitudeBits, shift, magnitudes, firstNormal, rebias, quantum, maxCode, infCode, nanCode);
      v128.store(dst + (i << 2), f32x4.mul(value, k));
    }
    if (whole < n) {
      const codes = decode.codes(src + whole * bytes, bytes);
      const value = decode.any(how, codes, magnitudeBits, shift, magnitudes, firstNormal, rebias, quantum, maxCode, infCode, nanCode);
      lanes.storeTail(dst + (whole << 2), f32x4.mul(value, k), n - whole);
    }
  }

  /**
   * `loop` for one-byte formats with a sign: sixteen codes at a time, as BF16 in 16-bit lanes, widened last; n is a multiple of 16. A
   * code's magnitude m becomes (m << (7 - manBits)) + rebias, plus, for the subnormals (16 at most), a correction from the tables, whose
   * lookup gives 0 past their end. False if it met infinity or NaN, which it cannot decode.
   *
   * Two calls keep this function from being inlined, for the reason given at `scaled` in nearest.ts: 4 times as fast on V8 11.
   */
  private static sixteens(
    src: usize, dst: usize, n: i32, k: v128, magnitudes: v128, weight: v128, tableLow: v128, tableHigh: v128, rebiasLow: v128,
    rebiasHigh: v128, negative: v128, maxCode: v128, nanCode: v128,
  ): bool {
    const zero = i32x4.splat(0);
    let beyond = zero;
    const end = src + n;
    while (src < end) {
      const codes = v128.load(src);
      const m = v128.and(codes, magnitudes);
      beyond = v128.or(beyond, v128.or(i8x16.gt_s(m, maxCode), i8x16.eq(codes, nanCode)));
      const sign = v128.andnot(negative, i8x16.eq(m, codes));
      const addLow = i8x16.add(i8x16.swizzle(tableLow, m), rebiasLow);
      const addHigh = i8x16.add(i8x16.add(i8x16.swizzle(tableHigh, m), rebiasHigh), sign);
      const low = i16x8.add(i16x8.mul(i16x8.extend_low_i8x16_u(m), weight), quad.lowBytes(addLow, addHigh));
      const high = i16x8.add(i16x8.mul(i16x8.extend_high_i8x16_u(m), weight), quad.highBytes(addLow, addHigh));
      v128.store(dst, f32x4.mul(quad.lowPairs(zero, low), k));
      v128.store(dst, f32x4.mul(quad.highPairs(zero, low), k), 16);
      v128.store(dst, f32x4.mul(quad.lowPairs(zero, high), k), 32);
      v128.store(dst, f32x4.mul(quad.highPairs(zero, high), k), 48);
      src += 16;
      dst += 64;
    }
    return !v128.any_true(beyond);
  }

  /** Decodes as much of a row, from its start, as `sixteens` can, and returns its length; the rest is left to `loop`. */
  static bytesRow(dtype: i32, src: usize, dst: usize, n: i32, factor: f32): i32 {
    const manBits = format.manBits(dtype);
    const bias = format.bias(dtype);
    const rebias = (127 - bias) << 7;
    const subnormals: i32 = 1 << manBits;
    const step: i32 = 1 << (7 - manBits);
    const magnitude: i32 = (1 << (format.expBits(dtype) + manBits)) - 1;
    const whole = n & ~15;
    if (whole === 0) return 0;
    const rebiasLow = i8x16.splat(<i8>rebias);
    const rebiasHigh = i8x16.splat(<i8>(rebias >> 8));
    const isSubnormal = i8x16.lt_s(i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), i8x16.splat(<i8>subnormals));
    const quantum = f32x4.splat(format.quantum(dtype));
    const first = decode.corrections(i32x4(0, 1, 2, 3), i32x4(4, 5, 6, 7), manBits, quantum);
    const second = decode.corrections(i32x4(8, 9, 10, 11), i32x4(12, 13, 14, 15), manBits, quantum);
    const lowBytes = i8x16.narrow_i16x8_u(v128.and(first, i16x8.splat(255)), v128.and(second, i16x8.splat(255)));
    const highBytes = i8x16.narrow_i16x8_u(i16x8.shr_u(first, 8), i16x8.shr_u(second, 8));
    // The loop adds rebias to each byte without a carry, so it is subtracted from each without one.
    const tableLow = v128.and(i8x16.sub(lowBytes, rebiasLow), isSubnormal);
    const tableHigh = v128.and(i8x16.sub(highBytes, rebiasHigh), isSubnormal);
    const magnitudes = i8x16.splat(<i8>magnitude);
    const negative = i8x16.splat(-128);
    const weight = i16x8.splat(<i16>step);
    const maxCode = i8x16.splat(<i8>format.maxCode(dtype));
    const nanCode = i8x16.splat(<i8>format.nanCode(dtype));
    const k = f32x4.splat(factor);
    if (!decode.sixteens(src, dst, whole, k, magnitudes, weight, tableLow, tableHigh, rebiasLow, rebiasHigh, negative, maxCode, nanCode)) {
      return 0;
    }
    if (whole === n) return n;
    // The last sixteen again, overlapping, so that no tail is left.
    src += n - 16;
    dst += <usize>(n - 16) << 2;
    return decode.sixteens(src, dst, 16, k, magnitudes, weight, tableLow, tableHigh, rebiasLow, rebiasHigh, negative, maxCode, nanCode)
      ? n
      : whole;
  }

  /** For eight magnitudes, taken as subnormal: BF16 bits of the value minus what every code contributes, (m << (7 - manBits)). */
  @inline private static corrections(low: v128, high: v128, manBits: i32, quantum: v128): v128 {
    const a = i32x4.sub(i32x4.shr_u(f32x4.mul(f32x4.convert_i32x4_s(low), quantum), 16), i32x4.shl(low, 7 - manBits));
    const b = i32x4.sub(i32x4.shr_u(f32x4.mul(f32x4.convert_i32x4_s(high), quantum), 16), i32x4.shl(high, 7 - manBits));
    return i16x8.narrow_i32x4_u(v128.and(a, i32x4.splat(0xffff)), v128.and(b, i32x4.splat(0xffff)));
  }

  /** BF16, eight at a time; n is a multiple of 8. */
  static eights(src: usize, dst: usize, n: i32, factor: f32): void {
    const zero = i32x4.splat(0);
    const k = f32x4.splat(factor);
    const end = src + (<usize>n << 1);
    while (src < end) {
      const codes = v128.load(src);
      v128.store(dst, f32x4.mul(quad.lowPairs(zero, codes), k));
      v128.store(dst, f32x4.mul(quad.highPairs(zero, codes), k), 16);
      src += 16;
      dst += 32;
    }
  }

  static halvesLoop(src: usize, dst: usize, n: i32, factor: f32): void {
    decode.loop(kind.narrow, 2, facts.about<F16>().id, src, dst, n, factor);
  }

  /**
   * float16, eight at a time. A normal number's bits, moved to their place in a float32, are its value times 2^-112, which is normal too. A
   * subnormal's would be subnormal, and infinity's an ordinary number: eights with these, or zeros, go through `loop` with those that
   * follow. 2.5 times as fast, and AdamW on float16 masters 1.2 to 1.3 times.
   */
  static halves(src: usize, dst: usize, n: i32, factor: f32): void {
    const magnitudes = i16x8.splat(0x7fff);
    const least = i16x8.splat(0x400);
    const range = i16x8.splat(0x7bff - 0x400);
    const moved = i32x4.splat(0x8fffe000);
    const k = f32x4.splat(factor * reinterpret<f32>((127 + 112) << 23));
    while (n >= 8) {
      const codes = v128.load(src);
      const above = i16x8.sub(v128.and(codes, magnitudes), least);
      let count = 8;
      if (v128.any_true(i16x8.sub_sat_u(above, range))) {
        count = min(n, 64);
        decode.halvesLoop(src, dst, count, factor);
      } else {
        v128.store(dst, f32x4.mul(v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(codes), 13), moved), k));
        v128.store(dst, f32x4.mul(v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(codes), 13), moved), k), 16);
      }
      src += <usize>count << 1;
      dst += <usize>count << 2;
      n -= count;
    }
    if (n > 0) decode.halvesLoop(src, dst, n, factor);
  }
}

/** A row of any format to float32, times `factor` (exactly 1 keeps the decoded value). */
export function loadRow(dtype: i32, src: usize, dst: usize, n: i32, factor: f32): void {
  const how = kind.of(dtype);
  const bytes = format.bytes(dtype);
  let done = 0;
  if (how === kind.upperHalf) {
    done = n & ~7;
    decode.eights(src, dst, done, factor);
  } else if (how === kind.narrow && bytes === 1) {
    done = decode.bytesRow(dtype, src, dst, n, factor);
  } else if (how === kind.narrow) {
    // For larger factors, 2^112 times the factor could be infinite.
    if (abs(factor) < 32768) decode.halves(src, dst, n, factor);
    else decode.halvesLoop(src, dst, n, factor);
    return;
  }
  if (done === n) return;
  src += done * bytes;
  dst += <usize>done << 2;
  n -= done;
  if (how === kind.whole) decode.loop(kind.whole, 4, dtype, src, dst, n, factor);
  else if (how === kind.upperHalf) decode.loop(kind.upperHalf, 2, dtype, src, dst, n, factor);
  else if (how === kind.powers) decode.loop(kind.powers, 1, dtype, src, dst, n, factor);
  else decode.loop(kind.narrow, 1, dtype, src, dst, n, factor);
}
