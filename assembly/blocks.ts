/**
 * Block scales, applied to packed panels. Each is a power of two, so it changes no significand, and the scaled operand is a BF16 number,
 * flushed as BF16 operands are (`decode.flushed`). The tile then knows nothing of blocks.
 *
 * A pass of its own over the panel, then in L1 or L2: 2 to 4 % of a GEMM at 512^3 and 1024^3.
 */

import { TILE_ROWS } from '../src/engine/units';
import { decode } from './decode';

export abstract class blocks {
  /** The scale of a block; ld is the number of blocks in a stored row. */
  @inline private static at(scales: usize, ld: i32, across: bool, blockK: i32, blockLane: i32): f32 {
    return load<f32>(scales + (<usize>(across ? blockK * ld + blockLane : blockLane * ld + blockK) << 2));
  }

  /**
   * Scales kc steps, `k` and following, of a panel of `width` lanes, which are the matrix's from `lane` on; `valid` of them exist.
   * `across`: a stored row holds one k. blockRows and blockColumns are counted in the stored matrix.
   */
  static scale(
    panel: usize, width: i32, kc: i32, k: i32, lane: i32, valid: i32, across: bool, scales: usize, ld: i32, blockRows: i32, blockColumns: i32,
  ): void {
    const perK = across ? blockRows : blockColumns;
    const perLane = across ? blockColumns : blockRows;
    const last = lane + valid - 1;
    const l0 = lane / perLane;
    const l1 = min(lane + 1, last) / perLane;
    const l2 = min(lane + 2, last) / perLane;
    const l3 = min(lane + 3, last) / perLane;
    const l4 = min(lane + 4, last) / perLane;
    const l5 = min(lane + 5, last) / perLane;
    const l6 = min(lane + 6, last) / perLane;
    const l7 = min(lane + 7, last) / perLane;
    const end = k + kc;
    while (k < end) {
      const block = k / perK;
      const stop = min(end, (block + 1) * perK);
      let low = f32x4.splat(blocks.at(scales, ld, across, block, l0));
      low = f32x4.replace_lane(low, 1, blocks.at(scales, ld, across, block, l1));
      low = f32x4.replace_lane(low, 2, blocks.at(scales, ld, across, block, l2));
      low = f32x4.replace_lane(low, 3, blocks.at(scales, ld, across, block, l3));
      let high = f32x4.splat(blocks.at(scales, ld, across, block, l4));
      high = f32x4.replace_lane(high, 1, blocks.at(scales, ld, across, block, l5));
      high = f32x4.replace_lane(high, 2, blocks.at(scales, ld, across, block, l6));
      high = f32x4.replace_lane(high, 3, blocks.at(scales, ld, across, block, l7));
      if (width === TILE_ROWS) {
        for (; k < stop; k++) {
          v128.store(panel, decode.flushed(f32x4.mul(v128.load(panel), low)));
          v128.store64_lane(panel, decode.flushed(f32x4.mul(v128.load64_zero(panel, 16), high)), 0, 16);
          panel += 24;
        }
      } else {
        for (; k < stop; k++) {
          v128.store(panel, decode.flushed(f32x4.mul(v128.load(panel), low)));
          v128.store(panel, decode.flushed(f32x4.mul(v128.load(panel, 16), high)), 16);
          panel += 32;
        }
      }
    }
  }
}
