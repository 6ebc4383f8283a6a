/** assembly/attention.ts: causal attention in the kernel's order. Keys ascend in every sum over keys, queries in every sum over queries. */
import { type DType, round } from '../../src/formats/index.js';
import type { AttentionShape } from '../../src/ops/attention.js';
import { add, div, exp2, f, laneSum, mul, sub } from './lanes.js';

/** Softmax is in powers of two; probabilities below 2^-60 (BF16) or 2^-126 are zero. */
const LOG2E = f(Math.LOG2E);
const leastOf = (dtype: DType): number => (dtype === 'float32' ? -126 : -60);

/** P and dS become operands of the next product: BF16 by nearest-even, zero below 2^-60; float32 stays. */
function operand(values: Float32Array, dtype: DType): Float32Array {
  if (dtype === 'float32') return values;
  return Float32Array.from(round(values, 'bfloat16'), (x) => (Math.abs(x) < 2 ** -60 ? 0 : x));
}

interface Rows {
  readonly values: Float32Array;
  /** Elements from one row to the next, and from the start to the first row. */
  readonly stride: number;
  readonly at: number;
}

const dot = (a: Rows, i: number, b: Rows, j: number, headDim: number): number => {
  let sum = 0;
  const [p, q] = [a.at + i * a.stride, b.at + j * b.stride];
  for (let d = 0; d < headDim; d++) sum = f(sum + f(a.values[p + d] * b.values[q + d]));
  return sum;
};

/** Where head `head` of each part lies in a matrix of QKV rows. */
export function headsOf(
  values: Float32Array,
  { batch, time, heads, kvHeads, headDim }: AttentionShape,
  b: number,
  head: number,
) {
  const stride = (heads + 2 * kvHeads) * headDim;
  const kvHead = Math.floor(head / (heads / kvHeads));
  if (values.length !== batch * time * stride) throw new Error('expected a matrix of QKV rows');
  const part = (offset: number): Rows => ({ values, stride, at: b * time * stride + offset * headDim });
  return { kvHead, q: part(head), k: part(heads + kvHead), v: part(heads + kvHeads + kvHead) };
}

/** qkv (batch * time, ...) as the kernel reads it -> out before it is stored, and the log-sum-exp of each row, in base 2. */
export function attentionForward(qkv: Float32Array, dtype: DType, shape: AttentionShape) {
  const { batch, time, heads, headDim } = shape;
  const scale = mul(f(1 / Math.sqrt(headDim)), LOG2E);
  const least = leastOf(dtype);
  const out = new Float32Array(batch * time * heads * headDim);
  const lse = new Float32Array(batch * heads * time);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const { q, k, v } = headsOf(qkv, shape, b, head);
      for (let i = 0; i < time; i++) {
        const scores = Float32Array.from({ length: i + 1 }, (_, j) => mul(dot(q, i, k, j, headDim), scale));
        const peak = scores.reduce((x, y) => Math.max(x, y));
        const powers = scores.map((s) => exp2(sub(s, peak), least));
        const sum = powers.reduce(add);
        const inverse = div(1, sum);
        lse[(b * heads + head) * time + i] = add(peak, f(Math.log(sum) * Math.LOG2E));
        const p = operand(powers, dtype);
        for (let d = 0; d < headDim; d++) {
          let o = 0;
          for (let j = 0; j <= i; j++) o = f(o + f(p[j] * v.values[v.at + j * v.stride + d]));
          out[((b * time + i) * heads + head) * headDim + d] = mul(o, inverse);
        }
      }
    }
  }
  return { out, lse };
}

/**
 * dQkv before it is stored. `stored` are out and dOut as decoded: their row-wise product is summed before the operands' cut at 2^-60,
 * which `dOut` as an operand has had.
 */
export function attentionBackward(
  qkv: Float32Array,
  dtype: DType,
  shape: AttentionShape,
  stored: { out: Float32Array; dOut: Float32Array },
  dOut: Float32Array,
  lse: Float32Array,
): Float32Array<ArrayBuffer> {
  const { batch, time, heads, kvHeads, headDim } = shape;
  const scale = f(1 / Math.sqrt(headDim));
  const [powerScale, least] = [mul(scale, LOG2E), leastOf(dtype)];
  const group = heads / kvHeads;
  const result = new Float32Array(qkv.length);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const { q, k, v, kvHead } = headsOf(qkv, shape, b, head);
      const grads = headsOf(result, shape, b, head);
      if (kvHead !== Math.floor(head / group)) throw new Error('unreachable');
      const doRows: Rows = { values: dOut, stride: heads * headDim, at: (b * time * heads + head) * headDim };
      for (let i = 0; i < time; i++) {
        const row = doRows.at + i * doRows.stride;
        const delta = laneSum(headDim, (d) => mul(stored.out[row + d], stored.dOut[row + d]));
        const offset = lse[(b * heads + head) * time + i];
        const powers = new Float32Array(i + 1);
        const slopes = new Float32Array(i + 1);
        for (let j = 0; j <= i; j++) {
          powers[j] = exp2(sub(mul(dot(q, i, k, j, headDim), powerScale), offset), least);
          slopes[j] = powers[j] === 0 ? 0 : mul(mul(powers[j], sub(dot(doRows, i, v, j, headDim), delta)), scale);
        }
        const [p, ds] = [operand(powers, dtype), operand(slopes, dtype)];
        for (let d = 0; d < headDim; d++) {
          let dq = 0;
          for (let j = 0; j <= i; j++) {
            const at = j * q.stride + d;
            dq = f(dq + f(ds[j] * k.values[k.at + at]));
            // A key's sums run over the heads of its group and then over the queries, both ascending: the order of these loops.
            const [dk, dv] = [grads.k.at + at, grads.v.at + at];
            result[dk] = f(result[dk] + f(ds[j] * q.values[q.at + i * q.stride + d]));
            result[dv] = f(result[dv] + f(p[j] * dOut[row + d]));
          }
          result[grads.q.at + i * q.stride + d] = dq;
        }
      }
    }
  }
  return result;
}
