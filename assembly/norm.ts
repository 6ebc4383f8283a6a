/** RMSNorm (Zhang and Sennrich, 2019): y = x / sqrt(mean(x^2) + eps) * gain, over rows of C channels. */

import { NORM_ROWS } from '../src/engine/units';
import { loadRow } from './decode';
import { storeRow } from './encode';
import { format } from './formats';
import { lanes } from './lanes';

/** Units: rows. x, y (rows, C) in dtype, C a multiple of 4; gain (C) float32; rstd (rows) float32, cached for the backward pass. */
export function normForward(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, x: usize, gain: usize, y: usize, rstd: usize, channels: i32, eps: f32,
): void {
  const size = channels << 2;
  const stride = <usize>channels * format.bytes(dtype);
  for (let row = begin; row < end; row++) {
    loadRow(dtype, x + <usize>row * stride, scratch, channels, 1);
    let squares = f32x4.splat(0);
    for (let i = 0; i < size; i += 16) {
      const v = v128.load(scratch + i);
      squares = f32x4.add(f32x4.mul(v, v), squares);
    }
    const r: f32 = <f32>1 / sqrt<f32>(lanes.sum(squares) / <f32>channels + eps);
    store<f32>(rstd + (row << 2), r);
    const k = f32x4.splat(r);
    for (let i = 0; i < size; i += 16) {
      v128.store(scratch + i, f32x4.mul(f32x4.mul(v128.load(scratch + i), k), v128.load(gain + i)));
    }
    storeRow(dtype, scratch, y + <usize>row * stride, channels);
  }
}

/**
 * Units: NORM_ROWS rows. dx = dres + rstd * (gain * dy - xhat * mean(gain * dy * xhat)), with xhat = x * rstd; dres is the gradient that
 * reaches x around the norm (the residual branch). Partial sums of dgain = sum dy * xhat go to dgain[unit][C].
 */
export function normBackward(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, dy: usize, x: usize, gain: usize, rstd: usize, dres: usize, dx: usize, dgain: usize, rows: i32, channels: i32,
): void {
  const size = channels << 2;
  const stride = <usize>channels * format.bytes(dtype);
  const xs = scratch;
  const dys = scratch + size;
  const res = dys + size;
  for (let unit = begin; unit < end; unit++) {
    const sums = dgain + <usize>unit * size;
    memory.fill(sums, 0, size);
    const last = min(rows, (unit + 1) * NORM_ROWS);
    for (let row = unit * NORM_ROWS; row < last; row++) {
      const r = load<f32>(rstd + (row << 2));
      loadRow(dtype, x + <usize>row * stride, xs, channels, r);
      loadRow(dtype, dy + <usize>row * stride, dys, channels, 1);
      loadRow(dtype, dres + <usize>row * stride, res, channels, 1);
      let dot = f32x4.splat(0);
      for (let i = 0; i < size; i += 16) {
        const xhat = v128.load(xs + i);
        const d = v128.load(dys + i);
        const product = f32x4.mul(d, xhat);
        v128.store(sums + i, f32x4.add(v128.load(sums + i), product));
        dot = f32x4.add(f32x4.mul(product, v128.load(gain + i)), dot);
      }
      const mean = f32x4.splat(lanes.sum(dot) / <f32>channels);
      const k = f32x4.splat(r);
      for (let i = 0; i < size; i += 16) {
        const g = f32x4.mul(v128.load(dys + i), v128.load(gain + i));
        const inner = f32x4.sub(g, f32x4.mul(v128.load(xs + i), mean));
        v128.store(res + i, f32x4.add(v128.load(res + i), f32x4.mul(inner, k)));
      }
      storeRow(dtype, res, dx + <usize>row * stride, channels);
    }
  }
}
