/**
 * C = alpha * rowScale * columnScale * (A B) + addend, from codes.
 *
 * Two parallel passes for each range of columns (src/ops/matmul.ts): `packB` decodes B into panels that all threads share; `gemm` cuts C
 * into blocks of at most rowBlock x columnBlock. A block packs its rows of A into the thread's scratch, one slice of K at a time, unless
 * they are there from the thread's block before, runs the tile, and writes its part of C. Each element is summed over k in ascending order
 * in float32, whatever the ranges, blocks and threads; scales enter after the sum.
 */

import { TILE_COLUMNS, TILE_ROWS, WEIGHT_COLUMNS } from '../src/engine/units';
import { blocks } from './blocks';
import { encodeRow } from './encode';
import { finishRow, writeTile } from './finish';
import { BF16, E4M3, E4M3FN, E5M2, F16, F32, facts, format, rounding } from './formats';
import { lanes } from './lanes';
import { pack } from './pack';
import { pair } from './pair';
import { fiveRows, TILE, threeRows, tile } from './tile';
import { weightPanel } from './weight-panel';

abstract class blocking {
  /**
   * Slice of K packed at a time. Set with `--use GEMM_KC=n`, a multiple of 16. Share of the ceiling at 1024^3 (Zen 5, 48 KiB of L1, Node
   * 26) with 256 / 512 / 1024: fused 83 / 86 / 89 %, unfused 70 / 74 / 76 %. The tile reads panels from L2 as fast as it computes; what
   * matters is how rarely its sums are stored and reloaded. Refused: two or three B panels for each A panel in turn, within 1 % at every
   * slice.
   */
  @inline static get slice(): i32 {
    if (isDefined(GEMM_KC)) return GEMM_KC;
    else return 1024;
  }

  /** Panels of B multiplied at once: the tile of `pair` takes two. */
  @inline static panels(exact: i32): i32 {
    if (isDefined(TURBO)) return exact ? 2 : 1;
    else return 1;
  }

  /** The slice for a depth: as few slices as possible, of equal size. */
  @inline static sliceOf(depth: i32): i32 {
    const slices = (depth + blocking.slice - 1) / blocking.slice;
    return ((depth + slices - 1) / slices + 15) & ~15;
  }
}

/** Number of k that are copied from a prepacked panel at a time, an even number. */
const SLICE = 64;

/** Bytes of scratch for `packB`: a slice of a prepacked panel, and what decoding reads beyond it. */
export function packBScratch(): i32 {
  return SLICE * TILE_COLUMNS * 2 + 16;
}

/**
 * Units: panels of 8 columns. Panel p goes to dst + p * K * 32. `across`: B is stored K x N, else N x K; `prepacked`: as `prepack` wrote
 * it. ld is in elements. src is column `from` of N, or the first of a prepacked B. `scales`, unless 0, holds a float32 power of two for each
 * block of blockRows x blockColumns of the stored matrix, which is then not prepacked.
 */
export function packB(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, src: usize, ld: i32, across: i32, prepacked: i32, columns: i32, depth: i32, dst: usize, from: i32, scales: usize, blockRows: i32, blockColumns: i32,
): void {
  const bytes = format.bytes(dtype);
  const stride = <usize>ld * bytes;
  if (prepacked) {
    for (let panel = begin; panel < end; panel++) {
      const column = from + panel * TILE_COLUMNS;
      const to = dst + <usize>panel * depth * 32;
      let words = src + <usize>(column / WEIGHT_COLUMNS) * <usize>weightPanel.bytes(dtype, depth);
      for (let k = 0; k < depth; k += SLICE) {
        const kc = min(SLICE, depth - k);
        weightPanel.tile(bytes, scratch, words, (column % WEIGHT_COLUMNS) / TILE_COLUMNS, kc);
        packPanel(dtype, to + <usize>(k << 5), scratch, TILE_COLUMNS * bytes, true, TILE_COLUMNS, kc);
        words += SLICE * weightPanel.stride(dtype);
      }
    }
    return;
  }
  const first = begin * TILE_COLUMNS;
  const at = src + <usize>(across ? first : first * ld) * bytes;
  packPanels(dtype, dst + <usize>begin * depth * 32, at, stride, across !== 0, TILE_COLUMNS, TILE_COLUMNS, columns - first, end - begin, depth);
  if (!scales) return;
  const scaleColumns = (ld + blockColumns - 1) / blockColumns;
  for (let panel = begin; panel < end; panel++) {
    const column = panel * TILE_COLUMNS;
    const to = dst + <usize>panel * depth * 32;
    const valid = min(TILE_COLUMNS, columns - column);
    blocks.scale(to, TILE_COLUMNS, depth, 0, from + column, valid, across !== 0, scales, scaleColumns, blockRows, blockColumns);
  }
}

function packPanel(dtype: i32, dst: usize, src: usize, stride: usize, across: bool, valid: i32, kc: i32): void {
  if (dtype === facts.about<F32>().id) pack.b<F32>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<BF16>().id) pack.b<BF16>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<F16>().id) pack.b<F16>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<E4M3FN>().id) pack.b<E4M3FN>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<E5M2>().id) pack.b<E5M2>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<E4M3>().id) pack.b<E4M3>(dst, src, stride, across, valid, kc);
}

function packA(dtype: i32, dst: usize, src: usize, stride: usize, across: bool, valid: i32, kc: i32): void {
  if (dtype === facts.about<F32>().id) pack.a<F32>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<BF16>().id) pack.a<BF16>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<F16>().id) pack.a<F16>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<E4M3FN>().id) pack.a<E4M3FN>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<E5M2>().id) pack.a<E5M2>(dst, src, stride, across, valid, kc);
  else if (dtype === facts.about<E4M3>().id) pack.a<E4M3>(dst, src, stride, across, valid, kc);
}

/**
 * Packs panels of A (`width` TILE_ROWS) or B (TILE_COLUMNS), each `apart` rows or columns of the matrix after the one before, of the `left`
 * ones. Across, a stored row has a few codes for each panel. Where stored rows lie a multiple of 4 KiB apart, their lines compete for one
 * set of the L1 cache, and eight rows at a time are faster: 1024 x 2048 as A, in BF16 (Zen 4) 0.64 -> 0.29 ns a code, in float32 0.98 ->
 * 0.48. Elsewhere pieces of eight cost up to twice the time.
 */
function packPanels(
  dtype: i32, dst: usize, src: usize, stride: usize, across: bool, width: i32, apart: i32, left: i32, panels: i32, kc: i32,
): void {
  const step = <usize>apart * (across ? <usize>format.bytes(dtype) : stride);
  const together = across && (stride & 4095) === 0 ? 8 : kc;
  for (let k = 0; k < kc; k += together) {
    for (let i = 0; i < panels; i++) {
      const to = dst + <usize>((i * kc + k) * width) * 4;
      const from = src + <usize>i * step + <usize>k * stride;
      const valid = min(width, left - i * apart);
      if (width === TILE_ROWS) packA(dtype, to, from, stride, across, valid, min(together, kc - k));
      else packPanel(dtype, to, from, stride, across, valid, min(together, kc - k));
    }
  }
}

/** One panel of A, with `rows` rows of C left from its first on, times one panel of B, or two together. */
function multiply<F>(
  a: usize, panel: usize, next: usize, together: i32, rows: i32, kc: i32, c: usize, d: usize, resume: bool,
): void {
  if (together === 2) {
    if (!resume) {
      memory.fill(c, 0, TILE * 4);
      memory.fill(d, 0, TILE * 4);
    }
    pair<F>(a, panel, next, kc, c, d);
  } else if (rows <= TILE_ROWS / 2) threeRows<F>(a, panel, kc, c, resume);
  else if (lanes.fuses<F>()) tile<F>(a, panel, kc, c, resume);
  // The two calls do the same and must stay two: asc inlines what is called once, and inlined here V8 11 keeps sums in memory (float32 at 27
  // instead of 57 GFLOP/s).
  else if (resume) fiveRows<F>(a, panel, kc, c, true);
  else fiveRows<F>(a, panel, kc, c, false);
}

/** Rows of C that a panel of A stands for: 6, or 5 of the 6 packed where products are not fused. `exact` as for `gemm`. */
export function tileRows(exact: i32): i32 {
  return exact && lanes.fuses<BF16>() ? TILE_ROWS : TILE_ROWS - 1;
}

/** Bytes of scratch a thread needs for one block: below 2^31 for the blocks that src/ops/matmul.ts makes. */
export function gemmScratch(rowBlock: i32, columnBlock: i32, exact: i32): i32 {
  const packed = rowBlock / tileRows(exact) * TILE_ROWS;
  return (packed * blocking.slice + packed * columnBlock + 2 * columnBlock) * 4;
}

/**
 * Units: blocks of C, in row-major order. rowBlock is a multiple of `tileRows`, columnBlock of 8. A is M x K, or K x M where `across`.
 * rowScale (M float32), columnScale (N float32), addend (like C, may be C itself), amax (one u32 per unit: bits of the largest |value|
 * before outScale) and `scales`, A's block scales (see packB), may be 0. `exact`: neither operand is float32. An FP8 output is value *
 * outScale, saturating, nearest-even.
 */
export function gemm(
  begin: i32, end: i32, scratch: usize,
  rows: i32, columns: i32, depth: i32, aDtype: i32, a: usize, lda: i32, across: i32, bPanels: usize, exact: i32,
  rowBlock: i32, columnBlock: i32, out: usize, outDtype: i32, ldOut: i32,
  alpha: f32, rowScale: usize, columnScale: usize, addend: usize, outScale: f32, amax: usize,
  scales: usize, blockRows: i32, blockColumns: i32,
): void {
  const aBytes = format.bytes(aDtype);
  const slice = blocking.sliceOf(depth);
  const high = tileRows(exact);
  const packed = rowBlock / high * TILE_ROWS;
  const aPanels = scratch;
  const cTiles = aPanels + <usize>(packed * blocking.slice) * 4;
  const line = cTiles + <usize>(packed * columnBlock) * 4;
  const columnBlocks = (columns + columnBlock - 1) / columnBlock;
  // Float32 is written straight from the tile, while that is in L1; encoders need whole rows.
  const direct = outDtype === facts.about<F32>().id && outScale === 1;
  // Tiles that are written at once share one place.
  const stays = !direct || slice < depth;
  // First of the rows of A that lie packed in scratch, whole, from one block of C to the next.
  let held = -1;
  for (let unit = begin; unit < end; unit++) {
    const firstRow = (unit / columnBlocks) * rowBlock;
    const firstColumn = (unit % columnBlocks) * columnBlock;
    const m = min(rowBlock, rows - firstRow);
    const n = min(columnBlock, columns - firstColumn);
    const mPanels = (m + high - 1) / high;
    const nPanels = (n + TILE_COLUMNS - 1) / TILE_COLUMNS;
    let most = i32x4.splat(0);
    for (let k = 0; k < depth; k += slice) {
      const kc = min(slice, depth - k);
      if (firstRow !== held) {
        const from = a + <usize>(across ? k * lda + firstRow : firstRow * lda + k) * aBytes;
        packPanels(aDtype, aPanels, from, <usize>lda * aBytes, across !== 0, TILE_ROWS, high, rows - firstRow, mPanels, kc);
        if (scales) {
          const scaleColumns = (lda + blockColumns - 1) / blockColumns;
          for (let i = 0; i < mPanels; i++) {
            const row = firstRow + i * high;
            const valid = min(TILE_ROWS, rows - row);
            const panel = aPanels + <usize>(i * kc * TILE_ROWS) * 4;
            blocks.scale(panel, TILE_ROWS, kc, k, row, valid, across !== 0, scales, scaleColumns, blockRows, blockColumns);
          }
        }
      }
      if (kc === depth) held = firstRow;
      for (let j = 0; j < nPanels; j += blocking.panels(exact)) {
        const column = firstColumn + j * TILE_COLUMNS;
        const together = min(blocking.panels(exact), nPanels - j);
        const panel = bPanels + <usize>(column / TILE_COLUMNS) * depth * 32 + <usize>k * 32;
        for (let i = 0; i < mPanels; i++) {
          const c = cTiles + (stays ? <usize>((j * mPanels + i) * TILE) * 4 : 0);
          const apart = <usize>((stays ? mPanels : 1) * TILE) * 4;
          const aPanel = aPanels + <usize>(i * kc * TILE_ROWS) * 4;
          const next = panel + <usize>depth * 32;
          if (exact) multiply<BF16>(aPanel, panel, next, together, m - i * high, kc, c, c + apart, k > 0);
          else multiply<F32>(aPanel, panel, next, together, m - i * high, kc, c, c + apart, k > 0);
          if (direct && k + kc === depth) {
            const row = firstRow + i * high;
            for (let p = 0; p < together; p++) {
              const first = column + p * TILE_COLUMNS;
              const at = <usize>(row * ldOut + first) << 2;
              most = i32x4.max_u(most, writeTile(c + <usize>p * apart, min(high, rows - row), min(TILE_COLUMNS, columns - first), alpha,
                rowScale ? rowScale + (row << 2) : 0, columnScale ? columnScale + (first << 2) : 0, addend ? addend + at : 0, out + at,
                <usize>ldOut << 2, line));
            }
          }
        }
      }
    }
    let largest: u32 = lanes.maxU32(most);
    if (!direct) {
      for (let i = 0; i < m; i++) {
        const row = firstRow + i;
        const at = out + <usize>(row * ldOut + firstColumn) * format.bytes(outDtype);
        const more = addend ? addend + (at - out) : 0;
        largest = max(largest, finishRow(cTiles, mPanels, high, i, n, line, columnBlock, alpha * (rowScale ? load<f32>(rowScale + (row << 2)) : 1),
          columnScale ? columnScale + (firstColumn << 2) : 0, more, at, outDtype, outScale));
      }
    } else if (largest > 0x7f800000) {
      // Replace every NaN by the canonical one, as the encoders do.
      for (let i = 0; i < m; i++) {
        const at = out + (<usize>((firstRow + i) * ldOut + firstColumn) << 2);
        encodeRow(outDtype, at, at, n, 1, 0, rounding.tiesToEven, false, 0);
      }
    }
    if (amax) store<u32>(amax + (unit << 2), largest);
  }
}
