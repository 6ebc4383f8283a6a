/**
 * Attention of new tokens over a cache of keys and values: what generation computes for every token. One query at a time, for which packed
 * panels of keys and values would be used too little. (For 256 queries at once they took 0.7 of the time; nothing asks for that but a prompt,
 * which has no earlier keys.) Every operation is the one that attention.ts applies to the query's column, in the same order, so the bits are
 * the same.
 *
 * For each key/value head the cache has its keys and then its values, as operands: keys in blocks of KV_BLOCK, channel by channel, so that
 * a vector has one channel of a block; values position by position. Positions and channels are rounded up to whole blocks.
 */

import { EXP_STEP, KV_BLOCK } from '../src/engine/units';
import { block, LOG2E } from './attention-block';
import { decode } from './decode';
import { storeRow } from './encode';
import { BF16, F32, facts } from './formats';
import { lanes, quad, splat } from './lanes';
import { math } from './math';
import { pack } from './pack';

/** Keys whose scores are computed at once, and channels of the sum of values. The loops below are written for these, and for blocks of 8. */
const KEYS = 4 * KV_BLOCK;
const CHANNELS = 16;

/** Bytes of scratch a thread needs. */
export function attentionCachedScratch(headDim: i32, keys: i32): f64 {
  return (<f64>block.ceil(headDim, CHANNELS) + <f64>block.ceil(keys, KEYS) + EXP_STEP) * 4;
}

/**
 * Units: key/value heads. Appends keys and values of `count` tokens, whose rows are `ld` elements apart, to a cache of `positions`, from the
 * position on that the int32 at offsetAt tells. Then, if `attends`, out[i, h] = softmax(scale * q k^T) v for each of them over the keys up to
 * its own, scale > 0. q, k, v, cache and out in dtype.
 */
export function attentionCached(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, q: usize, k: usize, v: usize, ld: i32, cache: usize, positions: i32, offsetAt: usize, count: i32, attends: i32,
  heads: i32, kvHeads: i32, headDim: i32, scale: f32, out: usize, ldo: i32,
): void {
  const offset = load<i32>(offsetAt);
  if (dtype === facts.about<F32>().id) {
    cached.of<F32>(begin, end, scratch, q, k, v, ld, cache, positions, offset, count, attends, heads / kvHeads, headDim, scale, out, ldo);
  } else {
    cached.of<BF16>(begin, end, scratch, q, k, v, ld, cache, positions, offset, count, attends, heads / kvHeads, headDim, scale, out, ldo);
  }
}

abstract class cached {
  @inline static of<F>(
    begin: i32, end: i32, scratch: usize, q: usize, k: usize, v: usize, ld: i32, cache: usize, positions: i32, offset: i32, count: i32,
    attends: i32, group: i32, headDim: i32, scale: f32, out: usize, ldo: i32,
  ): void {
    const bytes = facts.about<F>().bytes;
    // Bytes of a position, in the keys and in the values.
    const channels = <usize>(block.ceil(headDim, KV_BLOCK) * bytes);
    const half = <usize>block.ceil(positions, KV_BLOCK) * channels;
    for (let kvHead = begin; kvHead < end; kvHead++) {
      const keys = cache + <usize>kvHead * 2 * half;
      const values = keys + half;
      const at = <usize>(kvHead * headDim * bytes);
      for (let i = 0; i < count; i++) {
        const row = <usize>(i * ld * bytes) + at;
        cached.append<F>(keys, values, channels, offset + i, k + row, v + row, headDim);
      }
      for (let i = 0; i < count && attends; i++) {
        for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
          const query = q + <usize>((i * ld + head * headDim) * bytes);
          cached.attend<F>(query, keys, values, channels, offset + i + 1, headDim, scale, out + <usize>((i * ldo + head * headDim) * bytes), scratch);
        }
      }
    }
  }

  static append<F>(keys: usize, values: usize, channels: usize, position: i32, k: usize, v: usize, headDim: i32): void {
    const bytes = facts.about<F>().bytes;
    const absolute = decode.absoluteEight;
    const flushed = decode.flushedEight;
    let to = keys + <usize>(position / KV_BLOCK) * channels * KV_BLOCK + <usize>(position % KV_BLOCK * bytes);
    values += <usize>position * channels;
    for (let d = 0; d < headDim * bytes; d += 16) {
      if (bytes === 4) {
        const numbers = v128.load(k + d);
        v128.store32_lane(to, numbers, 0);
        v128.store32_lane(to, numbers, 1, KV_BLOCK * 4);
        v128.store32_lane(to, numbers, 2, KV_BLOCK * 8);
        v128.store32_lane(to, numbers, 3, KV_BLOCK * 12);
        v128.store(values + d, v128.load(v + d));
      } else {
        const codes = decode.eight(k + d, absolute, flushed);
        v128.store16_lane(to, codes, 0);
        v128.store16_lane(to, codes, 1, KV_BLOCK * 2);
        v128.store16_lane(to, codes, 2, KV_BLOCK * 4);
        v128.store16_lane(to, codes, 3, KV_BLOCK * 6);
        v128.store16_lane(to, codes, 4, KV_BLOCK * 8);
        v128.store16_lane(to, codes, 5, KV_BLOCK * 10);
        v128.store16_lane(to, codes, 6, KV_BLOCK * 12);
        v128.store16_lane(to, codes, 7, KV_BLOCK * 14);
        v128.store(values + d, decode.eight(v + d, absolute, flushed));
      }
      to += KV_BLOCK * 16;
    }
  }

  /** One query over the first `keys` keys. */
  static attend<F>(
    q: usize, keysAt: usize, valuesAt: usize, channels: usize, keys: i32, headDim: i32, scale: f32, out: usize, scratch: usize,
  ): void {
    const rows = block.ceil(keys, 8) / 8;
    const p = scratch + <usize>(block.ceil(headDim, CHANNELS) << 2);
    const last = p + (<usize>rows << 5);
    pack.row<F>(scratch, q, headDim);
    cached.scores<F>(scratch, keysAt, channels, keys, headDim, p);
    for (let key = keys; key & 7; key++) store<f32>(p + (<usize>key << 2), -Infinity);
    // Softmax, as in attention.ts.
    const factor: f32 = scale * <f32>LOG2E;
    let peaks = f32x4.splat(-Infinity);
    for (let at = p; at < last; at += 16) peaks = f32x4.max(peaks, v128.load(at));
    const peak = f32x4.splat(lanes.max(peaks) * factor);
    math.exp2Rows(p, rows, last, f32x4.splat(factor), peak, peak, block.least<F>());
    let sum: f32 = 0;
    for (let at = p; at < last; at += 16) {
      const e = v128.load(at);
      sum += f32x4.extract_lane(e, 0);
      sum += f32x4.extract_lane(e, 1);
      sum += f32x4.extract_lane(e, 2);
      sum += f32x4.extract_lane(e, 3);
      v128.store(at, block.rounded<F>(e));
    }
    cached.sumValues<F>(p, valuesAt, channels, keys, headDim, scratch);
    const inverse = f32x4.splat(1 / sum);
    for (let at = scratch; at < p; at += 16) v128.store(at, f32x4.mul(v128.load(at), inverse));
    storeRow(facts.about<F>().id, scratch, out, headDim);
  }

  /** q k of every key, four blocks at a time, the last one again where there are fewer. `query` has the query's operands as float32. */
  static scores<F>(query: usize, k: usize, channels: usize, keys: i32, headDim: i32, to: usize): void {
    const zero = splat.words(0);
    const apart = channels * KV_BLOCK;
    const end = query + (<usize>headDim << 2);
    for (let first = 0; first < keys; first += KEYS) {
      const more = <usize>((keys - 1 - first) / KV_BLOCK);
      let p0 = k + <usize>(first / KV_BLOCK) * apart;
      let p1 = p0 + min<usize>(more, 1) * apart;
      let p2 = p0 + min<usize>(more, 2) * apart;
      let p3 = p0 + min<usize>(more, 3) * apart;
      let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
      for (let d = query; d < end; d += 4) {
        const x = v128.load32_splat(d);
        if (facts.about<F>().bytes === 4) {
          s00 = lanes.madd<F>(x, v128.load(p0), s00);
          s01 = lanes.madd<F>(x, v128.load(p0, 16), s01);
          s10 = lanes.madd<F>(x, v128.load(p1), s10);
          s11 = lanes.madd<F>(x, v128.load(p1, 16), s11);
          s20 = lanes.madd<F>(x, v128.load(p2), s20);
          s21 = lanes.madd<F>(x, v128.load(p2, 16), s21);
          s30 = lanes.madd<F>(x, v128.load(p3), s30);
          s31 = lanes.madd<F>(x, v128.load(p3, 16), s31);
        } else {
          const c0 = v128.load(p0);
          s00 = lanes.madd<F>(x, quad.lowPairs(zero, c0), s00);
          s01 = lanes.madd<F>(x, quad.highPairs(zero, c0), s01);
          const c1 = v128.load(p1);
          s10 = lanes.madd<F>(x, quad.lowPairs(zero, c1), s10);
          s11 = lanes.madd<F>(x, quad.highPairs(zero, c1), s11);
          const c2 = v128.load(p2);
          s20 = lanes.madd<F>(x, quad.lowPairs(zero, c2), s20);
          s21 = lanes.madd<F>(x, quad.highPairs(zero, c2), s21);
          const c3 = v128.load(p3);
          s30 = lanes.madd<F>(x, quad.lowPairs(zero, c3), s30);
          s31 = lanes.madd<F>(x, quad.highPairs(zero, c3), s31);
        }
        p0 += KV_BLOCK * facts.about<F>().bytes;
        p1 += KV_BLOCK * facts.about<F>().bytes;
        p2 += KV_BLOCK * facts.about<F>().bytes;
        p3 += KV_BLOCK * facts.about<F>().bytes;
      }
      const at = to + (<usize>first << 2);
      v128.store(at, s00);
      v128.store(at, s01, 16);
      v128.store(at, s10, 32);
      v128.store(at, s11, 48);
      v128.store(at, s20, 64);
      v128.store(at, s21, 80);
      v128.store(at, s30, 96);
      v128.store(at, s31, 112);
    }
  }

  /**
   * The sum over keys of p v, a float32 for each channel; channels past the last are of the next position, and of no use. Some keys at a time,
   * so that their values are in L1 cache when the next channels are summed.
   */
  static sumValues<F>(p: usize, v: usize, channels: usize, keys: i32, headDim: i32, to: usize): void {
    const zero = splat.words(0);
    memory.fill(to, 0, block.ceil(headDim, CHANNELS) << 2);
    for (let first = 0; first < keys; first += KEYS) {
      const from = p + (<usize>first << 2);
      const end = from + (<usize>min(KEYS, keys - first) << 2);
      for (let d = 0; d < headDim; d += CHANNELS) {
        const sums = to + (<usize>d << 2);
        let at = v + <usize>(d * facts.about<F>().bytes);
        let c0 = v128.load(sums);
        let c1 = v128.load(sums, 16);
        let c2 = v128.load(sums, 32);
        let c3 = v128.load(sums, 48);
        for (let key = from; key < end; key += 4) {
          const x = v128.load32_splat(key);
          if (facts.about<F>().bytes === 4) {
            c0 = lanes.madd<F>(x, v128.load(at), c0);
            c1 = lanes.madd<F>(x, v128.load(at, 16), c1);
            c2 = lanes.madd<F>(x, v128.load(at, 32), c2);
            c3 = lanes.madd<F>(x, v128.load(at, 48), c3);
          } else {
            const low = v128.load(at);
            const high = v128.load(at, 16);
            c0 = lanes.madd<F>(x, quad.lowPairs(zero, low), c0);
            c1 = lanes.madd<F>(x, quad.highPairs(zero, low), c1);
            c2 = lanes.madd<F>(x, quad.lowPairs(zero, high), c2);
            c3 = lanes.madd<F>(x, quad.highPairs(zero, high), c3);
          }
          at += channels;
        }
        v128.store(sums, c0);
        v128.store(sums, c1, 16);
        v128.store(sums, c2, 32);
        v128.store(sums, c3, 48);
      }
      v += <usize>KEYS * channels;
    }
  }
}
