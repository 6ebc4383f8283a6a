/** Elementary functions on four float32 lanes, from strict operations only, so that every engine gives the same bits. */

export abstract class math {
  /**
   * e^x. Error below 1.5 ulp on [-87, 88] (measured in test/kernels.test.ts); exactly 0 below -87, where softmax masks with -infinity;
   * clamped at 88.37; NaN stays NaN. x = n ln 2 + r with |r| <= 0.347, e^r by its Taylor sum to r^7 (remainder 5e-9), times 2^n.
   */
  @inline static exp(x: v128): v128 {
    const clamped = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.0)), f32x4.splat(88.37));
    const n = f32x4.nearest(f32x4.mul(clamped, f32x4.splat(<f32>Math.LOG2E)));
    // ln 2 in two parts: the first has 15 significand bits, so n * it is exact.
    let r = f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(0.693145751953125)));
    r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(1.42860677e-6)));
    let p = f32x4.splat(1.0 / 5040.0);
    p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 720.0));
    p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 120.0));
    p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 24.0));
    p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 6.0));
    p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
    p = f32x4.add(f32x4.mul(f32x4.mul(p, r), r), r);
    p = f32x4.add(p, f32x4.splat(1.0));
    const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
    // A NaN passes the clamp (pmin and pmax keep their first operand where the comparison is false), so it survives here.
    return v128.andnot(f32x4.mul(p, power), f32x4.lt(x, f32x4.splat(-87.0)));
  }

  /** 1 / (1 + e^-x). */
  @inline static sigmoid(x: v128): v128 {
    const one = f32x4.splat(1.0);
    return f32x4.div(one, f32x4.add(one, math.exp(f32x4.neg(x))));
  }
}
