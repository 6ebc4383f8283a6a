/** The model of src/model in float64, built from the textbook operations of test/reference: the reference for losses and logits. */
import { float64 } from './mirror.mjs';

/** X W^T like float64.linear, four rows of X at a time: the products of a batch would otherwise take most of a check. */
function linear(x, w, depth) {
  const rows = x.length / depth;
  const columns = w.length / depth;
  const out = new Array(rows * columns).fill(0);
  for (let i = 0; i < rows; i += 4) {
    // Repeats the last row if there are fewer than four.
    const [r0, r1, r2, r3] = [0, 1, 2, 3].map((r) => Math.min(i + r, rows - 1));
    for (let j = 0; j < columns; j++) {
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let l = 0; l < depth; l++) {
        const y = w[j * depth + l];
        s0 += x[r0 * depth + l] * y;
        s1 += x[r1 * depth + l] * y;
        s2 += x[r2 * depth + l] * y;
        s3 += x[r3 * depth + l] * y;
      }
      out[r0 * columns + j] = s0;
      out[r1 * columns + j] = s1;
      out[r2 * columns + j] = s2;
      out[r3 * columns + j] = s3;
    }
  }
  return out;
}

const sumOf = (a, b) => a.map((x, i) => x + b[i]);

/** Logits (batch * time, V) of sequences laid end to end. weights: name -> numbers, laid out as in src/model/params.ts. */
export function logits64(config, weights, ids, time = ids.length) {
  const { hiddenSize: C, intermediateSize: F, heads, kvHeads, headDim, rmsNormEps: eps } = config;
  const shape = { batch: ids.length / time, time, heads, kvHeads, headDim };
  const one = { rows: new Float64Array(ids.length).fill(1), channels: new Float64Array(F).fill(1) };
  const embed = weights.get('embed');
  let h = Array.from({ length: ids.length * C }, (_, i) => embed[ids[Math.floor(i / C)] * C + (i % C)]);
  for (let layer = 0; layer < config.layers; layer++) {
    const w = (name) => weights.get(`layers.${layer}.${name}`);
    const qkv = linear(float64.norm(h, w('attn_norm'), eps), w('qkv'), C);
    const width = (heads + 2 * kvHeads) * headDim;
    const turned = float64.rope(qkv, width, heads + kvHeads, headDim, time, config.ropeTheta);
    h = sumOf(h, linear(float64.attention(turned, shape), w('o'), heads * headDim));
    const gateUp = linear(float64.norm(h, w('mlp_norm'), eps), w('gate_up'), C);
    h = sumOf(h, linear(float64.swiglu(gateUp, F, one.rows, one.channels), w('down'), F));
  }
  const head = weights.get(config.tieWordEmbeddings ? 'embed' : 'head');
  return linear(float64.norm(h, weights.get('norm'), eps), head, C);
}

/** Mean cross-entropy in nats of sequences laid end to end. */
export function loss64(config, weights, inputs, targets, time) {
  return float64.crossEntropy(logits64(config, weights, inputs, time), config.vocabSize, targets) / inputs.length;
}
