/**
 * Causal softmax attention without a matrix of queries by keys (the recomputation scheme of FlashAttention, Dao et al., 2022): memory is
 * linear in the number of keys, and the backward pass rebuilds the probabilities from the saved log-sum-exp of each row.
 *
 * Unit = one (batch, key/value head), which serves its group of query heads in order, so that dK and dV are summed in one fixed order.
 * Query i of a batch sees keys 0 .. i; sums over keys and over queries ascend. With BF16 storage all matrix operands (Q, K, V, P, dO, dS)
 * are BF16 and the products exact; with float32 they are strict.
 *
 * Scores are computed transposed: keys are the rows of a tile and eight queries its columns. Softmax then works on whole vectors, and the
 * stacked tiles of P and dS already are the B panel of the products P V and dS K: 8 floats for each key.
 */

import { EXP_STEP, TILE_ROWS } from '../src/engine/units';
import { BLOCK, block, LOG2E, PANEL, TOGETHER } from './attention-block';
import { loadRow } from './decode';
import { storeRow } from './encode';
import { BF16, F32, facts } from './formats';
import { lanes } from './lanes';
import { math } from './math';
import { pack } from './pack';

/** Bytes of scratch a thread needs for either pass. An f64, as the sum may be beyond 32 bits and is then refused. */
export function attentionScratch(headDim: i32, keys: i32): f64 {
  const d: f64 = block.ceil(headDim, 24);
  const t: f64 = block.ceil(keys, TILE_ROWS);
  return (5 * t * d + 2 * BLOCK * t + 2 * BLOCK * d + BLOCK * TILE_ROWS + 7 * PANEL * d + 2 * d + 8 * PANEL + EXP_STEP) * 4;
}

/**
 * out[b, i, h] = softmax(scale * q k^T) v, scale > 0, over rows of a QKV matrix. q, k, v, out in dtype; ld, ldo are elements between rows.
 * lse (batch, heads, time) float32 gets the log-sum-exp of each row, in base 2.
 */
export function attentionForward(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, q: usize, k: usize, v: usize, ld: i32, heads: i32, kvHeads: i32, headDim: i32, time: i32, scale: f32,
  out: usize, ldo: i32, lse: usize,
): void {
  if (dtype === facts.about<F32>().id) {
    forward<F32>(begin, end, scratch, q, k, v, ld, heads, kvHeads, headDim, time, scale, out, ldo, lse);
  } else {
    forward<BF16>(begin, end, scratch, q, k, v, ld, heads, kvHeads, headDim, time, scale, out, ldo, lse);
  }
}

function forward<F>(
  begin: i32, end: i32, scratch: usize,
  q: usize, k: usize, v: usize, ld: i32, heads: i32, kvHeads: i32, headDim: i32, time: i32, scale: f32,
  out: usize, ldo: i32, lse: usize,
): void {
  const dtype = facts.about<F>().id;
  const bytes = facts.about<F>().bytes;
  const d = block.ceil(headDim, 24);
  const t = block.ceil(time, TILE_ROWS);
  const kPanels = scratch;
  const vPanels = kPanels + <usize>(t * d) * 4;
  const p = vPanels + <usize>(t * d) * 4;
  const stride = <usize>t * 32;
  const panel = <usize>d * 32;
  const qPanel = p + 2 * stride;
  const o = qPanel + 2 * panel;
  const lines = o + 2 * panel;
  const sums = lines + panel;
  const spare = sums + 2 * SUMS;
  const group = heads / kvHeads;
  for (let unit = begin; unit < end; unit++) {
    const batch = unit / kvHeads;
    const kvHead = unit % kvHeads;
    const kv = <usize>(batch * time * ld + kvHead * headDim) * bytes;
    block.packA<F>(kPanels, k + kv, ld, false, time, headDim);
    block.packA<F>(vPanels, v + kv, ld, true, headDim, time);
    for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
      const rows = q + <usize>(batch * time * ld + head * headDim) * bytes;
      const lses = lse + (<usize>((batch * heads + head) * time) << 2);
      for (let first = 0; first < time; first += TOGETHER) {
        const count = min(TOGETHER, time - first);
        const both = count > PANEL;
        const seen = block.seen(first, time);
        const nextSeen = both ? block.seen(first + PANEL, time) : 0;
        for (let i = 0; i < count; i += PANEL) {
          const from = rows + <usize>((first + i) * ld) * bytes;
          pack.b<F>(qPanel + <usize>(i / PANEL) * panel, from, <usize>ld * bytes, false, min(PANEL, count - i), headDim);
        }
        block.multiplyTwo<F>(kPanels, headDim, qPanel, seen, headDim, p, qPanel + panel, nextSeen, both ? headDim : 0, p + stride);
        softmax<F>(p, first, seen, scale, sums, spare);
        if (both) softmax<F>(p + stride, first + PANEL, nextSeen, scale, sums + SUMS, spare);
        block.multiplyTwo<F>(vPanels, time, p, headDim, min(seen, time), o, p + stride, headDim, min(nextSeen, time), o + panel);
        for (let i = 0; i < count; i += PANEL) {
          const which = <usize>(i / PANEL);
          const m = min(PANEL, count - i);
          const to = out + <usize>((batch * time + first + i) * ldo + head * headDim) * bytes;
          normalize(o + which * panel, headDim, sums + which * SUMS, m, lses + (<usize>(first + i) << 2));
          block.storeColumns(o + which * panel, headDim, m, lines, dtype, to, <usize>ldo * bytes);
        }
      }
    }
  }
}

/** Bytes of a panel's sums and peaks. */
const SUMS: usize = 2 * PANEL * 4;

/** Replaces a panel of scores by e^(scale score - peak) in F; `sums` gets the sum of each column, then the peak of each in base 2. */
function softmax<F>(p: usize, position: i32, seen: i32, scale: f32, sums: usize, scratch: usize): void {
  // In base 2: e^(scale s - peak) = 2^(k s - k largest), k = scale log2 e.
  const k4 = f32x4.splat(scale * <f32>LOG2E);
  const least = block.least<F>();
  block.mask(position, seen, p);
  const last = p + <usize>seen * 32;
  let peak0 = f32x4.splat(-Infinity);
  let peak1 = peak0;
  for (let at = p; at < last; at += 32) {
    peak0 = f32x4.max(peak0, v128.load(at));
    peak1 = f32x4.max(peak1, v128.load(at, 16));
  }
  // Rounding is monotonic: the largest scaled score is the scaled largest one.
  peak0 = f32x4.mul(peak0, k4);
  peak1 = f32x4.mul(peak1, k4);
  math.exp2Rows(p, seen, scratch, k4, peak0, peak1, least);
  let sum0 = f32x4.splat(0);
  let sum1 = sum0;
  for (let at = p; at < last; at += 32) {
    const e0 = v128.load(at);
    const e1 = v128.load(at, 16);
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
    v128.store(at, block.rounded<F>(e0));
    v128.store(at, block.rounded<F>(e1), 16);
  }
  v128.store(sums, sum0);
  v128.store(sums, sum1, 16);
  v128.store(sums, peak0, 32);
  v128.store(sums, peak1, 48);
}

/** Divides the columns of P V by the sums of P, and writes the log-sum-exp of m of them. */
function normalize(o: usize, headDim: i32, sums: usize, m: i32, lse: usize): void {
  const one = f32x4.splat(1);
  const inverse0 = f32x4.div(one, v128.load(sums));
  const inverse1 = f32x4.div(one, v128.load(sums, 16));
  for (let at = o; at < o + <usize>headDim * 32; at += 32) {
    v128.store(at, f32x4.mul(v128.load(at), inverse0));
    v128.store(at, f32x4.mul(v128.load(at, 16), inverse1), 16);
  }
  for (let i = 0; i < m; i++) {
    const at = sums + <usize>(i << 2);
    store<f32>(lse + (<usize>i << 2), load<f32>(at, 32) + <f32>(Math.log(<f64>load<f32>(at)) * LOG2E));
  }
}

/**
 * Gradients of one call of attentionForward: dq, dk, dv are laid out like q, k, v. o and dOut: (batch, time, heads * headDim).
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

/** Dot product of a row of o and of dO; both lines are zero up to a multiple of 4. */
function rowProduct<F>(o: usize, dOut: usize, headDim: i32, lineO: usize, lineDo: usize): f32 {
  const dtype = facts.about<F>().id;
  loadRow(dtype, o, lineO, headDim, 1);
  loadRow(dtype, dOut, lineDo, headDim, 1);
  let dots = f32x4.splat(0);
  for (let j = 0; j < headDim; j += 4) {
    dots = f32x4.add(dots, f32x4.mul(v128.load(lineO + (j << 2)), v128.load(lineDo + (j << 2))));
  }
  return lanes.sum(dots);
}

/**
 * Replaces a panel of scores by P and one of dO V by dS, both in F, given the dot product o dO (`deltas`) and log-sum-exp (`offsets`) of
 * each query.
 */
function scoreGradients<F>(p: usize, ds: usize, position: i32, seen: i32, scale: f32, deltas: usize, offsets: usize, scratch: usize): void {
  const k4 = f32x4.splat(scale * <f32>LOG2E);
  const slope = f32x4.splat(scale);
  const least = block.least<F>();
  block.mask(position, seen, p);
  math.exp2Rows(p, seen, scratch, k4, v128.load(offsets), v128.load(offsets, 16), least);
  const zero = f32x4.splat(0);
  for (let half: usize = 0; half < 32; half += 16) {
    const delta = v128.load(deltas + half);
    for (let at = half; at < <usize>seen * 32; at += 32) {
      const e = v128.load(p + at);
      const g = f32x4.mul(f32x4.mul(e, f32x4.sub(v128.load(ds + at), delta)), slope);
      v128.store(p + at, block.rounded<F>(e));
      // Masked scores are among the zeros. Their product would not do: a panel's padding could be NaN.
      v128.store(ds + at, v128.andnot(block.flushed<F>(block.rounded<F>(g)), f32x4.eq(e, zero)));
    }
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
  const t = block.ceil(time, TILE_ROWS);
  const square = <usize>(t * d) * 4;
  const strip = <usize>(BLOCK * d) * 4;
  const stride = <usize>t * 32;
  // K and V packed for the products with Q and dO; K across, for dQ; the sums of dK and dV, as tiles.
  const kAlong = scratch;
  const vAlong = kAlong + square;
  const dkTiles = vAlong + square;
  const dvTiles = dkTiles + square;
  const kAcross = dvTiles + square;
  const p = kAcross + square;
  const ds = p + <usize>(BLOCK / PANEL) * stride;
  const qAcross = ds + <usize>(BLOCK / PANEL) * stride;
  const doAcross = qAcross + strip;
  const transposed = doAcross + strip;
  const panel = <usize>d * 32;
  const qPanel = transposed + BLOCK * TILE_ROWS * 4;
  const doPanel = qPanel + 2 * panel;
  const dqTiles = doPanel + 2 * panel;
  const lines = dqTiles + 2 * panel;
  const lineO = lines + <usize>d * 32;
  const lineDo = lineO + (<usize>d << 2);
  const deltas = lineDo + (<usize>d << 2);
  const offsets = deltas + TOGETHER * 4;
  const spare = offsets + TOGETHER * 4;
  const group = heads / kvHeads;
  memory.fill(lineO, 0, <usize>d << 3);
  for (let unit = begin; unit < end; unit++) {
    const batch = unit / kvHeads;
    const kvHead = unit % kvHeads;
    const kv = <usize>(batch * time * ld + kvHead * headDim) * bytes;
    block.packA<F>(kAlong, k + kv, ld, false, time, headDim);
    block.packA<F>(vAlong, v + kv, ld, false, time, headDim);
    block.packA<F>(kAcross, k + kv, ld, true, headDim, time);
    memory.fill(dkTiles, 0, 2 * square);
    for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
      const rows = <usize>(batch * time * ld + head * headDim) * bytes;
      const outs = <usize>(batch * time * ldo + head * headDim) * bytes;
      const lses = lse + (<usize>((batch * heads + head) * time) << 2);
      for (let start = 0; start < time; start += BLOCK) {
        const size = min(BLOCK, time - start);
        for (let first = start; first < start + size; first += TOGETHER) {
          const both = first + PANEL < time;
          const count = min(TOGETHER, time - first);
          const seen = block.seen(first, time);
          const nextSeen = both ? block.seen(first + PANEL, time) : 0;
          const pPanel = p + <usize>((first - start) / PANEL) * stride;
          const dsPanel = ds + <usize>((first - start) / PANEL) * stride;
          for (let i = 0; i < count; i += PANEL) {
            const to = <usize>(i / PANEL) * panel;
            const m = min(PANEL, count - i);
            pack.b<F>(qPanel + to, q + rows + <usize>((first + i) * ld) * bytes, <usize>ld * bytes, false, m, headDim);
            pack.b<F>(doPanel + to, dOut + outs + <usize>((first + i) * ldo) * bytes, <usize>ldo * bytes, false, m, headDim);
          }
          const nextDepth = both ? headDim : 0;
          block.multiplyTwo<F>(kAlong, headDim, qPanel, seen, headDim, pPanel, qPanel + panel, nextSeen, nextDepth, pPanel + stride);
          block.multiplyTwo<F>(vAlong, headDim, doPanel, seen, headDim, dsPanel, doPanel + panel, nextSeen, nextDepth, dsPanel + stride);
          for (let i = 0; i < count; i++) {
            const row = outs + <usize>((first + i) * ldo) * bytes;
            const at = <usize>i << 2;
            store<f32>(deltas + at, rowProduct<F>(o + row, dOut + row, headDim, lineO, lineDo));
            store<f32>(offsets + at, load<f32>(lses + (<usize>(first + i) << 2)));
          }
          scoreGradients<F>(pPanel, dsPanel, first, seen, scale, deltas, offsets, spare);
          if (both) scoreGradients<F>(pPanel + stride, dsPanel + stride, first + PANEL, nextSeen, scale, deltas + PANEL * 4, offsets + PANEL * 4, spare);
          // dQ = dS K
          block.multiplyTwo<F>(
            kAcross, time, dsPanel, headDim, min(seen, time), dqTiles, dsPanel + stride, headDim, min(nextSeen, time), dqTiles + panel,
          );
          for (let i = 0; i < count; i += PANEL) {
            const to = dq + rows + <usize>((first + i) * ld) * bytes;
            block.storeColumns(dqTiles + <usize>(i / PANEL) * panel, headDim, min(PANEL, count - i), lines, dtype, to, <usize>ld * bytes);
          }
        }
        // dK += dS^T Q and dV += P^T dO, for the keys this block sees
        const seen = block.ceil(start + size, TILE_ROWS);
        block.packB<F>(qAcross, q + rows + <usize>(start * ld) * bytes, ld, headDim, size);
        block.accumulate<F>(ds, stride, start, size, seen, qAcross, headDim, transposed, dkTiles);
        block.packB<F>(doAcross, dOut + outs + <usize>(start * ldo) * bytes, ldo, headDim, size);
        block.accumulate<F>(p, stride, start, size, seen, doAcross, headDim, transposed, dvTiles);
      }
    }
    for (let i = 0; i < time; i++) {
      const at = kv + <usize>(i * ld) * bytes;
      block.sumLine(dkTiles, headDim, i, lines);
      storeRow(dtype, lines, dk + at, headDim);
      block.sumLine(dvTiles, headDim, i, lines);
      storeRow(dtype, lines, dv + at, headDim);
    }
  }
}
