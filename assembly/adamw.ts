/**
 * AdamW (Loshchilov and Hutter, 2019) on states of any format.
 *
 * Order of operations as in "Scaling FP8 training" (authors' optimizer): the step uses the fresh moments, then the stored tensors are
 * rounded, each with one scale MAX / amax of its new values. As amax must be known before the first code is written, there are two passes,
 * `adamwAmax` and `adamwUpdate`, which compute the same numbers; nothing is kept in float32 between them. The first skips what cannot exceed
 * the largest so far (adamw-bound.ts): 19 -> 6 ms of a step of 2,900 with 10.7 M parameters, on an EPYC. Moments may instead have scales
 * for groups of elements (moments.ts): mScales and vScales are their addresses or 0, and `group` divides ADAMW_ELEMENTS.
 *
 *   g  = grad * gradScale
 *   m  = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
 *   w  = w decay - rate * m / (sqrt(v) + eps)      rate = lr sqrt(1 - beta2^t) / (1 - beta1^t), decay = 1 - lr * weight_decay
 */

import { ADAMW_AMAX_WORDS, ADAMW_ELEMENTS } from '../src/engine/units';
import { bound } from './adamw-bound';
import { loadRow } from './decode';
import { amaxRow, encodeRow } from './encode';
import { format, rounding } from './formats';
import { lanes, splat } from './lanes';
import { moments } from './moments';
import { fillRandom } from './random';

abstract class update {
  /**
   * New m, v, w of n elements from `first` on. Where `peaks`, `out` gets three words, the bits of the largest magnitude of each; else
   * scratch gets the values, as three rows.
   */
  @inline static run(
    scratch: usize, first: i32, n: i32, grad: usize, gradScale: f32,
    m: usize, mDtype: i32, mInv: f32, v: usize, vDtype: i32, vInv: f32, w: usize, wDtype: i32, wInv: f32,
    beta1: f32, beta2: f32, rate: f32, eps: f32, decay: f32, mScales: usize, vScales: usize, group: i32, expanded: i32, peaks: bool, out: usize,
  ): void {
    const vs = scratch + ADAMW_ELEMENTS * 4;
    const ws = vs + ADAMW_ELEMENTS * 4;
    const gs = grad + (<usize>first << 2);
    const number = group ? <usize>(first / group) * moments.bytes(expanded) : 0;
    moments.load(mDtype, m + <usize>first * format.bytes(mDtype), scratch, n, mInv, mScales ? mScales + number : 0, group, expanded);
    moments.load(vDtype, v + <usize>first * format.bytes(vDtype), vs, n, vInv, vScales ? vScales + number : 0, group, expanded);
    loadRow(wDtype, w + <usize>first * format.bytes(wDtype), ws, n, wInv);
    const k = f32x4.splat(gradScale);
    const b1 = f32x4.splat(beta1);
    const b2 = f32x4.splat(beta2);
    const c1 = f32x4.splat(1 - beta1);
    const c2 = f32x4.splat(1 - beta2);
    const r4 = f32x4.splat(rate);
    const e4 = f32x4.splat(eps);
    const d4 = f32x4.splat(decay);
    const whole = (n & ~3) << 2;
    const absolute = splat.words(0x7fffffff);
    // The last vector may reach past the end, into the next row or beyond the tensor.
    const rest = v128.and(absolute, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n & 3)));
    let mMost = i32x4.splat(0);
    let vMost = mMost;
    let wMost = mMost;
    for (let i = 0; i < n << 2; i += 16) {
      const g = f32x4.mul(v128.load(gs + i), k);
      const mi = f32x4.add(f32x4.mul(v128.load(scratch + i), b1), f32x4.mul(g, c1));
      const vi = f32x4.add(f32x4.mul(v128.load(vs + i), b2), f32x4.mul(f32x4.mul(g, g), c2));
      const wi = f32x4.sub(f32x4.mul(v128.load(ws + i), d4), f32x4.div(f32x4.mul(mi, r4), f32x4.add(f32x4.sqrt(vi), e4)));
      if (peaks) {
        const magnitudes = i < whole ? absolute : rest;
        mMost = i32x4.max_u(mMost, v128.and(mi, magnitudes));
        vMost = i32x4.max_u(vMost, v128.and(vi, magnitudes));
        wMost = i32x4.max_u(wMost, v128.and(wi, magnitudes));
      } else {
        v128.store(scratch + i, mi);
        v128.store(vs + i, vi);
        v128.store(ws + i, wi);
      }
    }
    if (peaks) {
      store<u32>(out, lanes.maxU32(mMost));
      store<u32>(out, lanes.maxU32(vMost), 4);
      store<u32>(out, lanes.maxU32(wMost), 8);
    }
  }
}

/**
 * Units: ADAMW_ELEMENTS elements. Per unit, out gets 4 words: the bits of the largest new |m|, |v|, |w|, and 0; or zeros, if none of these
 * exceeds those of earlier units in the call. Only the largest of all units does not depend on how they are cut.
 */
export function adamwAmax(
  begin: i32, end: i32, scratch: usize,
  total: i32, grad: usize, gradScale: f32,
  m: usize, mDtype: i32, mInv: f32, v: usize, vDtype: i32, vInv: f32, w: usize, wDtype: i32, wInv: f32,
  beta1: f32, beta2: f32, rate: f32, eps: f32, decay: f32, mScales: usize, vScales: usize, group: i32, expanded: i32, out: usize,
): void {
  const bounded = !mScales && !vScales && bound.takes(mDtype, vDtype, wDtype, eps);
  let most = i32x4.splat(0);
  for (let unit = begin; unit < end; unit++) {
    const first = unit * ADAMW_ELEMENTS;
    const n = min(ADAMW_ELEMENTS, total - first);
    const slot = out + unit * ADAMW_AMAX_WORDS * 4;
    memory.fill(slot, 0, ADAMW_AMAX_WORDS * 4);
    if (bounded && n === ADAMW_ELEMENTS && v128.any_true(most)) {
      const peak = reinterpret<f32>(amaxRow(grad + (<usize>first << 2), n)) * abs(gradScale);
      const reach = bound.of(
        scratch, n, peak, m + first, mDtype, mInv, v + first, vDtype, vInv, w + (<usize>first << 1), wDtype, wInv, beta1, beta2, rate, decay,
      );
      if (!v128.any_true(i32x4.gt_u(reach, most))) continue;
    }
    update.run(
      scratch, first, n, grad, gradScale, m, mDtype, mInv, v, vDtype, vInv, w, wDtype, wInv, beta1, beta2, rate, eps, decay,
      mScales, vScales, group, expanded, true, slot,
    );
    most = i32x4.max_u(most, v128.load(slot));
  }
}

/**
 * Units: ADAMW_ELEMENTS elements. Writes the new m, v, w as value * scale, saturating; m and v are rounded by `mode`, w by `wMode`.
 * Stochastic rounding takes its words from streams `stream` (m), `stream` + 1 (v) and `stream` + 2 (w).
 */
export function adamwUpdate(
  begin: i32, end: i32, scratch: usize,
  total: i32, grad: usize, gradScale: f32,
  m: usize, mDtype: i32, mInv: f32, v: usize, vDtype: i32, vInv: f32, w: usize, wDtype: i32, wInv: f32,
  beta1: f32, beta2: f32, rate: f32, eps: f32, decay: f32, mScales: usize, vScales: usize, group: i32, expanded: i32,
  mScale: f32, vScale: f32, wScale: f32,
  mode: i32, wMode: i32, stream: u32, time: u32, seedLow: u32, seedHigh: u32,
): void {
  const vs = scratch + ADAMW_ELEMENTS * 4;
  const ws = vs + ADAMW_ELEMENTS * 4;
  const words = ws + ADAMW_ELEMENTS * 4;
  const random = mode === rounding.stochastic;
  for (let unit = begin; unit < end; unit++) {
    const first = unit * ADAMW_ELEMENTS;
    const n = min(ADAMW_ELEMENTS, total - first);
    update.run(
      scratch, first, n, grad, gradScale, m, mDtype, mInv, v, vDtype, vInv, w, wDtype, wInv, beta1, beta2, rate, eps, decay,
      mScales, vScales, group, expanded, false, 0,
    );
    const number = group ? <usize>(first / group) * moments.bytes(expanded) : 0;
    if (random) fillRandom(words, first, n, false, stream, time, seedLow, seedHigh);
    moments.store(
      mDtype, scratch, m + <usize>first * format.bytes(mDtype), n, mScale, mScales ? mScales + number : 0, group, expanded, words, mode,
    );
    if (random) fillRandom(words, first, n, false, stream + 1, time, seedLow, seedHigh);
    moments.store(
      vDtype, vs, v + <usize>first * format.bytes(vDtype), n, vScale, vScales ? vScales + number : 0, group, expanded, words, mode,
    );
    if (wMode === rounding.stochastic) fillRandom(words, first, n, false, stream + 2, time, seedLow, seedHigh);
    encodeRow(wDtype, ws, w + <usize>first * format.bytes(wDtype), n, wScale, words, wMode, true, 0);
  }
}
