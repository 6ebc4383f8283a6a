/** Codes to float32: four lanes, and whole rows. Exact for every format here. */
import { BF16, E4M3, E4M3FN, E5M2, F16, F32, facts } from './formats';
import { lanes } from './lanes';

export abstract class decode {
  /** Four codes, zero-extended to 32 bits, from p. Reads four codes whatever the caller keeps: buffers are padded for that. */
  @inline static load<F>(p: usize): v128 {
    const f = facts.about<F>();
    if (f.bytes === 4) return v128.load(p);
    if (f.bytes === 2) return v128.load_ext<u16>(p);
    return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(p)));
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

  /** Whether `eight` knows the format: one byte, or BF16. Each value of these is a BF16 value. */
  @inline static narrow<F>(): bool {
    const f = facts.about<F>();
    return f.bytes === 1 || (f.bytes === 2 && f.expBits === 8);
  }

  /**
   * Eight GEMM operands as BF16 lanes: half the work of `operand`, since eight 16-bit lanes take the place of four 32-bit ones
   * (whole GEMMs of the demo's shapes from E4M3: 1.08 times as fast, Node 20). The first eight codes, which hold all subnormals, come from a table.
   */
  @inline static eight<F>(p: usize, firstCodes: v128): v128 {
    const f = facts.about<F>();
    if (f.bytes === 2) {
      const value = v128.load(p);
      const mag = v128.and(value, i16x8.splat(0x7fff));
      return v128.and(value, i16x8.gt_s(mag, i16x8.splat(((127 - 60) << 7) - 1)));
    }
    const codes = v128.load_ext<u8>(p);
    const magnitudeMask: i32 = (1 << (f.expBits + f.manBits)) - 1;
    const mag = v128.and(codes, i16x8.splat(<i16>magnitudeMask));
    const normal = i16x8.add(i16x8.shl(mag, 7 - f.manBits), i16x8.splat(<i16>((127 - f.bias) << 7)));
    // Bytes 2 mag and 2 mag + 1 of the table; an index past its end gives 0 and is not chosen.
    const index = i16x8.add(i16x8.mul(mag, i16x8.splat(0x0202)), i16x8.splat(0x0100));
    let value = v128.bitselect(i8x16.swizzle(firstCodes, index), normal, i16x8.lt_s(mag, i16x8.splat(8)));
    if (f.infCode < 0) {
      value = v128.or(value, v128.and(i16x8.eq(mag, i16x8.splat(<i16>f.nanCode)), i16x8.splat(0x7fc0)));
    } else {
      value = v128.or(value, v128.and(i16x8.ge_s(mag, i16x8.splat(<i16>f.infCode)), i16x8.splat(0x7f80)));
      value = v128.or(value, v128.and(i16x8.gt_s(mag, i16x8.splat(<i16>f.infCode)), i16x8.splat(0x7fc0)));
    }
    return v128.or(value, v128.and(i16x8.shl(codes, 8), i16x8.splat(<i16>0x8000)));
  }

  /** The table `eight` wants: BF16 bits of codes 0 to 7. */
  @inline static firstCodes<F>(): v128 {
    const low = decode.four<F>(i32x4(0, 1, 2, 3));
    const high = decode.four<F>(i32x4(4, 5, 6, 7));
    return i8x16.shuffle(low, high, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  }

  /** The lower and the upper four of eight BF16 lanes as float32. */
  @inline static low(eight: v128): v128 {
    return i32x4.shl(i32x4.extend_low_i16x8_u(eight), 16);
  }
  @inline static high(eight: v128): v128 {
    return i32x4.shl(i32x4.extend_high_i16x8_u(eight), 16);
  }

  /** n codes to n float32, times a factor. */
  static row<F>(src: usize, dst: usize, n: i32, factor: f32): void {
    const f = facts.about<F>();
    const k = f32x4.splat(factor);
    const whole = n & ~3;
    for (let i = 0; i < whole; i += 4) {
      v128.store(dst + (i << 2), f32x4.mul(decode.four<F>(decode.load<F>(src + i * f.bytes)), k));
    }
    if (n & 3) {
      lanes.storeTail(dst + (whole << 2), f32x4.mul(decode.four<F>(decode.load<F>(src + whole * f.bytes)), k), n & 3);
    }
  }
}

/** A row of any format to float32, times `factor` (exactly 1 keeps the decoded value). */
export function loadRow(dtype: i32, src: usize, dst: usize, n: i32, factor: f32): void {
  if (dtype === facts.about<F32>().id) decode.row<F32>(src, dst, n, factor);
  else if (dtype === facts.about<BF16>().id) decode.row<BF16>(src, dst, n, factor);
  else if (dtype === facts.about<F16>().id) decode.row<F16>(src, dst, n, factor);
  else if (dtype === facts.about<E4M3FN>().id) decode.row<E4M3FN>(src, dst, n, factor);
  else if (dtype === facts.about<E5M2>().id) decode.row<E5M2>(src, dst, n, factor);
  else if (dtype === facts.about<E4M3>().id) decode.row<E4M3>(src, dst, n, factor);
}
