/** Codes to float32: four lanes, and whole rows. Exact for every format here. */
import { facts, format, kind } from './formats';
import { lanes, quad } from './lanes';

export abstract class decode {
  /** Four codes, zero-extended to 32 bits, from p. Reads four codes whatever the caller keeps: buffers are padded for that. */
  @inline static load<F>(p: usize): v128 {
    return decode.codes(p, facts.about<F>().bytes);
  }

  /**
   * Four codes to four float32. A subnormal goes through an integer conversion: "shift the bits, multiply by 2^120" would form
   * float32 denormals, which cost a microcode assist each on Intel.
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
   * BF16 values as operands of a product: magnitudes below 2^-60 read as zero. Then no product of two operands has a bit below 2^-134,
   * every product is exact in float32 (docs/numerics.md, "exact products"), and fused equals unfused without a condition on the data.
   */
  @inline static flushed(value: v128): v128 {
    return v128.and(value, i32x4.gt_s(lanes.abs(value), i32x4.splat(((127 - 60) << 23) - 1)));
  }

  /** Four GEMM operands. */
  @inline static operand<F>(codes: v128): v128 {
    const value = decode.four<F>(codes);
    const f = facts.about<F>();
    return f.expBits === 8 && f.manBits === 7 ? decode.flushed(value) : value;
  }

  /** Eight BF16 codes as GEMM operands: 16-bit lanes, half the work of `operand`. */
  @inline static eight(p: usize): v128 {
    const value = v128.load(p);
    const mag = v128.and(value, i16x8.splat(0x7fff));
    return v128.and(value, i16x8.gt_s(mag, i16x8.splat(((127 - 60) << 7) - 1)));
  }

  /** The lower and the upper four of eight BF16 lanes as float32. */
  @inline static low(eight: v128): v128 {
    return quad.lowPairs(i32x4.splat(0), eight);
  }
  @inline static high(eight: v128): v128 {
    return quad.highPairs(i32x4.splat(0), eight);
  }

  /** Four codes of bytes each, zero-extended. */
  @inline private static codes(p: usize, bytes: i32): v128 {
    if (bytes === 4) return v128.load(p);
    if (bytes === 2) return v128.load_ext<u16>(p);
    return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(p)));
  }

  /** Four codes to float32; everything after `codes` comes from the format, see `loop`. */
  @inline private static any(
    how: i32, codes: v128, magnitudeBits: i32, shift: i32, magnitudes: v128, firstNormal: v128, rebias: v128, quantum: v128,
    maxCode: v128, infCode: v128, nanCode: v128,
  ): v128 {
    if (how === kind.whole) return codes;
    if (how === kind.upper) return i32x4.shl(codes, 16);
    const nan = i32x4.splat(0x7fc00000);
    if (how === kind.powers) {
      // 2^-127, the value of code 0, is a subnormal of float32.
      const least = v128.and(i32x4.eq(codes, i32x4.splat(0)), i32x4.splat(0x00400000));
      return v128.bitselect(nan, v128.or(i32x4.shl(codes, 23), least), i32x4.eq(codes, nanCode));
    }
    const magnitude = v128.and(codes, magnitudes);
    const normal = i32x4.add(i32x4.shl(magnitude, shift), rebias);
    const subnormal = f32x4.mul(f32x4.convert_i32x4_s(magnitude), quantum);
    let value = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, firstNormal));
    // Beyond the largest: infinity where the format has it, else NaN.
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
    const quantum = f32x4.splat(reinterpret<f32>((128 - bias - manBits) << 23));
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

  static row(dtype: i32, src: usize, dst: usize, n: i32, factor: f32): void {
    const how = kind.of(dtype);
    if (how === kind.whole) decode.loop(kind.whole, 4, dtype, src, dst, n, factor);
    else if (how === kind.upper) decode.loop(kind.upper, 2, dtype, src, dst, n, factor);
    else if (how === kind.powers) decode.loop(kind.powers, 1, dtype, src, dst, n, factor);
    else if (format.bytes(dtype) === 2) decode.loop(kind.narrow, 2, dtype, src, dst, n, factor);
    else decode.loop(kind.narrow, 1, dtype, src, dst, n, factor);
  }
}

/** A row of any format to float32, times `factor` (exactly 1 keeps the decoded value). */
export function loadRow(dtype: i32, src: usize, dst: usize, n: i32, factor: f32): void {
  decode.row(dtype, src, dst, n, factor);
}
