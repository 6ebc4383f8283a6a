/**
 * The training step in jax-js: node jax-step.mjs <folder of the plan>. The same Llama as src/model, in float32, with value and gradient by its
 * autodiff and AdamW as in its optax, all in one jit. Passing an array passes its ownership; `.ref` adds another owner.
 */
import { serve } from '../step/child.mjs';
import { readPlan } from '../step/plan.mjs';
import { load, NAME } from './jax.mjs';

const jax = await load();
const { numpy: np, nn } = jax;
const { plan, weights, tokens } = readPlan(process.argv[2]);
const { config, batchSize: B, blockSize: T, parameters, beta1, beta2, eps } = plan;
const { vocabSize: V, hiddenSize: C, heads: H, layers, ropeTheta, rmsNormEps } = config;
if (config.kvHeads !== H || !config.tieWordEmbeddings) throw new RangeError('expected tied embeddings and full heads');
const D = C / H;

const angle = (t, i) => t * ropeTheta ** ((-2 * i) / D);
const table = (f) =>
  np.array(
    Float32Array.from({ length: (T * D) / 2 }, (_, at) => f(angle(Math.floor(at / (D / 2)), at % (D / 2)))),
    { shape: [T, D / 2] },
  );
const [cosines, sines] = [table(Math.cos), table(Math.sin)];
const mask = np.array(
  Float32Array.from({ length: T * T }, (_, at) => (at % T > Math.floor(at / T) ? -1e30 : 0)),
  { shape: [T, T] },
);

const norm = (x, gain) => {
  const scale = np.mean(x.ref.mul(x.ref), -1, { keepdims: true }).add(rmsNormEps);
  return x.div(np.sqrt(scale)).mul(gain);
};
/** Weights are (out, in). */
const linear = (x, w) => np.matmul(x, w.transpose());

function rotate(x) {
  const [a, b] = np.split(x, 2, -1);
  const [c, s] = [cosines.ref, sines.ref];
  return np.concatenate([a.ref.mul(c.ref).sub(b.ref.mul(s.ref)), b.mul(c).add(a.mul(s))], -1);
}

function attention(x, wQkv) {
  const heads = (part) => part.reshape([B, T, H, D]).transpose([0, 2, 1, 3]);
  const [q, k, v] = np.split(linear(x, wQkv), 3, -1).map(heads);
  const scores = np.matmul(rotate(q), rotate(k).transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(D));
  const p = nn.softmax(scores.add(mask.ref), -1);
  return np
    .matmul(p, v)
    .transpose([0, 2, 1, 3])
    .reshape([B * T, C]);
}

function feedForward(x, wGateUp, wDown) {
  const [gate, up] = np.split(linear(x, wGateUp), 2, -1);
  return linear(nn.silu(gate).mul(up), wDown);
}

/** w: name -> array; the call takes ownership of each. */
function loss(w, inputs, targets) {
  let h = np.matmul(nn.oneHot(inputs, V), w.embed.ref);
  for (let i = 0; i < layers; i++) {
    const at = `layers.${i}`;
    h = h.ref.add(linear(attention(norm(h, w[`${at}.attn_norm`]), w[`${at}.qkv`]), w[`${at}.o`]));
    h = h.ref.add(feedForward(norm(h, w[`${at}.mlp_norm`]), w[`${at}.gate_up`], w[`${at}.down`]));
  }
  const logits = linear(norm(h, w.norm), w.embed);
  return np.sum(nn.logSoftmax(logits, -1).mul(nn.oneHot(targets, V))).mul(-1 / (B * T));
}

const map = (f) => Object.fromEntries(parameters.map((parameter) => [parameter.name, f(parameter)]));

/** firstRate: the learning rate over the first moment's bias correction; secondRate: one over the second's. */
const update = jax.jit((w, m, v, inputs, targets, firstRate, secondRate) => {
  const [value, gradients] = jax.valueAndGrad(loss)(
    map(({ name }) => w[name].ref),
    inputs,
    targets,
  );
  const squares = parameters.map(({ name }) => np.sum(gradients[name].ref.mul(gradients[name].ref)));
  const total = np.sqrt(squares.reduce((sum, square) => sum.add(square)));
  const clip = np.minimum(np.reciprocal(total.add(1e-6)).mul(plan.gradClip), 1);
  const next = map(({ name, decay }) => {
    const gradient = gradients[name].mul(clip.ref);
    const first = m[name].mul(beta1).add(gradient.ref.mul(1 - beta1));
    const second = v[name].mul(beta2).add(gradient.ref.mul(gradient).mul(1 - beta2));
    const denominator = np.sqrt(second.ref.mul(secondRate.ref)).add(eps);
    const kept = decay ? w[name].mul(1 - plan.learningRate * plan.weightDecay) : w[name];
    return { w: kept.sub(first.ref.mul(firstRate.ref).div(denominator)), m: first, v: second };
  });
  clip.dispose();
  firstRate.dispose();
  secondRate.dispose();
  const part = (key) => map(({ name }) => next[name][key]);
  return [value, part('w'), part('m'), part('v')];
});

let at = 0;
let w = map(({ shape }) => {
  const count = shape.reduce((a, b) => a * b, 1);
  at += count;
  return np.array(weights.slice(at - count, at), { shape });
});
let m = map(({ shape }) => np.zeros(shape));
let v = map(({ shape }) => np.zeros(shape));
let step = 0;

/** Token ids of the batch, starting at column `first`. */
const ids = (first) => {
  const rows = Array.from({ length: B }, (_, row) => tokens.subarray(row * (T + 1) + first, row * (T + 1) + first + T));
  return np.array(Int32Array.from(rows.flatMap((row) => [...row])), { shape: [B * T], dtype: np.int32 });
};
const [inputs, targets] = [ids(0), ids(1)];

await serve(NAME, async () => {
  step++;
  const rates = [plan.learningRate / (1 - beta1 ** step), 1 / (1 - beta2 ** step)].map((x) => np.array(x));
  const [value, ...state] = update(w, m, v, inputs.ref, targets.ref, ...rates);
  [w, m, v] = state;
  await jax.blockUntilReady([w, m, v]);
  return (await value.data())[0];
});
