/**
 * Tensors to codes with a power-of-two scale for each block of rows and columns. Scales and, rounded to nearest, codes are those of
 * `encodeBlocks` of octavo/formats. Blocks may extend along rows ([1, n]), down columns ([n, 1]) or both ways.
 */

import { QUANTIZE_ROWS, STATS_BYTES } from '../src/engine/units';
import { amaxRow, encodeRow } from './encode';
import { format, rounding } from './formats';
import { lanes } from './lanes';
import { loadFactored, multiplyRow } from './quantize';
import { fillRandom } from './random';

/** The float32 bits of 2^(code - 127), for code from 0 to 254. */
function powerBits(code: i32): i32 {
  return code === 0 ? 0x00400000 : code << 23;
}

/**
 * The E8M0 code of a block's scale, from the bits of its largest magnitude: the smallest power of two not below amax * (1 / max) (MXFP8
 * recipe) or, where `floor`, 2^(floor(log2 amax) - emax) (OCP). 255, NaN, for NaN; 254 for infinity.
 */
function scaleCode(largest: u32, inverseMax: f32, emax: i32, floor: bool): i32 {
  if (largest > 0x7f800000) return 255;
  if (largest === 0x7f800000) return 254;
  if (floor) return max<i32>(0, <i32>(largest >> 23) - emax);
  const bits = reinterpret<u32>(reinterpret<f32>(largest) * inverseMax);
  // In field 0, 2^-127 takes the place of 1.0.
  const up = (bits & 0x7fffff) > (bits < 0x800000 ? 0x400000 : 0);
  return <i32>(bits >> 23) + <i32>up;
}

abstract class blocked {
  /** Raises `largest`, a word for each block, to the largest magnitudes of a row of n values, `wide` of them to a block. */
  @inline static updateAmax(row: usize, n: i32, wide: i32, largest: usize): void {
    if (wide === 1) {
      for (let j = 0; j < n << 2; j += 16) v128.store(largest + j, i32x4.max_u(v128.load(largest + j), lanes.abs(v128.load(row + j))));
      return;
    }
    for (let j = 0, block = 0; j < n; j += wide, block++) {
      const slot = largest + (block << 2);
      store<u32>(slot, max(load<u32>(slot), amaxRow(row + (<usize>j << 2), min(wide, n - j))));
    }
  }

  /** Multiplies n values by the inverse scales of their blocks. */
  @inline static unscale(row: usize, n: i32, wide: i32, inverses: usize): void {
    if (wide === 1) {
      multiplyRow(row, inverses, n);
      return;
    }
    for (let j = 0, block = 0; j < n; j += wide, block++) {
      const k = load<f32>(inverses + (block << 2));
      const inverse = f32x4.splat(k);
      const stop = min(n, j + wide);
      let i = j;
      for (; i + 4 <= stop; i += 4) v128.store(row + (i << 2), f32x4.mul(v128.load(row + (i << 2)), inverse));
      for (; i < stop; i++) store<f32>(row + (i << 2), load<f32>(row + (i << 2)) * k);
    }
  }
}

/**
 * Units: bands of blockRows rows (QUANTIZE_ROWS where that is 1) by strips of `strip` columns, a multiple of blockColumns (the last may be
 * short), in row-major order. src is rows x columns.
 *
 * value = src * srcScale * (rowFactor ? rowFactor[row] : 1) * (columnFactor ? columnFactor[column] : 1). scales gets a float32 power of two
 * for each block, dst value / scale in `dtype`, rounded by `mode`, saturating. Stochastic rounding uses the words of Philox stream (stream,
 * step) at the element's index in src; columns and strip are then multiples of 4. Per unit, stats, unless 0, gets 4 words: amax bits of
 * value; the number of elements beyond the format's range; that of non-zero elements encoded as zero; 0.
 */
export function quantizeBlocks(
  begin: i32, end: i32, scratch: usize,
  src: usize, srcDtype: i32, srcScale: f32, rowFactor: usize, columnFactor: usize, rows: i32, columns: i32, strip: i32,
  dst: usize, dtype: i32, mode: i32, floor: i32, blockRows: i32, blockColumns: i32, scales: usize, stats: usize,
  stream: u32, step: u32, seedLow: u32, seedHigh: u32,
): void {
  const size = <usize>(strip + 8) << 2;
  const largest = scratch + size;
  const words = largest + size;
  const bytes = format.bytes(srcDtype);
  const strips = (columns + strip - 1) / strip;
  const band = blockRows === 1 ? QUANTIZE_ROWS : blockRows;
  const ld = (columns + blockColumns - 1) / blockColumns;
  const maxBits = format.maxBits(dtype);
  const emax = (maxBits >> 23) - 127;
  const inverseMax: f32 = <f32>1 / reinterpret<f32>(maxBits);
  for (let unit = begin; unit < end; unit++) {
    const slot = stats ? stats + unit * STATS_BYTES : 0;
    if (slot) memory.fill(slot, 0, STATS_BYTES);
    const column = (unit % strips) * strip;
    const n = min(strip, columns - column);
    const factors = columnFactor ? columnFactor + (<usize>column << 2) : 0;
    const blockCount = (n + blockColumns - 1) / blockColumns;
    const last = min(rows, (unit / strips + 1) * band);
    for (let first = (unit / strips) * band; first < last; first += blockRows) {
      const stop = min(last, first + blockRows);
      memory.fill(largest, 0, <usize>blockCount << 2);
      for (let row = first; row < stop; row++) {
        loadFactored(src + <usize>(row * columns + column) * bytes, srcDtype, srcScale, rowFactor, factors, row, n, scratch);
        blocked.updateAmax(scratch, n, blockColumns, largest);
      }
      if (slot) store<u32>(slot, max(load<u32>(slot), amaxRow(largest, blockCount)));
      const to = scales + (<usize>((first / blockRows) * ld + column / blockColumns) << 2);
      for (let block = 0; block < blockCount; block++) {
        const code = scaleCode(load<u32>(largest + (block << 2)), inverseMax, emax, floor !== 0);
        store<i32>(to + (block << 2), code === 255 ? 0x7fc00000 : powerBits(code));
        // A block with a NaN gets only NaN codes.
        store<i32>(largest + (block << 2), code === 255 ? 0x7fc00000 : powerBits(254 - code));
      }
      for (let row = first; row < stop; row++) {
        const at = row * columns + column;
        if (blockRows > 1) loadFactored(src + <usize>at * bytes, srcDtype, srcScale, rowFactor, factors, row, n, scratch);
        blocked.unscale(scratch, n, blockColumns, largest);
        if (mode === rounding.stochastic) fillRandom(words, at, n, false, stream, step, seedLow, seedHigh);
        encodeRow(dtype, scratch, dst + <usize>at, n, 1, words, mode, true, slot ? slot + 4 : 0);
      }
    }
  }
}

/** Bytes of scratch for `quantizeBlocks`: a row of a strip, a word for each of its blocks, and random words, filled by 64. */
export function quantizeBlocksScratch(strip: i32): f64 {
  return 12 * <f64>strip + 320;
}
