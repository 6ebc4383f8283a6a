/**
 * The parts of attention: packing, products for one panel of queries or two at once, sums of dK and dV by tile, masks, and the rounding of
 * operands. Queries are the columns of a tile, keys its rows; the two passes are in attention.ts.
 */

import { TILE_COLUMNS, TILE_ROWS } from '../src/engine/units';
import { FLUSH_EXPONENT } from './decode';
import { storeRow } from './encode';
import { F32, facts } from './formats';
import { lanes, quad } from './lanes';
import { pack } from './pack';
import { pair } from './pair';
import { TILE, tile } from './tile';

/** Queries of a panel: the columns of a tile. One key takes 32 bytes of a panel. */
export const PANEL = TILE_COLUMNS;

/** Queries of two panels, multiplied together where the tile takes two: attention of a step then takes 0.7 of the time. */
export const TOGETHER = 2 * PANEL;

/** Queries whose contributions to dK and dV are summed in one product; a whole number of pairs of panels. */
export const BLOCK = 6 * PANEL;

/** log2 e. */
export const LOG2E: f64 = 1.4426950408889634;

/** As bits of float32: the largest magnitude that is zero as a BF16 operand, and the exponent of the next one. */
const FLUSHED: u32 = ((127 + FLUSH_EXPONENT) << 23) - 1;
const LEAST: u32 = reinterpret<u32>(<f32>FLUSH_EXPONENT);

/** Constants of the loops over scores, four lanes each; see math.ts. */
const CONSTANTS = memory.data<u32>([
  1, 1, 1, 1,
  0x7fff, 0x7fff, 0x7fff, 0x7fff,
  0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000,
  0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff,
  FLUSHED, FLUSHED, FLUSHED, FLUSHED,
  LEAST, LEAST, LEAST, LEAST,
  0xc2fc0000, 0xc2fc0000, 0xc2fc0000, 0xc2fc0000, // -126
], 16);

export abstract class block {
  /** n rounded up to a multiple. */
  @inline static ceil(n: i32, multiple: i32): i32 {
    return ((n + multiple - 1) / multiple) * multiple;
  }

  /** Keys seen by a panel whose first query is at `position`, rounded up to whole tiles. */
  @inline static seen(position: i32, keys: i32): i32 {
    return block.ceil(min(position + PANEL, keys), TILE_ROWS);
  }

  /** A panels of 6 stored rows each or, where `across`, of 6 stored columns each; kc floats deep. */
  static packA<F>(dst: usize, src: usize, ld: i32, across: bool, rows: i32, kc: i32): void {
    const bytes = facts.about<F>().bytes;
    for (let i = 0; i < rows; i += TILE_ROWS) {
      pack.a<F>(dst + <usize>(i * kc) * 4, src + <usize>(across ? i : i * ld) * bytes, <usize>ld * bytes, across, min(TILE_ROWS, rows - i), kc);
    }
  }

  /** B panels of 8 columns each, from kc stored rows. */
  static packB<F>(dst: usize, src: usize, ld: i32, columns: i32, kc: i32): void {
    const bytes = facts.about<F>().bytes;
    for (let j = 0; j < columns; j += TILE_COLUMNS) {
      pack.b<F>(dst + <usize>(j * kc) * 4, src + <usize>(j * bytes), <usize>ld * bytes, true, TILE_COLUMNS, kc);
    }
  }

  /** Whether the tile of two panels is the faster one: in 256 bits, and where products are fused and need no register of their own. */
  @inline static wide<F>(): bool {
    return isDefined(TURBO) && lanes.fuses<F>();
  }

  /** C = A B for one B panel: row r of C at c + 32 r. A panels are `depth` deep, of which the first kc steps are used. */
  static multiply<F>(a: usize, rows: i32, depth: i32, b: usize, kc: i32, c: usize): void {
    for (let i = 0; i < rows; i += TILE_ROWS) {
      tile<F>(a + <usize>(i * depth) * 4, b, kc, c + <usize>i * 32, false);
    }
  }

  /** `multiply` for a panel and, unless nextKc is 0, for the next one too, which counts more rows, or more of the depth. */
  static multiplyTwo<F>(
    a: usize, depth: i32, b: usize, rows: i32, kc: i32, c: usize, nextB: usize, nextRows: i32, nextKc: i32, nextC: usize,
  ): void {
    if (!block.wide<F>() || nextKc === 0) {
      block.multiply<F>(a, rows, depth, b, kc, c);
      if (nextKc) block.multiply<F>(a, nextRows, depth, nextB, nextKc, nextC);
      return;
    }
    const bytes = <usize>block.ceil(rows, TILE_ROWS) * 32;
    memory.fill(c, 0, bytes);
    memory.fill(nextC, 0, bytes);
    for (let i = 0; i < rows; i += TILE_ROWS) {
      const panel = a + <usize>(i * depth) * 4;
      const to = nextC + <usize>i * 32;
      pair<F>(panel, b, nextB, kc, c + <usize>i * 32, to);
      if (nextKc > kc) tile<F>(panel + <usize>kc * 24, nextB + <usize>kc * 32, nextKc - kc, to, true);
    }
    block.multiply<F>(a + <usize>(rows * depth) * 4, nextRows - rows, depth, nextB, nextKc, nextC + bytes);
  }

  /** Sets a panel's scores, not yet scaled and stored key by key, to -infinity where the key is later than the query. */
  static mask(position: i32, seen: i32, to: usize): void {
    const never = f32x4.splat(-Infinity);
    for (let key = position + 1; key < seen; key++) {
      const at = to + <usize>key * 32;
      const first = i32x4.splat(key - position);
      v128.store(at, v128.bitselect(never, v128.load(at), i32x4.gt_s(first, i32x4(0, 1, 2, 3))));
      v128.store(at, v128.bitselect(never, v128.load(at, 16), i32x4.gt_s(first, i32x4(4, 5, 6, 7))), 16);
    }
  }

  /** Stores C transposed: column i < m (at most 8) of its `headDim` rows becomes row i in dtype; rows are ld bytes apart. */
  static storeColumns(c: usize, headDim: i32, m: i32, lines: usize, dtype: i32, to: usize, ld: usize): void {
    const line = <usize>block.ceil(headDim, 4) * 4;
    for (let half = 0; half < 2; half++) {
      let from = c + <usize>half * 16;
      let dst = lines + <usize>half * 4 * line;
      for (let d = 0; d < headDim; d += 4) {
        const r0 = v128.load(from);
        const r1 = v128.load(from, 32);
        const r2 = v128.load(from, 64);
        const r3 = v128.load(from, 96);
        const l01 = quad.lo(r0, r1);
        const l23 = quad.lo(r2, r3);
        const h01 = quad.hi(r0, r1);
        const h23 = quad.hi(r2, r3);
        v128.store(dst, quad.evenHalves(l01, l23));
        v128.store(dst + line, quad.oddHalves(l01, l23));
        v128.store(dst + 2 * line, quad.evenHalves(h01, h23));
        v128.store(dst + 3 * line, quad.oddHalves(h01, h23));
        from += 128;
        dst += 16;
      }
    }
    for (let i = 0; i < m; i++) storeRow(dtype, lines + <usize>i * line, to + <usize>i * ld, headDim);
  }

  /**
   * C += B^T Q for the keys below `seen`: `panels` holds B (P or dS) of all the block's query panels, `stride` bytes apart; `q` holds the
   * block's m rows of Q (or dO) as B panels. Query panels wholly earlier than a key hold only zeros for it and are skipped.
   */
  static accumulate<F>(panels: usize, stride: usize, position: i32, m: i32, seen: i32, q: usize, headDim: i32, transposed: usize, c: usize): void {
    const row = <usize>block.ceil(headDim, TILE_COLUMNS) * TILE_ROWS * 4;
    for (let key = 0; key < seen; key += TILE_ROWS) {
      const skipped = max(0, key - position) / PANEL;
      let from = panels + <usize>skipped * stride + <usize>key * 32;
      let to = transposed;
      for (let i = skipped * PANEL; i < m; i += PANEL) {
        pack.a<F32>(to, from, 32, false, TILE_ROWS, PANEL);
        from += stride;
        to += PANEL * TILE_ROWS * 4;
      }
      const first = skipped * PANEL;
      const depth = m - first;
      const size = <usize>(m * TILE_COLUMNS) * 4;
      let panel = q + <usize>(first * TILE_COLUMNS) * 4;
      const last = c + row;
      if (block.wide<F>()) {
        for (; c + TILE * 4 < last; c += 2 * TILE * 4, panel += 2 * size) pair<F>(transposed, panel, panel + size, depth, c, c + TILE * 4);
      }
      for (; c < last; c += TILE * 4, panel += size) tile<F>(transposed, panel, depth, c, true);
    }
  }

  /** Copies row i of a C that `accumulate` summed to a line. */
  static sumLine(c: usize, headDim: i32, i: i32, to: usize): void {
    const width = block.ceil(headDim, TILE_COLUMNS);
    let from = c + <usize>((i / TILE_ROWS) * width * TILE_ROWS + (i % TILE_ROWS) * TILE_COLUMNS) * 4;
    for (let j = 0; j < width; j += TILE_COLUMNS) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      to += 32;
      from += TILE * 4;
    }
  }

  /** Probabilities below 2^least are zero: the bound of float32's normal numbers, or that below which BF16 operands are flushed. */
  @inline static least<F>(): v128 {
    return facts.about<F>().bytes === 4 ? v128.load(CONSTANTS, 96) : v128.load(CONSTANTS, 80);
  }

  /** Rounds float32 to BF16, nearest-even, where F is BF16 (no NaN or overflow gets here unnoticed). */
  @inline static rounded<F>(v: v128): v128 {
    if (facts.about<F>().bytes === 4) return v;
    const odd = v128.and(i32x4.shr_u(v, 16), v128.load(CONSTANTS));
    return v128.and(i32x4.add(i32x4.add(v, v128.load(CONSTANTS, 16)), odd), v128.load(CONSTANTS, 32));
  }

  /** Operands of F: decode.flushed where F is BF16. */
  @inline static flushed<F>(v: v128): v128 {
    if (facts.about<F>().bytes === 4) return v;
    return v128.and(v, i32x4.gt_s(v128.and(v, v128.load(CONSTANTS, 48)), v128.load(CONSTANTS, 64)));
  }
}
