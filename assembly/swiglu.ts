/**
 * SwiGLU and Smooth-SwiGLU ("Scaling FP8 training to trillion-token LLMs", section 4): y = silu(gate) * up / s, encoded in the same pass.
 *
 *   plain    s = 1
 *   token    s = max |up| over the row, rounded up to a power of two, so that / s and the later * s are exact; 1 for an all-zero row
 *   channel  s given per channel (a power of two), undone in the columns of the down projection
 *
 * Each row of `gateUp` holds F gates, then F ups. F is a multiple of 4.
 */

import { STATS_BYTES, SWIGLU_ROWS } from '../src/engine/units';
import { loadRow } from './decode';
import { amaxRow, encodeRow, storeRow } from './encode';
import { format, rounding } from './formats';
import { lanes } from './lanes';
import { math } from './math';
import { multiplyRow } from './quantize';
import { twice } from './twice';

/** The smallest power of two not below the largest |up|, clamped to float32's normal range; 1 for 0, infinity and NaN. */
function smoothingScale(largest: u32): f32 {
  if (largest === 0 || largest >= 0x7f800000) return 1;
  const up = (largest + 0x7fffff) & 0x7f800000;
  return reinterpret<f32>(min<u32>(max<u32>(up, 1 << 23), 253 << 23));
}

/**
 * Units: SWIGLU_ROWS rows. rowScale (rows), unless 0, gets s per token. channelInv (F), unless 0, holds 1/s per channel. channelAmax
 * (units, F) u32, unless 0, gets the bits of the unit's largest |silu(gate) * up| per channel. dst1 gets y * scale1 in format1, dst2
 * (unless 0) y * scale2 in format2, both nearest-even, and saturating where FP8. stats per unit: amax bits of y, saturated, underflowed (of
 * format1); 0.
 */
export function swigluForward(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, gateUp: usize, rows: i32, width: i32, rowScale: usize, channelInv: usize, channelAmax: usize,
  dst1: usize, format1: i32, scale1: f32, dst2: usize, format2: i32, scale2: f32, stats: usize,
): void {
  const size = <usize>width << 2;
  const bytes = format.bytes(dtype);
  const ups = scratch + size;
  const spare = ups + size;
  for (let unit = begin; unit < end; unit++) {
    const slot = stats + unit * STATS_BYTES;
    memory.fill(slot, 0, STATS_BYTES);
    const peaks = channelAmax ? channelAmax + <usize>unit * size : 0;
    if (peaks) memory.fill(peaks, 0, size);
    const last = min(rows, (unit + 1) * SWIGLU_ROWS);
    for (let row = unit * SWIGLU_ROWS; row < last; row++) {
      const from = gateUp + <usize>row * 2 * width * bytes;
      loadRow(dtype, from, scratch, 2 * width, 1);
      let inverse: f32 = 1;
      if (rowScale) {
        const s = smoothingScale(amaxRow(ups, width));
        store<f32>(rowScale + (row << 2), s);
        inverse = <f32>1 / s;
      }
      math.sigmoids(scratch, scratch, width, spare, true, ups, f32x4.splat(inverse));
      if (peaks) {
        for (let i: usize = 0; i < size; i += 16) {
          v128.store(peaks + i, i32x4.max_u(v128.load(peaks + i), lanes.abs(v128.load(scratch + i))));
        }
      }
      if (channelInv) multiplyRow(scratch, channelInv, width);
      const at = <usize>row * width;
      const to1 = dst1 + at * format.bytes(format1);
      const to2 = dst2 ? dst2 + at * format.bytes(format2) : 0;
      if (dst2 && twice.row(scratch, width, to1, format1, scale1, to2, format2, scale2, slot)) continue;
      store<u32>(slot, max(load<u32>(slot), amaxRow(scratch, width)));
      encodeRow(format1, scratch, to1, width, scale1, 0, rounding.tiesToEven, format.saturates(format1), slot + 4);
      if (dst2) encodeRow(format2, scratch, to2, width, scale2, 0, rounding.tiesToEven, format.saturates(format2), 0);
    }
  }
}

/**
 * Units: rows. dGateUp from dy, the gradient of the (smoothed) y, with s taken as a constant, as in the authors' code: dup = dy *
 * silu(gate) / s, dgate = dy * (up / s) * sig * (1 + gate * (1 - sig)). dGateUp may be gateUp.
 */
export function swigluBackward(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, dy: usize, gateUp: usize, width: i32, rowScale: usize, channelInv: usize, dGateUp: usize,
): void {
  const size = <usize>width << 2;
  const bytes = format.bytes(dtype);
  const ups = scratch + size;
  const dys = ups + size;
  const sigmoids = dys + size;
  const one = f32x4.splat(1);
  for (let row = begin; row < end; row++) {
    const at = <usize>row * 2 * width * bytes;
    loadRow(dtype, gateUp + at, scratch, 2 * width, 1);
    loadRow(dtype, dy + <usize>row * width * bytes, dys, width, rowScale ? <f32>1 / load<f32>(rowScale + (row << 2)) : 1);
    math.sigmoidRow(scratch, sigmoids, width, sigmoids + size);
    for (let i: usize = 0; i < size; i += 16) {
      const g = v128.load(scratch + i);
      const sig = v128.load(sigmoids + i);
      let d = v128.load(dys + i);
      if (channelInv) d = f32x4.mul(d, v128.load(channelInv + i));
      const slope = f32x4.mul(sig, f32x4.add(one, f32x4.mul(g, f32x4.sub(one, sig))));
      v128.store(scratch + i, f32x4.mul(f32x4.mul(d, v128.load(ups + i)), slope));
      v128.store(ups + i, f32x4.mul(d, f32x4.mul(g, sig)));
    }
    storeRow(dtype, scratch, dGateUp + at, 2 * width);
  }
}
