/** Tensors to codes with their scales, several rows to a unit; random numbers by position, statistics as a by-product. */

import { QUANTIZE_ROWS, STATS_BYTES } from '../src/engine/units';
import { loadRow } from './decode';
import { amaxRow, encodeRow } from './encode';
import { F32, facts, format, rounding } from './formats';
import { fillRandom } from './random';
import { bf16Cast } from './bf16-casts';
import { twice } from './twice';

/** 2^floor(log2(max / amax)), by truncating the quotient to its exponent; 1 where amax is 0 or the quotient is not finite. */
export function powerOfTwoScale(largest: f32, max: f32): f32 {
  if (!(largest > 0)) return 1;
  const quotient = reinterpret<u32>(max / largest) & 0x7f800000;
  return quotient === 0 || quotient === 0x7f800000 ? 1 : reinterpret<f32>(quotient);
}

/** Multiplies n float32 by as many factors, element by element. Writes up to 3 past them. */
export function multiplyRow(row: usize, factors: usize, n: i32): void {
  for (let j = 0; j < n << 2; j += 16) v128.store(row + j, f32x4.mul(v128.load(row + j), v128.load(factors + j)));
}

/**
 * Loads n values of a row, beginning at `from`, as float32: src * srcScale * (rowFactor ? rowFactor[row] : 1) * (columnFactor ?
 * columnFactor[column] : 1). columnFactor begins at the factor of the first of them.
 */
export function loadFactored(
  from: usize, dtype: i32, srcScale: f32, rowFactor: usize, columnFactor: usize, row: i32, n: i32, dst: usize,
): void {
  loadRow(dtype, from, dst, n, rowFactor ? srcScale * load<f32>(rowFactor + (row << 2)) : srcScale);
  if (columnFactor) multiplyRow(dst, columnFactor, n);
}

/**
 * Encodes src (rows of `columns`, `total` elements in all, so the last row may be short) to one or two formats.
 *
 * value is what `loadFactored` gives. dst1 gets value * scale1 in format1, rounded by `mode`; dst2, unless 0, value * scale2 in format2,
 * nearest-even. Where scaleInv is not 0, scale1 is chosen per row, 2^floor(log2(max1 / amax)), and its inverse stored there. Stochastic
 * rounding uses the words of Philox stream (stream, step) at the element's index in src; `columns` is then a multiple of 4. Per unit,
 * stats, unless 0, gets 4 words: amax bits of value; the number of elements beyond format1's range; that of non-zero elements encoded as
 * zero; 0.
 */
export function quantize(
  begin: i32, end: i32, scratch: usize,
  src: usize, srcDtype: i32, srcScale: f32, rowFactor: usize, columnFactor: usize, columns: i32, total: i32,
  dst1: usize, format1: i32, scale1: f32, mode: i32, saturate: i32, dst2: usize, format2: i32, scale2: f32,
  scaleInv: usize, max1: f32, stats: usize, stream: u32, step: u32, seedLow: u32, seedHigh: u32,
): void {
  const words = scratch + quantizeWords(columns);
  const rows = (total + columns - 1) / columns;
  const asIs = srcDtype === facts.about<F32>().id && srcScale === 1 && !rowFactor && !columnFactor;
  const pair = dst2 && stats && !scaleInv && mode === rounding.tiesToEven && saturate;
  for (let unit = begin; unit < end; unit++) {
    const slot = stats ? stats + unit * STATS_BYTES : 0;
    if (slot) memory.fill(slot, 0, STATS_BYTES);
    const last = min(rows, (unit + 1) * QUANTIZE_ROWS);
    // Cleared by the first row that does not suit this path, as those after it may be alike.
    let direct = !scaleInv && !columnFactor && bf16Cast.takes(srcDtype, format1, mode, saturate, dst2 ? format2 : -1);
    for (let row = unit * QUANTIZE_ROWS; row < last; row++) {
      const first = row * columns;
      const n = min(columns, total - first);
      const from = src + <usize>first * format.bytes(srcDtype);
      if (direct) {
        const factor = rowFactor ? srcScale * load<f32>(rowFactor + (row << 2)) : srcScale;
        if (mode === rounding.stochastic) fillRandom(words, first, n, true, stream, step, seedLow, seedHigh);
        direct = bf16Cast.row(from, n, factor, dst1 + first, format1, scale1, mode, dst2 ? dst2 + first : 0, format2, scale2, words, slot, scratch);
        if (direct) continue;
      }
      const values = asIs ? from : scratch;
      if (!asIs) loadFactored(from, srcDtype, srcScale, rowFactor, columnFactor, row, n, scratch);
      const to1 = dst1 + <usize>first * format.bytes(format1);
      const to2 = dst2 ? dst2 + <usize>first * format.bytes(format2) : 0;
      if (pair && twice.row(values, n, to1, format1, scale1, to2, format2, scale2, slot)) continue;
      const largest = slot || scaleInv ? amaxRow(values, n) : 0;
      if (slot) store<u32>(slot, max(load<u32>(slot), largest));
      let scale = scale1;
      if (scaleInv) {
        scale = powerOfTwoScale(reinterpret<f32>(largest), max1);
        store<f32>(scaleInv + (row << 2), 1 / scale);
      }
      if (mode === rounding.stochastic) fillRandom(words, first, n, false, stream, step, seedLow, seedHigh);
      encodeRow(format1, values, to1, n, scale, words, mode, saturate !== 0, slot ? slot + 4 : 0);
      if (dst2) encodeRow(format2, values, to2, n, scale2, 0, rounding.tiesToEven, true, 0);
    }
  }
}

/** Offset of a row's random words in the scratch of `quantize`: after the row as float32. */
function quantizeWords(columns: i32): usize {
  return max<usize>(<usize>(columns + 8) << 2, bf16Cast.scratch + 32);
}

/** Bytes of scratch for `quantize`: one float32 row and its random words, filled by 64. */
export function quantizeScratch(columns: i32): f64 {
  return <f64>quantizeWords(columns) + 4 * <f64>columns + 256;
}

/** Codes to float32, times scaleInv and, where not 0, rowScaleInv[row]. Units of QUANTIZE_ROWS rows. */
export function dequantize(
  begin: i32, end: i32, _scratch: usize,
  src: usize, dtype: i32, columns: i32, total: i32, scaleInv: f32, rowScaleInv: usize, dst: usize,
): void {
  const rows = (total + columns - 1) / columns;
  const last = min(rows, end * QUANTIZE_ROWS);
  for (let row = begin * QUANTIZE_ROWS; row < last; row++) {
    const first = row * columns;
    const factor = rowScaleInv ? scaleInv * load<f32>(rowScaleInv + (row << 2)) : scaleInv;
    loadRow(dtype, src + <usize>first * format.bytes(dtype), dst + (<usize>first << 2), min(columns, total - first), factor);
  }
}

/** Bits of the largest |src * srcScale * rowFactor * columnFactor| per unit of QUANTIZE_ROWS rows, one u32 each. */
export function amax(
  begin: i32, end: i32, scratch: usize,
  src: usize, dtype: i32, srcScale: f32, rowFactor: usize, columnFactor: usize, columns: i32, total: i32, out: usize,
): void {
  const rows = (total + columns - 1) / columns;
  for (let unit = begin; unit < end; unit++) {
    const last = min(rows, (unit + 1) * QUANTIZE_ROWS);
    let largest: u32 = 0;
    for (let row = unit * QUANTIZE_ROWS; row < last; row++) {
      const first = row * columns;
      const n = min(columns, total - first);
      loadFactored(src + <usize>first * format.bytes(dtype), dtype, srcScale, rowFactor, columnFactor, row, n, scratch);
      largest = max(largest, amaxRow(scratch, n));
    }
    store<u32>(out + (unit << 2), largest);
  }
}
