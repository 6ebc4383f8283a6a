/**
 * Numbers restricted to fewer bits or a smaller range before a product: bit reduction ("To FP8 and Back Again", arXiv 2405.18710), and
 * clipped outliers.
 */

import { MAGNITUDE_BINS, QUANTIZE_ROWS } from '../src/engine/units';
import { storeRow } from './encode';
import { format } from './formats';
import { lanes } from './lanes';
import { loadFactored } from './quantize';

/** Clips n float32 to the magnitude with the bits `clip`; infinity and NaN stay, so that they show. */
function clipRow(row: usize, n: i32, clip: u32): void {
  const most = i32x4.splat(clip);
  const infinity = i32x4.splat(0x7f800000);
  for (let i = 0; i < n << 2; i += 16) {
    const x = v128.load(row + i);
    const magnitude = lanes.abs(x);
    const less = v128.bitselect(i32x4.min_s(magnitude, most), magnitude, i32x4.lt_s(magnitude, infinity));
    v128.store(row + i, v128.or(less, v128.and(x, i32x4.splat(0x80000000))));
  }
}

/**
 * Rounds n float32 to a format with `expBits` (2 to 8) and `manBits` (0 to 22) bits, built as in IEEE 754: with subnormals, and the largest
 * exponent for infinity and NaN, which stay. Nearest-even or towards zero; what is too large becomes the largest number.
 */
function reduceRow(row: usize, n: i32, expBits: i32, manBits: i32, nearest: bool): void {
  const shift = 23 - manBits;
  const bias = (1 << (expBits - 1)) - 1;
  const mask = i32x4.splat(-1 << shift);
  const half = i32x4.splat(nearest ? (1 << (shift - 1)) - 1 : 0);
  const odd = i32x4.splat(nearest ? 1 : 0);
  const most = i32x4.splat(((127 + bias) << 23) + (((1 << manBits) - 1) << shift));
  // With eight bits of exponent, float32's own subnormals have the right spacing.
  const minNormal = i32x4.splat(expBits === 8 ? 0 : (128 - bias) << 23);
  const quantum = f32x4.splat(reinterpret<f32>((128 - bias - (expBits === 8 ? 0 : manBits)) << 23));
  const inverse = f32x4.splat(reinterpret<f32>((126 + bias + (expBits === 8 ? 0 : manBits)) << 23));
  const infinity = i32x4.splat(0x7f800000);
  for (let i = 0; i < n << 2; i += 16) {
    const x = v128.load(row + i);
    const magnitude = lanes.abs(x);
    const normal = v128.and(i32x4.add(i32x4.add(magnitude, half), v128.and(i32x4.shr_u(magnitude, shift), odd)), mask);
    const quanta = f32x4.mul(magnitude, inverse);
    const subnormal = f32x4.mul(nearest ? f32x4.nearest(quanta) : f32x4.trunc(quanta), quantum);
    const rounded = i32x4.min_s(v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, minNormal)), most);
    const kept = v128.bitselect(rounded, magnitude, i32x4.lt_s(magnitude, infinity));
    v128.store(row + i, v128.or(kept, v128.and(x, i32x4.splat(0x80000000))));
  }
}

/**
 * Units: QUANTIZE_ROWS rows of `columns` of src, `total` elements in all. dst (float32 or BF16; may be src) gets src * srcScale *
 * rowFactor[row] * columnFactor[column] (each factor 0 for none), clipped to the magnitude with the bits `clip` unless 0, and rounded by
 * `reduceRow` unless expBits is 0.
 */
export function restrict(
  begin: i32, end: i32, scratch: usize,
  src: usize, dtype: i32, srcScale: f32, rowFactor: usize, columnFactor: usize, columns: i32, total: i32, dst: usize, dstDtype: i32,
  clip: u32, expBits: i32, manBits: i32, nearest: i32,
): void {
  const rows = (total + columns - 1) / columns;
  const last = min(rows, end * QUANTIZE_ROWS);
  for (let row = begin * QUANTIZE_ROWS; row < last; row++) {
    const first = row * columns;
    const n = min(columns, total - first);
    loadFactored(src + <usize>first * format.bytes(dtype), dtype, srcScale, rowFactor, columnFactor, row, n, scratch);
    if (clip) clipRow(scratch, n, clip);
    if (expBits) reduceRow(scratch, n, expBits, manBits, nearest !== 0);
    storeRow(dstDtype, scratch, dst + <usize>first * format.bytes(dstDtype), n);
  }
}

/** Units as for `restrict`. out (units, MAGNITUDE_BINS) u32: a unit's |src * srcScale * rowFactor|, counted by their upper 10 bits. */
export function magnitudes(
  begin: i32, end: i32, scratch: usize,
  src: usize, dtype: i32, srcScale: f32, rowFactor: usize, columns: i32, total: i32, out: usize,
): void {
  const rows = (total + columns - 1) / columns;
  for (let unit = begin; unit < end; unit++) {
    const bins = out + <usize>unit * MAGNITUDE_BINS * 4;
    memory.fill(bins, 0, MAGNITUDE_BINS * 4);
    const last = min(rows, (unit + 1) * QUANTIZE_ROWS);
    for (let row = unit * QUANTIZE_ROWS; row < last; row++) {
      const first = row * columns;
      const n = min(columns, total - first);
      loadFactored(src + <usize>first * format.bytes(dtype), dtype, srcScale, rowFactor, 0, row, n, scratch);
      for (let j = 0; j < n; j++) {
        const bin = bins + <usize>(((load<u32>(scratch + (j << 2)) & 0x7fffffff) >> 21) << 2);
        store<u32>(bin, load<u32>(bin) + 1);
      }
    }
  }
}
