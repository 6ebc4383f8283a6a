/**
 * AdamW (Loshchilov and Hutter, 2019) on states of any format.
 *
 * Order of operations as in "Scaling FP8 training" (authors' optimizer): the step uses the fresh moments, then the stored tensors are
 * rounded, each with one scale MAX / amax of its new values. The amax must be known before the first code is written, so there are
 * two passes, `adamwAmax` and `adamwUpdate`, which compute the same numbers; nothing is kept in float32 between them.
 *
 *   g  = grad * gradScale
 *   m  = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
 *   w  = w decay - rate * m / (sqrt(v) + eps)      rate = lr sqrt(1 - beta2^t) / (1 - beta1^t), decay = 1 - lr * weight_decay
 */

import { ADAMW_ELEMENTS } from '../src/engine/units';
import { loadRow } from './decode';
import { amaxRow, encodeRow } from './encode';
import { bytesOf, rounding } from './formats';
import { fillRandom } from './random';

/** New m, v, w of n elements from `first`, as three rows of scratch. */
function step(
  scratch: usize, first: i32, n: i32, grad: usize, gradScale: f32,
  m: usize, mDtype: i32, mInv: f32, v: usize, vDtype: i32, vInv: f32, w: usize, wDtype: i32, wInv: f32,
  beta1: f32, beta2: f32, rate: f32, eps: f32, decay: f32,
): void {
  const vs = scratch + ADAMW_ELEMENTS * 4;
  const ws = vs + ADAMW_ELEMENTS * 4;
  const gs = ws + ADAMW_ELEMENTS * 4;
  loadRow(mDtype, m + <usize>first * bytesOf(mDtype), scratch, n, mInv);
  loadRow(vDtype, v + <usize>first * bytesOf(vDtype), vs, n, vInv);
  loadRow(wDtype, w + <usize>first * bytesOf(wDtype), ws, n, wInv);
  loadRow(0, grad + (<usize>first << 2), gs, n, gradScale);
  const b1 = f32x4.splat(beta1);
  const b2 = f32x4.splat(beta2);
  const c1 = f32x4.splat(1 - beta1);
  const c2 = f32x4.splat(1 - beta2);
  for (let i = 0; i < n << 2; i += 16) {
    const g = v128.load(gs + i);
    const mi = f32x4.add(f32x4.mul(v128.load(scratch + i), b1), f32x4.mul(g, c1));
    const vi = f32x4.add(f32x4.mul(v128.load(vs + i), b2), f32x4.mul(f32x4.mul(g, g), c2));
    const update = f32x4.div(f32x4.mul(mi, f32x4.splat(rate)), f32x4.add(f32x4.sqrt(vi), f32x4.splat(eps)));
    v128.store(scratch + i, mi);
    v128.store(vs + i, vi);
    v128.store(ws + i, f32x4.sub(f32x4.mul(v128.load(ws + i), f32x4.splat(decay)), update));
  }
}

/** Units: ADAMW_ELEMENTS elements. Per unit, out gets 4 words: the bits of the largest new |m|, |v|, |w|, and 0. */
export function adamwAmax(
  begin: i32, end: i32, scratch: usize,
  total: i32, grad: usize, gradScale: f32,
  m: usize, mDtype: i32, mInv: f32, v: usize, vDtype: i32, vInv: f32, w: usize, wDtype: i32, wInv: f32,
  beta1: f32, beta2: f32, rate: f32, eps: f32, decay: f32, out: usize,
): void {
  for (let unit = begin; unit < end; unit++) {
    const first = unit * ADAMW_ELEMENTS;
    const n = min(ADAMW_ELEMENTS, total - first);
    step(scratch, first, n, grad, gradScale, m, mDtype, mInv, v, vDtype, vInv, w, wDtype, wInv, beta1, beta2, rate, eps, decay);
    const slot = out + (unit << 4);
    store<u32>(slot, amaxRow(scratch, n));
    store<u32>(slot, amaxRow(scratch + ADAMW_ELEMENTS * 4, n), 4);
    store<u32>(slot, amaxRow(scratch + ADAMW_ELEMENTS * 8, n), 8);
    store<u32>(slot, 0, 12);
  }
}

/**
 * Units: ADAMW_ELEMENTS elements. Writes the new m, v, w as value * scale, saturating, rounded by `mode`; stochastic rounding takes its
 * words from streams `stream` (m), `stream` + 1 (v) and `stream` + 2 (w).
 */
export function adamwUpdate(
  begin: i32, end: i32, scratch: usize,
  total: i32, grad: usize, gradScale: f32,
  m: usize, mDtype: i32, mInv: f32, v: usize, vDtype: i32, vInv: f32, w: usize, wDtype: i32, wInv: f32,
  beta1: f32, beta2: f32, rate: f32, eps: f32, decay: f32, mScale: f32, vScale: f32, wScale: f32,
  mode: i32, stream: u32, time: u32, seedLow: u32, seedHigh: u32,
): void {
  const vs = scratch + ADAMW_ELEMENTS * 4;
  const ws = vs + ADAMW_ELEMENTS * 4;
  const words = ws + ADAMW_ELEMENTS * 8;
  const random = mode === rounding.stochastic;
  for (let unit = begin; unit < end; unit++) {
    const first = unit * ADAMW_ELEMENTS;
    const n = min(ADAMW_ELEMENTS, total - first);
    step(scratch, first, n, grad, gradScale, m, mDtype, mInv, v, vDtype, vInv, w, wDtype, wInv, beta1, beta2, rate, eps, decay);
    if (random) fillRandom(words, first, n, stream, time, seedLow, seedHigh);
    encodeRow(mDtype, scratch, m + <usize>first * bytesOf(mDtype), n, mScale, words, mode, true, 0);
    if (random) fillRandom(words, first, n, stream + 1, time, seedLow, seedHigh);
    encodeRow(vDtype, vs, v + <usize>first * bytesOf(vDtype), n, vScale, words, mode, true, 0);
    if (random) fillRandom(words, first, n, stream + 2, time, seedLow, seedHigh);
    encodeRow(wDtype, ws, w + <usize>first * bytesOf(wDtype), n, wScale, words, mode, true, 0);
  }
}
