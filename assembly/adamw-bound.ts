/**
 * How large new moments and weights of AdamW can become, from codes and the largest gradient alone: `adamwAmax` skips elements that cannot
 * exceed what it has seen. For float16 weights with moments in E4M3 and E5M2, the states of the recipe `fp8`.
 *
 * m and v: the same operations on the largest magnitudes, as each rounding keeps order. w: by the inequality of Cauchy and Schwarz,
 *
 *   (beta1 m + (1 - beta1) g)^2 <= (beta1^2 / beta2 m^2 / v + (1 - beta1)^2 / (1 - beta2)) (beta2 v + (1 - beta2) g^2)
 *
 * so the largest m^2 / v before the step bounds |m| / sqrt(v) after it. A code is nearly the logarithm of its value; m^2 / v therefore follows
 * from the difference of two codes.
 */

import { loadRow } from './decode';
import { F16, facts, format } from './formats';
import { lanes, splat } from './lanes';

/**
 * For codes a of E4M3 and b > 0 of E5M2, m^2 / v <= SPREAD 2^((a - b) / 4 + bias of v - 2 bias of m) mInv^2 / vInv: m is at most 1.0615
 * 2^(a / 8 - bias), v at least 2^(b / 4 - bias), and 0.42 of that where subnormal. 1.0615^2 / 0.42 = 2.7.
 */
const SPREAD: f32 = 2.8;
/** Rounding errors of all that follows are below a hundredth. */
const SLACK: f32 = 1.01;
/** Where m = v = 0 and g^2 underflows, m / eps must stay below the bound. */
const LEAST_EPS: f32 = 1e-12;

export abstract class bound {
  static takes(mDtype: i32, vDtype: i32, wDtype: i32, eps: f32): bool {
    return format.isSignedByte(mDtype, 3) && format.isSignedByte(vDtype, 2) && wDtype === facts.about<F16>().id && eps >= LEAST_EPS;
  }

  /**
   * Bits of bounds of |m|, |v| and |w|, then 0, for the new values of n elements, a multiple of 16, whose gradients are at most `peak`.
   * All bits are set where there is no finite bound. Needs 32 bytes of scratch.
   */
  static of(
    scratch: usize, n: i32, peak: f32, m: usize, mDtype: i32, mInv: f32, v: usize, vDtype: i32, vInv: f32, w: usize, wDtype: i32, wInv: f32,
    beta1: f32, beta2: f32, rate: f32, decay: f32,
  ): v128 {
    const bytes = splat.bytes(0x7f);
    const pairs = splat.pairs(0x7fff);
    const zero = i32x4.splat(0);
    let mMost = zero;
    let vMost = zero;
    let wMost = zero;
    let apart = splat.bytes(-128);
    let alone = zero;
    for (let i = 0; i < n; i += 16) {
      const a = v128.and(v128.load(m + i), bytes);
      const b = v128.load(v + i);
      mMost = i8x16.max_u(mMost, a);
      vMost = i8x16.max_u(vMost, b);
      apart = i8x16.max_s(apart, i8x16.sub(a, b));
      alone = v128.or(alone, v128.and(i8x16.eq(b, zero), a));
      wMost = i16x8.max_u(wMost, i16x8.max_u(v128.and(v128.load(w + (i << 1)), pairs), v128.and(v128.load(w + (i << 1), 16), pairs)));
    }
    // Infinity, NaN or a sign among the v, or a v that is lost: v = 0 < |m|.
    if (lanes.maxU8(vMost) >= format.infCode(vDtype) || v128.any_true(alone)) return i32x4.splat(-1);
    const ratio = SPREAD * power(lanes.maxU8(i8x16.sub(apart, splat.bytes(-128))) - 128 + 4 * (format.bias(vDtype) - 2 * format.bias(mDtype))) * (mInv / vInv) * mInv;
    const c1: f32 = 1 - beta1;
    const c2: f32 = 1 - beta2;
    const step = SLACK * rate * sqrt<f32>(beta1 * beta1 / beta2 * ratio + c1 * c1 / c2);
    const mNext = value(mDtype, lanes.maxU8(mMost), mInv, scratch) * beta1 + peak * c1;
    const vNext = value(vDtype, lanes.maxU8(vMost), vInv, scratch) * beta2 + peak * peak * c2;
    const wNext = value(wDtype, lanes.maxU16(wMost), wInv, scratch) * abs(decay) + step;
    const bounds = i32x4(reinterpret<i32>(mNext), reinterpret<i32>(vNext), reinterpret<i32>(wNext), 0);
    // What may be infinite may be NaN as well.
    return v128.or(bounds, i32x4.ge_u(bounds, i32x4.splat(0x7f800000)));
  }
}

/** At least 2^(quarters / 4). */
function power(quarters: i32): f32 {
  return reinterpret<f32>((((quarters + 3) >> 2) + 127) << 23);
}

function value(dtype: i32, code: i32, inverse: f32, scratch: usize): f32 {
  store<i32>(scratch, code);
  loadRow(dtype, scratch, scratch + 16, 1, inverse);
  return load<f32>(scratch, 16);
}
