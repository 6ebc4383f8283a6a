/**
 * Causal softmax attention by blocks of queries (the recomputation scheme of FlashAttention, Dao et al., 2022): memory is linear in the
 * number of keys, and the backward pass rebuilds the probabilities from the saved log-sum-exp of each row.
 *
 * Unit = one (batch, key/value head): it serves its group of query heads in order, so dK and dV are summed in one fixed order.
 * Query i of a batch stands at position offset + i and sees keys 0 .. offset + i; sums over keys and over queries ascend.
 * With BF16 storage all matrix operands (Q, K, V, P, dO, dS) are BF16 and the products exact; with float32 they are strict.
 */

import { TILE_COLUMNS, TILE_ROWS } from '../src/engine/units';
import { decode, loadRow } from './decode';
import { storeRow } from './encode';
import { BF16, F32, facts } from './formats';
import { lanes } from './lanes';
import { math } from './math';
import { pack } from './pack';
import { TILE, tile } from './tile';

/** Queries per block, a multiple of the tile's 6 rows. */
const BLOCK = 48;

abstract class block {
  /** Tiles C = A B over all panels; tile (i, j) at c + (j * mPanels + i) * TILE floats. */
  static multiply<F>(a: usize, mPanels: i32, b: usize, nPanels: i32, bDepth: i32, kc: i32, c: usize, resume: bool): void {
    for (let j = 0; j < nPanels; j++) {
      for (let i = 0; i < mPanels; i++) {
        tile<F>(
          a + <usize>(i * kc * TILE_ROWS) * 4, b + <usize>j * bDepth * 32, kc, c + <usize>((j * mPanels + i) * TILE) * 4, resume,
        );
      }
    }
  }

  /** Row i of tiled C to a line of nPanels * 8 floats. */
  static line(c: usize, mPanels: i32, nPanels: i32, i: i32, to: usize): void {
    let from = c + <usize>((i / TILE_ROWS) * TILE + (i % TILE_ROWS) * TILE_COLUMNS) * 4;
    for (let j = 0; j < nPanels; j++) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      to += 32;
      from += <usize>(mPanels * TILE) * 4;
    }
  }

  /** All panels of B from rows of memory. */
  static packB<F>(dst: usize, src: usize, ld: i32, across: bool, columns: i32, depth: i32): void {
    const bytes = facts.about<F>().bytes;
    for (let j = 0; j < columns; j += TILE_COLUMNS) {
      pack.b<F>(dst + <usize>(j / TILE_COLUMNS) * depth * 32, src + <usize>(across ? j : j * ld) * bytes, <usize>ld * bytes, across, min(TILE_COLUMNS, columns - j), depth);
    }
  }

  /** All panels of A, `rows` rows of kc. */
  static packA<F>(dst: usize, src: usize, ld: i32, across: bool, rows: i32, kc: i32): void {
    const bytes = facts.about<F>().bytes;
    for (let i = 0; i < rows; i += TILE_ROWS) {
      pack.a<F>(dst + <usize>(i * kc) * 4, src + <usize>(across ? i : i * ld) * bytes, <usize>ld * bytes, across, min(TILE_ROWS, rows - i), kc);
    }
  }

  /** C += A B into tiles stored by rows of panels, tile (i, j) at c + (i * nPanels + j) * TILE: keys seen so far are a prefix of C. */
  static accumulate<F>(a: usize, mPanels: i32, b: usize, nPanels: i32, kc: i32, c: usize): void {
    for (let i = 0; i < mPanels; i++) {
      for (let j = 0; j < nPanels; j++) {
        tile<F>(a + <usize>(i * kc * TILE_ROWS) * 4, b + <usize>j * kc * 32, kc, c + <usize>((i * nPanels + j) * TILE) * 4, true);
      }
    }
  }

  /** Row i of a C that `accumulate` summed. */
  static sumLine(c: usize, nPanels: i32, i: i32, to: usize): void {
    let from = c + <usize>((i / TILE_ROWS) * nPanels * TILE + (i % TILE_ROWS) * TILE_COLUMNS) * 4;
    for (let j = 0; j < nPanels; j++) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      to += 32;
      from += TILE * 4;
    }
  }

  /** n rounded up to a multiple. */
  @inline static ceil(n: i32, multiple: i32): i32 {
    return ((n + multiple - 1) / multiple) * multiple;
  }

  /** Rounds float32 to an operand of F: BF16 nearest-even and flushed (no NaN or overflow reaches here un-noticed), or nothing. */
  @inline static rounded<F>(v: v128): v128 {
    if (facts.about<F>().bytes === 4) return v;
    const odd = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
    return decode.flushed(v128.and(i32x4.add(i32x4.add(v, i32x4.splat(0x7fff)), odd), i32x4.splat(0xffff0000)));
  }
}

/** Bytes of scratch a thread needs for either pass. */
export function attentionScratch(headDim: i32, keys: i32): i32 {
  const d = block.ceil(headDim, 24);
  const t = block.ceil(keys, 24);
  return (5 * t * d + 2 * BLOCK * d + 3 * BLOCK * t + 4 * d + 2 * BLOCK + 256) * 4;
}

/**
 * out[b, i, h] = softmax(scale * q k^T) v. q, k, v, out in dtype; ld* are elements between rows, *Batch elements between batches.
 * lse (batch, heads, queries) float32 gets the log-sum-exp of each row.
 */
export function attentionForward(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, q: usize, ldq: i32, k: usize, v: usize, ldkv: i32, kvBatch: i32, heads: i32, kvHeads: i32, headDim: i32,
  queries: i32, offset: i32, scale: f32, out: usize, ldo: i32, lse: usize,
): void {
  if (dtype === facts.about<F32>().id) {
    forward<F32>(begin, end, scratch, q, ldq, k, v, ldkv, kvBatch, heads, kvHeads, headDim, queries, offset, scale, out, ldo, lse);
  } else {
    forward<BF16>(begin, end, scratch, q, ldq, k, v, ldkv, kvBatch, heads, kvHeads, headDim, queries, offset, scale, out, ldo, lse);
  }
}

function forward<F>(
  begin: i32, end: i32, scratch: usize,
  q: usize, ldq: i32, k: usize, v: usize, ldkv: i32, kvBatch: i32, heads: i32, kvHeads: i32, headDim: i32,
  queries: i32, offset: i32, scale: f32, out: usize, ldo: i32, lse: usize,
): void {
  const dtype = facts.about<F>().id;
  const bytes = facts.about<F>().bytes;
  const keys = offset + queries;
  const d = block.ceil(headDim, 24);
  const t = block.ceil(keys, 24);
  const kPanels = scratch;
  const vPanels = kPanels + <usize>(t * d) * 4;
  const qPanels = vPanels + <usize>(t * d) * 4;
  const oTiles = qPanels + <usize>(BLOCK * d) * 4;
  const scores = oTiles + <usize>(BLOCK * d) * 4;
  const probabilities = scores + <usize>(BLOCK * t) * 4;
  const pPanels = probabilities + <usize>(BLOCK * t) * 4;
  const inverses = pPanels + <usize>(BLOCK * t) * 4;
  const line = inverses + BLOCK * 4;
  const group = heads / kvHeads;
  const dPanels = (headDim + TILE_COLUMNS - 1) / TILE_COLUMNS;
  for (let unit = begin; unit < end; unit++) {
    const batch = unit / kvHeads;
    const kvHead = unit % kvHeads;
    const kv = <usize>(batch * kvBatch + kvHead * headDim) * bytes;
    block.packB<F>(kPanels, k + kv, ldkv, false, keys, headDim);
    block.packB<F>(vPanels, v + kv, ldkv, true, headDim, keys);
    for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
      const rows = q + <usize>(batch * queries * ldq + head * headDim) * bytes;
      for (let first = 0; first < queries; first += BLOCK) {
        const m = min(BLOCK, queries - first);
        const mPanels = (m + TILE_ROWS - 1) / TILE_ROWS;
        const visible = offset + first + m;
        const nPanels = (visible + TILE_COLUMNS - 1) / TILE_COLUMNS;
        const width = nPanels * TILE_COLUMNS;
        block.packA<F>(qPanels, rows + <usize>(first * ldq) * bytes, ldq, false, m, headDim);
        block.multiply<F>(qPanels, mPanels, kPanels, nPanels, headDim, headDim, scores, false);
        for (let i = 0; i < m; i++) {
          const p = probabilities + <usize>(i * t) * 4;
          block.line(scores, mPanels, nPanels, i, p);
          const seen = offset + first + i + 1;
          let largest = f32x4.splat(-Infinity);
          for (let j = seen; j < width; j++) store<f32>(p + (j << 2), -Infinity);
          for (let j = 0; j < width; j += 4) {
            const s = f32x4.mul(v128.load(p + (j << 2)), f32x4.splat(scale));
            v128.store(p + (j << 2), s);
            largest = f32x4.max(largest, s);
          }
          const peak = max<f32>(
            max<f32>(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
            max<f32>(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
          );
          let sums = f32x4.splat(0);
          for (let j = 0; j < width; j += 4) {
            const e = math.exp(f32x4.sub(v128.load(p + (j << 2)), f32x4.splat(peak)));
            sums = f32x4.add(sums, e);
            v128.store(p + (j << 2), block.rounded<F>(e));
          }
          const sum = lanes.sum(sums);
          store<f32>(inverses + (i << 2), <f32>1 / sum);
          if (lse) store<f32>(lse + (<usize>((batch * heads + head) * queries + first + i) << 2), peak + <f32>Math.log(<f64>sum));
        }
        block.packA<F32>(pPanels, probabilities, t, false, m, visible);
        block.multiply<F>(pPanels, mPanels, vPanels, dPanels, keys, visible, oTiles, false);
        for (let i = 0; i < m; i++) {
          block.line(oTiles, mPanels, dPanels, i, line);
          const inverse = f32x4.splat(load<f32>(inverses + (i << 2)));
          for (let j = 0; j < headDim; j += 4) v128.store(line + (j << 2), f32x4.mul(v128.load(line + (j << 2)), inverse));
          const at = <usize>((batch * queries + first + i) * ldo + head * headDim) * bytes;
          storeRow(dtype, line, out + at, headDim);
        }
      }
    }
  }
}

/**
 * Gradients of one call of attentionForward with offset 0 over rows of a QKV matrix: dq, dk, dv lie like q, k, v (row length ld).
 * o and dOut: (batch, queries, heads * headDim).
 */
export function attentionBackward(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, q: usize, k: usize, v: usize, ld: i32, heads: i32, kvHeads: i32, headDim: i32, time: i32, scale: f32,
  o: usize, dOut: usize, ldo: i32, lse: usize, dq: usize, dk: usize, dv: usize,
): void {
  if (dtype === facts.about<F32>().id) {
    backward<F32>(begin, end, scratch, q, k, v, ld, heads, kvHeads, headDim, time, scale, o, dOut, ldo, lse, dq, dk, dv);
  } else {
    backward<BF16>(begin, end, scratch, q, k, v, ld, heads, kvHeads, headDim, time, scale, o, dOut, ldo, lse, dq, dk, dv);
  }
}

function backward<F>(
  begin: i32, end: i32, scratch: usize,
  q: usize, k: usize, v: usize, ld: i32, heads: i32, kvHeads: i32, headDim: i32, time: i32, scale: f32,
  o: usize, dOut: usize, ldo: i32, lse: usize, dq: usize, dk: usize, dv: usize,
): void {
  const dtype = facts.about<F>().id;
  const bytes = facts.about<F>().bytes;
  const d = block.ceil(headDim, 24);
  const t = block.ceil(time, 24);
  const dPanels = (headDim + TILE_COLUMNS - 1) / TILE_COLUMNS;
  const square = <usize>(t * d) * 4;
  const strip = <usize>(BLOCK * d) * 4;
  const wide = <usize>(BLOCK * t) * 4;
  // K and V packed for the products with Q and dO; K across for dQ; sums of dK and dV as tiles.
  const kAlong = scratch;
  const vAlong = kAlong + square;
  const dkTiles = vAlong + square;
  const dvTiles = dkTiles + square;
  const kAcross = dvTiles + square;
  const qPanels = kAcross + square;
  const doPanels = qPanels + strip;
  const tiles = doPanels + strip;
  const p = tiles + wide;
  const ds = p + wide;
  const lineO = ds + wide;
  const lineDo = lineO + (<usize>d << 2);
  const line = lineDo + (<usize>d << 2);
  const group = heads / kvHeads;
  const keyPanels = (time + TILE_ROWS - 1) / TILE_ROWS;
  for (let unit = begin; unit < end; unit++) {
    const batch = unit / kvHeads;
    const kvHead = unit % kvHeads;
    const kv = <usize>(batch * time * ld + kvHead * headDim) * bytes;
    block.packB<F>(kAlong, k + kv, ld, false, time, headDim);
    block.packB<F>(vAlong, v + kv, ld, false, time, headDim);
    block.packB<F>(kAcross, k + kv, ld, true, headDim, time);
    memory.fill(dkTiles, 0, <usize>(keyPanels * dPanels * TILE) * 4);
    memory.fill(dvTiles, 0, <usize>(keyPanels * dPanels * TILE) * 4);
    for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
      const rows = <usize>(batch * time * ld + head * headDim) * bytes;
      const outs = <usize>(batch * time * ldo + head * headDim) * bytes;
      for (let first = 0; first < time; first += BLOCK) {
        const m = min(BLOCK, time - first);
        const mPanels = (m + TILE_ROWS - 1) / TILE_ROWS;
        const visible = first + m;
        const nPanels = (visible + TILE_COLUMNS - 1) / TILE_COLUMNS;
        const width = nPanels * TILE_COLUMNS;
        const qBlock = q + rows + <usize>(first * ld) * bytes;
        const doBlock = dOut + outs + <usize>(first * ldo) * bytes;
        block.packA<F>(qPanels, qBlock, ld, false, m, headDim);
        block.packA<F>(doPanels, doBlock, ldo, false, m, headDim);
        block.multiply<F>(qPanels, mPanels, kAlong, nPanels, headDim, headDim, tiles, false);
        for (let i = 0; i < m; i++) block.line(tiles, mPanels, nPanels, i, p + <usize>(i * t) * 4);
        block.multiply<F>(doPanels, mPanels, vAlong, nPanels, headDim, headDim, tiles, false);
        for (let i = 0; i < m; i++) {
          const pRow = p + <usize>(i * t) * 4;
          const dsRow = ds + <usize>(i * t) * 4;
          block.line(tiles, mPanels, nPanels, i, dsRow);
          loadRow(dtype, o + outs + <usize>((first + i) * ldo) * bytes, lineO, headDim, 1);
          loadRow(dtype, doBlock + <usize>(i * ldo) * bytes, lineDo, headDim, 1);
          let dots = f32x4.splat(0);
          for (let j = headDim; j < d; j++) store<f32>(lineO + (j << 2), 0);
          for (let j = headDim; j < d; j++) store<f32>(lineDo + (j << 2), 0);
          for (let j = 0; j < d; j += 4) {
            dots = f32x4.add(dots, f32x4.mul(v128.load(lineO + (j << 2)), v128.load(lineDo + (j << 2))));
          }
          const delta = f32x4.splat(lanes.sum(dots));
          const offset = f32x4.splat(load<f32>(lse + (<usize>((batch * heads + head) * time + first + i) << 2)));
          const k4 = f32x4.splat(scale);
          for (let j = first + i + 1; j < width; j++) store<f32>(pRow + (j << 2), -Infinity);
          for (let j = 0; j < width; j += 4) {
            const at = j << 2;
            const e = math.exp(f32x4.sub(f32x4.mul(v128.load(pRow + at), k4), offset));
            const g = f32x4.mul(f32x4.mul(e, f32x4.sub(v128.load(dsRow + at), delta)), k4);
            v128.store(pRow + at, block.rounded<F>(e));
            // A masked score has e = 0, but 0 * (a panel's padding) could be NaN: choose, do not multiply.
            v128.store(dsRow + at, v128.andnot(block.rounded<F>(g), f32x4.eq(e, f32x4.splat(0))));
          }
        }
        // dQ = dS K
        block.packA<F32>(tiles, ds, t, false, m, visible);
        const dqTiles = qPanels;
        block.multiply<F>(tiles, mPanels, kAcross, dPanels, time, visible, dqTiles, false);
        for (let i = 0; i < m; i++) {
          block.line(dqTiles, mPanels, dPanels, i, line);
          storeRow(dtype, line, dq + rows + <usize>((first + i) * ld) * bytes, headDim);
        }
        // dK += dS^T Q and dV += P^T dO, for the keys this block sees
        const seenPanels = (visible + TILE_ROWS - 1) / TILE_ROWS;
        block.packB<F>(qPanels, qBlock, ld, true, headDim, m);
        block.packB<F>(doPanels, doBlock, ldo, true, headDim, m);
        block.packA<F32>(tiles, ds, t, true, visible, m);
        block.accumulate<F>(tiles, seenPanels, qPanels, dPanels, m, dkTiles);
        block.packA<F32>(tiles, p, t, true, visible, m);
        block.accumulate<F>(tiles, seenPanels, doPanels, dPanels, m, dvTiles);
      }
    }
    for (let i = 0; i < time; i++) {
      const at = kv + <usize>(i * ld) * bytes;
      block.sumLine(dkTiles, dPanels, i, line);
      storeRow(dtype, line, dk + at, headDim);
      block.sumLine(dvTiles, dPanels, i, line);
      storeRow(dtype, line, dv + at, headDim);
    }
  }
}
