/** The model of src/model in float64, from its definition and not from its code: what a loss or a drawn token is held against. */

/** x (T, K) times w (N, K) transposed. */
function linear(x, w, depth) {
  const rows = x.length / depth;
  const columns = w.length / depth;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let l = 0; l < depth; l++) sum += x[i * depth + l] * w[j * depth + l];
      out[i * columns + j] = sum;
    }
  }
  return out;
}

function norm(x, gain, eps) {
  const width = gain.length;
  const out = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += width) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += x[at + i] ** 2;
    const factor = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) out[at + i] = x[at + i] * factor * gain[i];
  }
  return out;
}

/** Turns channel i of each head with channel i + D/2, in place. `count` heads at the start of each row. */
function rotate(rows, stride, count, { headDim, ropeTheta }) {
  const half = headDim / 2;
  for (let position = 0; position < rows.length / stride; position++) {
    for (let head = 0; head < count; head++) {
      for (let i = 0; i < half; i++) {
        const angle = position * ropeTheta ** ((-2 * i) / headDim);
        const low = position * stride + head * headDim + i;
        const [a, b] = [rows[low], rows[low + half]];
        rows[low] = a * Math.cos(angle) - b * Math.sin(angle);
        rows[low + half] = b * Math.cos(angle) + a * Math.sin(angle);
      }
    }
  }
}

function attention(qkv, { heads, kvHeads, headDim }) {
  const stride = (heads + 2 * kvHeads) * headDim;
  const time = qkv.length / stride;
  const out = new Float64Array(time * heads * headDim);
  for (let head = 0; head < heads; head++) {
    const keys = (heads + Math.floor((head * kvHeads) / heads)) * headDim;
    const values = keys + kvHeads * headDim;
    for (let i = 0; i < time; i++) {
      const query = i * stride + head * headDim;
      const to = (i * heads + head) * headDim;
      const scores = Float64Array.from({ length: i + 1 }, (_, j) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += qkv[query + d] * qkv[j * stride + keys + d];
        return dot / Math.sqrt(headDim);
      });
      const p = softmax(scores);
      for (let j = 0; j <= i; j++) for (let d = 0; d < headDim; d++) out[to + d] += p[j] * qkv[j * stride + values + d];
    }
  }
  return out;
}

function softmax(scores) {
  const peak = scores.reduce((a, b) => Math.max(a, b));
  const powers = scores.map((score) => Math.exp(score - peak));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

const sumOf = (a, b) => a.map((x, i) => x + b[i]);

/** Logits (T, V) of one sequence. weights: name -> numbers, in the layout of src/model/params.ts. */
export function logits64(config, weights, ids) {
  const { hiddenSize: C, intermediateSize: F, heads, kvHeads, headDim, rmsNormEps: eps } = config;
  const embed = weights.get('embed');
  let h = Float64Array.from({ length: ids.length * C }, (_, i) => embed[ids[Math.floor(i / C)] * C + (i % C)]);
  for (let layer = 0; layer < config.layers; layer++) {
    const w = (name) => weights.get(`layers.${layer}.${name}`);
    const qkv = linear(norm(h, w('attn_norm'), eps), w('qkv'), C);
    rotate(qkv, (heads + 2 * kvHeads) * headDim, heads + kvHeads, config);
    h = sumOf(h, linear(attention(qkv, config), w('o'), heads * headDim));
    const gateUp = linear(norm(h, w('mlp_norm'), eps), w('gate_up'), C);
    const y = Float64Array.from({ length: ids.length * F }, (_, i) => {
      const gate = gateUp[Math.floor(i / F) * 2 * F + (i % F)];
      return (gate / (1 + Math.exp(-gate))) * gateUp[Math.floor(i / F) * 2 * F + F + (i % F)];
    });
    h = sumOf(h, linear(y, w('down'), F));
  }
  return linear(norm(h, weights.get('norm'), eps), weights.get(config.tieWordEmbeddings ? 'embed' : 'head'), C);
}

/** Mean cross-entropy in nats of `count` sequences laid end to end. */
export function loss64(config, weights, inputs, targets, count) {
  const time = inputs.length / count;
  let sum = 0;
  for (let from = 0; from < inputs.length; from += time) {
    const logits = logits64(config, weights, inputs.subarray(from, from + time));
    for (let t = 0; t < time; t++) {
      const line = logits.subarray(t * config.vocabSize, (t + 1) * config.vocabSize);
      const p = softmax(line);
      sum -= Math.log(p[targets[from + t]]);
    }
  }
  return sum / inputs.length;
}
