/** The operations as the textbooks have them, in float64: what the gradients of the kernels are gradients of. */
import type { AttentionShape } from '../../src/ops/attention.js';

type Reals = ArrayLike<number>;

const rowsOf = (x: Reals, columns: number) => Array.from({ length: x.length / columns }, (_, row) => row * columns);

/** x / sqrt(mean(x^2) + eps) * gain. */
export function norm(x: Reals, gain: Reals, eps: number): number[] {
  const channels = gain.length;
  return rowsOf(x, channels).flatMap((at) => {
    let squares = 0;
    for (let i = 0; i < channels; i++) squares += x[at + i] ** 2;
    const rstd = 1 / Math.sqrt(squares / channels + eps);
    return Array.from({ length: channels }, (_, i) => x[at + i] * rstd * gain[i]);
  });
}

/** Each pair (i, i + D/2) of the first `heads` heads as a complex number, times e^(i position theta^(-2i/D)). */
export function rope(x: Reals, stride: number, heads: number, headDim: number, time: number, theta: number): number[] {
  const out = Array.from(x);
  const half = headDim / 2;
  for (const at of rowsOf(x, stride)) {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < half; i++) {
        const angle = ((at / stride) % time) * theta ** ((-2 * i) / headDim);
        const low = at + head * headDim + i;
        out[low] = x[low] * Math.cos(angle) - x[low + half] * Math.sin(angle);
        out[low + half] = x[low] * Math.sin(angle) + x[low + half] * Math.cos(angle);
      }
    }
  }
  return out;
}

/** silu(gate) * up / (rowScale * channelScale). */
export function swiglu(gateUp: Reals, width: number, rowScale: Reals, channelInv: Reals): number[] {
  return rowsOf(gateUp, 2 * width).flatMap((at, row) =>
    Array.from({ length: width }, (_, i) => {
      const gate = gateUp[at + i];
      return ((gate / (1 + Math.exp(-gate))) * gateUp[at + width + i] * channelInv[i]) / rowScale[row];
    }),
  );
}

function softmax(scores: readonly number[]): number[] {
  const peak = Math.max(...scores);
  const powers = scores.map((s) => Math.exp(s - peak));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
}

/** Sum over rows of -log softmax(logits)[target]. */
export function crossEntropy(logits: Reals, vocabulary: number, targets: Reals): number {
  return rowsOf(logits, vocabulary).reduce((total, at, row) => {
    const line = Array.from({ length: vocabulary }, (_, i) => logits[at + i]);
    return total - Math.log(softmax(line)[targets[row]]);
  }, 0);
}

/** Causal attention over rows of queries, keys and values: (batch * time, (heads + 2 kvHeads) * headDim) -> (batch * time, heads * headDim). */
export function attention(qkv: Reals, { batch, time, heads, kvHeads, headDim }: AttentionShape): number[] {
  const stride = (heads + 2 * kvHeads) * headDim;
  const out = new Array<number>(batch * time * heads * headDim).fill(0);
  for (let row = 0; row < batch * time; row++) {
    const first = row - (row % time);
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const [q, k, v] = [head, heads + kvHead, heads + kvHeads + kvHead].map((part) => part * headDim);
      const scores = Array.from({ length: row - first + 1 }, (_, j) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += qkv[row * stride + q + d] * qkv[(first + j) * stride + k + d];
        return dot / Math.sqrt(headDim);
      });
      softmax(scores).forEach((p, j) => {
        for (let d = 0; d < headDim; d++)
          out[(row * heads + head) * headDim + d] += p * qkv[(first + j) * stride + v + d];
      });
    }
  }
  return out;
}

/** X W^T. */
export function linear(x: Reals, w: Reals, features: number): number[] {
  return rowsOf(x, features).flatMap((i) =>
    rowsOf(w, features).map((j) => {
      let sum = 0;
      for (let k = 0; k < features; k++) sum += x[i + k] * w[j + k];
      return sum;
    }),
  );
}

/** d f / d x by central differences. With h = 2^-17 their own error is about h^2 = 6e-11 of the third derivative, and 2^-53 / h = 1e-11 of f. */
export function gradient(f: (x: Float64Array) => number, at: Reals): number[] {
  const h = 2 ** -17;
  const x = Float64Array.from(at);
  return Array.from(x, (centre, i) => {
    x[i] = centre + h;
    const above = f(x);
    x[i] = centre - h;
    const below = f(x);
    x[i] = centre;
    return (above - below) / (2 * h);
  });
}
