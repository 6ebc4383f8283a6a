/** Elementary functions on four float32 lanes, from strict operations only, so that every engine gives the same bits. */

import { EXP_STEP } from '../src/engine/units';

/**
 * The constants of exp, four lanes each. Loaded, since V8 rebuilds a v128 constant at every use (two or three instructions): SwiGLU is 1.15
 * and attention 1.05 times as fast on Node 26; no difference on Node 20.
 */
const EXP = memory.data<f32>([
  87.0, 87.0, 87.0, 87.0,
  -88.37, -88.37, -88.37, -88.37,
  1.44269504, 1.44269504, 1.44269504, 1.44269504, // log2 e
  12582912.0, 12582912.0, 12582912.0, 12582912.0, // 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits
  // ln 2 in two parts: the first has 15 significand bits, so an integer below 2^9 times it is exact.
  0.693145751953125, 0.693145751953125, 0.693145751953125, 0.693145751953125,
  1.42860677e-6, 1.42860677e-6, 1.42860677e-6, 1.42860677e-6,
  0.693147181, 0.693147181, 0.693147181, 0.693147181, // ln 2
  // e^r - 1 - r = r^2 (a + b r + c r^2 + ...), coefficients from the highest degree down.
  1.38145401e-3, 1.38145401e-3, 1.38145401e-3, 1.38145401e-3,
  8.3687452e-3, 8.3687452e-3, 8.3687452e-3, 8.3687452e-3,
  4.16683908e-2, 4.16683908e-2, 4.16683908e-2, 4.16683908e-2,
  0.166665204, 0.166665204, 0.166665204, 0.166665204,
  0.499999934, 0.499999934, 0.499999934, 0.499999934,
  1.0, 1.0, 1.0, 1.0,
], 16);

/** The bits of 1 (127 << 23), four times. */
const ONE = EXP + 12 * 16;
/** Bytes from a step's first numbers in scratch to its second. */
const STEP: usize = EXP_STEP * 4;

export abstract class math {
  /**
   * e^-x. Error below 1 ulp on [-88, 87] (measured: every float32 with |x| >= 2^-12; test/math.test.ts samples); exactly 0 above 87;
   * clamped at -88.37; NaN stays NaN. -x = n ln 2 - r with |r| <= 0.347. Of -x rather than x, as sigmoids need it: they would negate it.
   */
  @inline static expMinus(x: v128): v128 {
    const magic = v128.load(EXP, 48);
    const clamped = math.clamped(x, v128.load(EXP), v128.load(EXP, 16));
    const shifted = math.shifted(clamped, v128.load(EXP, 32), magic);
    const r = math.rest(clamped, shifted, magic, v128.load(EXP, 64), v128.load(EXP, 80));
    return v128.andnot(math.scaled(r, shifted), f32x4.gt(x, v128.load(EXP)));
  }

  // NaN passes: pmin and pmax keep their first operand where the comparison is false.
  @inline private static clamped(x: v128, most: v128, least: v128): v128 {
    return f32x4.pmax(f32x4.pmin(x, most), least);
  }

  @inline private static shifted(x: v128, log2e: v128, magic: v128): v128 {
    return f32x4.sub(magic, f32x4.mul(x, log2e));
  }

  @inline private static rest(x: v128, shifted: v128, magic: v128, high: v128, low: v128): v128 {
    const n = f32x4.sub(shifted, magic);
    return f32x4.add(f32x4.add(x, f32x4.mul(n, high)), f32x4.mul(n, low));
  }

  /**
   * 2^x for x in [least, 127], least of -126 or more; 2^least below that; NaN stays NaN. Error below 1.01 ulp (measured likewise). It needs
   * no reduction in two parts and no upper clamp: attention is 1.1 (D = 64) to 1.15 (D = 32) times as fast as with `exp`.
   */
  @inline static exp2(x: v128, least: v128): v128 {
    const clamped = f32x4.pmax(x, least);
    const magic = v128.load(EXP, 48);
    const shifted = f32x4.add(clamped, magic);
    return math.scaled(math.rest2(clamped, shifted, magic, v128.load(EXP, 96)), shifted);
  }

  /** `rest` for base 2, x = n - r / ln 2. */
  @inline private static rest2(x: v128, shifted: v128, magic: v128, ln2: v128): v128 {
    return f32x4.mul(f32x4.sub(f32x4.sub(shifted, magic), x), ln2);
  }

  /**
   * Replaces rows of eight x by 2^(k x - offset), 0 where that is below 2^least; `offset0` is for the first four, `offset1` for the others. Scratch
   * holds a step. In loops as those of `sigmoids`, for the same reason: attention takes 0.95 of the time backward and 0.99
   * forward, with turbo 0.87 and 0.92.
   */
  static exp2Rows(p: usize, rows: i32, scratch: usize, k: v128, offset0: v128, offset1: v128, least: v128): void {
    const magic = v128.load(EXP, 48), ln2 = v128.load(EXP, 96), one = v128.load(ONE);
    for (const end = p + (<usize>rows << 5); p < end;) {
      const size = min<usize>(end - p, STEP);
      for (let i: usize = 0; i < size; i += 32) {
        const x0 = f32x4.sub(f32x4.mul(v128.load(p + i), k), offset0);
        const x1 = f32x4.sub(f32x4.mul(v128.load(p + i, 16), k), offset1);
        const clamped0 = f32x4.pmax(x0, least);
        const clamped1 = f32x4.pmax(x1, least);
        const shifted0 = f32x4.add(clamped0, magic);
        const shifted1 = f32x4.add(clamped1, magic);
        v128.store(p + i, math.rest2(clamped0, shifted0, magic, ln2));
        v128.store(p + i, math.rest2(clamped1, shifted1, magic, ln2), 16);
        v128.store(scratch + i, v128.andnot(math.powerOf(shifted0, one), f32x4.lt(x0, least)));
        v128.store(scratch + i, v128.andnot(math.powerOf(shifted1, one), f32x4.lt(x1, least)), 16);
      }
      math.polynomials(p, size);
      for (let i: usize = 0; i < size; i += 16) v128.store(p + i, f32x4.mul(v128.load(p + i), v128.load(scratch + i)));
      p += size;
    }
  }

  /** e^-r 2^n for |r| <= 0.347, n in the low bits of `shifted`. */
  @inline static scaled(r: v128, shifted: v128): v128 {
    const one = v128.load(ONE);
    const p = math.polynomial(
      r, v128.load(EXP, 112), v128.load(EXP, 128), v128.load(EXP, 144), v128.load(EXP, 160), v128.load(EXP, 176), one,
    );
    return f32x4.mul(p, math.powerOf(shifted, one));
  }

  /** e^-r for |r| <= 0.347, by the polynomial of degree 6 with the smallest relative error, 3.1e-9; Taylor's of degree 7 has 5e-9. */
  @inline private static polynomial(r: v128, a: v128, b: v128, c: v128, d: v128, e: v128, one: v128): v128 {
    let p = f32x4.sub(b, f32x4.mul(a, r));
    p = f32x4.sub(c, f32x4.mul(p, r));
    p = f32x4.sub(d, f32x4.mul(p, r));
    p = f32x4.sub(e, f32x4.mul(p, r));
    return f32x4.add(f32x4.sub(f32x4.mul(f32x4.mul(p, r), r), r), one);
  }

  /** 2^n: n's low bits move to the exponent; the rest of `shifted` is shifted out. */
  @inline private static powerOf(shifted: v128, one: v128): v128 {
    return i32x4.add(i32x4.shl(shifted, 23), one);
  }

  /**
   * log2 x for positive normal x, with a relative error below 2^-22 (test/math.test.ts). x = 2^e m with m from sqrt(1/2) to sqrt(2);
   * ln m = 2 artanh s, s = (m - 1) / (m + 1), by its series to s^9.
   */
  @inline static log2(x: v128): v128 {
    const one = v128.load(ONE);
    const e = i32x4.shr_s(i32x4.sub(x, i32x4.splat(0x3f3504f3)), 23);
    const m = i32x4.sub(x, i32x4.shl(e, 23));
    const s = f32x4.div(f32x4.sub(m, one), f32x4.add(m, one));
    const z = f32x4.mul(s, s);
    let p = f32x4.splat(0.111111112);
    p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.142857149));
    p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.200000003));
    p = f32x4.add(f32x4.mul(p, z), f32x4.splat(0.333333343));
    p = f32x4.add(s, f32x4.mul(f32x4.mul(p, z), s));
    return f32x4.add(f32x4.convert_i32x4_s(e), f32x4.mul(p, f32x4.splat(2.88539004))); // 2 log2 e
  }

  /**
   * n float32, n a multiple of 4: 1 / (1 + e^-x), or where `silu`, x / (1 + e^-x) * (up * k), with n more at `ups`. dst may be src. Scratch is 2 STEP
   * bytes. Where e^-x would be 0, e^-87 gives the same sum.
   *
   * In three short loops over some numbers, whose constants stay in registers. In a single one, each vector's chain of 25 operations that wait
   * for one another fills a core's schedulers, two vectors at each step or one: the same work takes 1.4 times as long on an EPYC.
   */
  @inline static sigmoids(src: usize, dst: usize, n: i32, scratch: usize, silu: bool, ups: usize, k: v128): void {
    const one = v128.load(ONE);
    for (const end = src + (<usize>n << 2); src < end;) {
      const size = min<usize>(end - src, STEP);
      math.reduce(src, scratch, size);
      math.polynomials(scratch, size);
      for (let i: usize = 0; i < size; i += 16) {
        const e = f32x4.mul(v128.load(scratch + i), v128.load(scratch + i, STEP));
        let y = f32x4.div(one, f32x4.add(one, e));
        if (silu) y = f32x4.mul(f32x4.mul(v128.load(src + i), y), f32x4.mul(v128.load(ups + i), k));
        v128.store(dst + i, y);
      }
      src += size;
      dst += size;
      ups += size;
    }
  }

  private static reduce(src: usize, scratch: usize, size: usize): void {
    const most = v128.load(EXP), least = v128.load(EXP, 16), log2e = v128.load(EXP, 32), magic = v128.load(EXP, 48);
    const high = v128.load(EXP, 64), low = v128.load(EXP, 80), one = v128.load(ONE);
    for (let i: usize = 0; i < size; i += 16) {
      const x = math.clamped(v128.load(src + i), most, least);
      const shifted = math.shifted(x, log2e, magic);
      v128.store(scratch + i, math.rest(x, shifted, magic, high, low));
      v128.store(scratch + i, math.powerOf(shifted, one), STEP);
    }
  }

  private static polynomials(scratch: usize, size: usize): void {
    const a = v128.load(EXP, 112), b = v128.load(EXP, 128), c = v128.load(EXP, 144), d = v128.load(EXP, 160), e = v128.load(EXP, 176);
    const one = v128.load(ONE);
    for (let i: usize = 0; i < size; i += 16) v128.store(scratch + i, math.polynomial(v128.load(scratch + i), a, b, c, d, e, one));
  }

  static sigmoidRow(src: usize, dst: usize, n: i32, scratch: usize): void {
    math.sigmoids(src, dst, n, scratch, false, 0, i32x4.splat(0));
  }
}
