/**
 * Every backward kernel, in float32 storage, against central differences of the operation written down in float64 (reference/float64.ts).
 * The two share no code: a wrong formula, sign, index or scale shows here even where kernel and mirror agree.
 *
 * Tolerance: with n roundings along the longest path from the inputs, an element is within n * 2^-24 of the largest one, as long as the
 * terms of a sum are no larger than that. Measured: a third of it at most.
 */
import { describe, expect, it } from 'vitest';
import { type AttentionShape, attentionBackward, attentionForward } from '../src/ops/attention.js';
import { embeddingBackward, embeddingForward } from '../src/ops/embedding.js';
import { linearBackwardInput, linearBackwardWeight, linearForward } from '../src/ops/linear.js';
import { crossEntropy } from '../src/ops/loss.js';
import { normBackward, normForward } from '../src/ops/norm.js';
import { rope, ropeTable } from '../src/ops/rope.js';
import { swigluBackward, swigluForward } from '../src/ops/swiglu.js';
import { floats, upload, zeros } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, placeFloats, tokens } from './helpers/cases.js';
import { expectWithin } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { attentionName } from './helpers/shapes.js';
import * as truth from './reference/float64.js';

const onEveryBuild = useBuilds();

/** n roundings of the largest. */
const tolerance = (roundings: number, values: ArrayLike<number>) => {
  const largest = Array.from(values).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  expect(largest).toBeGreaterThan(0);
  return roundings * 2 ** -24 * largest;
};

const close = (actual: ArrayLike<number>, expected: readonly number[], roundings: number, label: string) =>
  expectWithin(actual, expected, tolerance(roundings, expected), label);

/** sum of weights * values: a loss whose gradient with respect to the values is the weights. */
const dot = (weights: ArrayLike<number>, values: readonly number[]) =>
  values.reduce((sum, value, i) => sum + weights[i] * value, 0);

it('norm: x, gain and the residual', () => {
  const [rows, channels, eps] = [5, 12, 1e-5];
  const random = new Random(1);
  const [x, dy, dres] = [0, 1, 2].map(() => random.normals(rows * channels));
  const gain = random.normals(channels);
  const y = truth.norm(x, gain, eps);
  const dx = truth.gradient((at) => dot(dy, truth.norm(at, gain, eps)) + dot(dres, Array.from(at)), x);
  const dGain = truth.gradient((at) => dot(dy, truth.norm(x, at, eps)), gain);
  onEveryBuild((engine, name) => {
    const lay = (values: Float32Array) => floatTensor(engine, values, [rows, channels]);
    const [xs, gains] = [lay(x), floatTensor(engine, gain, [channels])];
    const forward = normForward(engine, xs, gains, eps);
    close(floats(engine, forward.y), y, channels + 6, `${name}: y`);
    const sums = zeros(engine, [channels], 'float32');
    const got = normBackward(engine, lay(dy), xs, gains, forward.rstd, lay(dres), sums);
    close(floats(engine, got), dx, channels + 12, `${name}: dx`);
    close(floats(engine, sums), dGain, rows + 4, `${name}: dGain`);
  });
});

it('rope: turning back is the gradient', () => {
  const [rows, heads, still, headDim, time, theta] = [10, 2, 1, 6, 5, 50];
  const stride = (heads + still) * headDim;
  const random = new Random(2);
  const [x, dy] = [random.normals(rows * stride), random.normals(rows * stride)];
  const turned = (at: ArrayLike<number>) => truth.rope(at, stride, heads, headDim, time, theta);
  const dx = truth.gradient((at) => dot(dy, turned(at)), x);
  onEveryBuild((engine, name) => {
    const table = ropeTable(engine, time, headDim, theta);
    const [xs, grads] = [x, dy].map((values) => floatTensor(engine, values, [rows, stride]));
    rope(engine, xs, { heads, headDim, time }, table, 'forward');
    close(floats(engine, xs), turned(x), 4, `${name}: forward`);
    rope(engine, grads, { heads, headDim, time }, table, 'back');
    close(floats(engine, grads), dx, 4, `${name}: back`);
  });
});

const SMOOTHING = [
  ['plain', false, false],
  ['per token', true, false],
  ['per channel', false, true],
] as const;

it.each(SMOOTHING)('swiglu, %s: gates and ups', (_, perToken, perChannel) => {
  const [rows, width] = [9, 8];
  const random = new Random(3);
  const [gateUp, dy] = [random.normals(2 * rows * width, 2), random.normals(rows * width)];
  const channelInv = Float32Array.from({ length: width }, () => (perChannel ? 2 ** random.integer(-3, 3) : 1));
  onEveryBuild((engine, name) => {
    const x = floatTensor(engine, gateUp, [rows, 2 * width]);
    const inv = perChannel ? floatTensor(engine, channelInv, [width]) : undefined;
    const { y, rowScale } = swigluForward(engine, x, {
      first: { dtype: 'float32', scale: 1 },
      perToken,
      channelInv: inv,
    });
    // s is a constant: its own dependence on the row is not differentiated.
    const s = rowScale ? floats(engine, rowScale).slice() : new Float32Array(rows).fill(1);
    const forward = (at: ArrayLike<number>) => truth.swiglu(at, width, s, channelInv);
    close(floats(engine, y), forward(gateUp), 8, `${name}: y`);
    const grads = swigluBackward(engine, floatTensor(engine, dy, [rows, width]), x, { rowScale, channelInv: inv });
    const expected = truth.gradient((at) => dot(dy, forward(at)), gateUp);
    close(floats(engine, grads), expected, 12, `${name}: dGateUp`);
  });
});

it('crossEntropy: logits', () => {
  const [rows, vocabulary, gradScale] = [6, 11, 0.3];
  const random = new Random(4);
  const logits = random.normals(rows * vocabulary, 2);
  const targets = tokens(random, rows, vocabulary);
  const loss = truth.crossEntropy(logits, vocabulary, targets);
  const expected = truth.gradient((at) => gradScale * truth.crossEntropy(at, vocabulary, targets), logits);
  onEveryBuild((engine, name) => {
    const t = floatTensor(engine, logits, [rows, vocabulary]);
    const got = crossEntropy(engine, t, upload(engine, targets), gradScale);
    close([got], [loss], rows * 8, `${name}: loss`);
    close(floats(engine, t), expected, vocabulary, `${name}: gradient`);
  });
});

const SHAPES: readonly AttentionShape[] = [
  { batch: 2, time: 7, heads: 4, kvHeads: 2, headDim: 6 },
  { batch: 1, time: 50, heads: 2, kvHeads: 1, headDim: 2 },
  { batch: 1, time: 9, heads: 2, kvHeads: 2, headDim: 8 },
];

it.each(SHAPES.map((shape) => [attentionName(shape), shape] as const))(
  'attention, %s: queries, keys and values',
  (_, shape) => {
    const { batch, time, heads, kvHeads, headDim } = shape;
    const [width, outWidth] = [(heads + 2 * kvHeads) * headDim, heads * headDim];
    const random = new Random(5);
    const [qkv, dOut] = [random.normals(batch * time * width), random.normals(batch * time * outWidth)];
    const expected = truth.gradient((at) => dot(dOut, truth.attention(at, shape)), qkv);
    onEveryBuild((engine, name) => {
      const x = floatTensor(engine, qkv, [batch * time, width]);
      const { out, lse } = attentionForward(engine, x, shape);
      close(floats(engine, out), truth.attention(qkv, shape), time + headDim, `${name}: out`);
      const grads = attentionBackward(engine, x, out, lse, floatTensor(engine, dOut, [batch * time, outWidth]), shape);
      close(floats(engine, grads), expected, time + 2 * headDim, `${name}: dQkv`);
    });
  },
);

describe('linear', () => {
  const [rows, inputs, outputs] = [9, 13, 7];
  const random = new Random(6);
  const x = random.normals(rows * inputs);
  const w = random.normals(outputs * inputs);
  const dy = random.normals(rows * outputs);
  const before = random.normals(outputs * inputs);
  const residual = random.normals(rows * outputs);

  it('the three products, the residual and the sum of gradients', () => {
    const y = truth.linear(x, w, inputs).map((value, i) => value + residual[i]);
    const dx = truth.gradient((at) => dot(dy, truth.linear(at, w, inputs)), x);
    const dw = truth.gradient((at) => dot(dy, truth.linear(x, at, inputs)), w);
    onEveryBuild((engine, name) => {
      const [xs, ws] = [floatTensor(engine, x, [rows, inputs]), floatTensor(engine, w, [outputs, inputs])];
      const [dys, addend] = [dy, residual].map((values) => floatTensor(engine, values, [rows, outputs]));
      close(floats(engine, linearForward(engine, xs, ws, { dtype: 'float32', addend })), y, inputs + 1, `${name}: y`);
      close(floats(engine, linearBackwardInput(engine, dys, ws, 'float32')), dx, outputs, `${name}: dx`);
      const sums = floatTensor(engine, before, [outputs, inputs]);
      linearBackwardWeight(engine, dys, xs, sums);
      close(
        floats(engine, sums),
        dw.map((d, i) => d + before[i]),
        rows + 1,
        `${name}: dw`,
      );
    });
  });

  it('with a factor per row, as Smooth-SwiGLU leaves behind, and per input feature', () => {
    const rowFactor = Float32Array.from({ length: rows }, () => 0.5 + random.uniform());
    const columnFactor = Float32Array.from({ length: inputs }, () => 0.5 + random.uniform());
    const y = truth.linear(x, w, inputs).map((value, i) => value * rowFactor[Math.floor(i / outputs)]);
    // Y = X diag(columnFactor) W^T, so that dW is scaled by column.
    const features = (at: ArrayLike<number>) => Array.from(at, (value, i) => value * columnFactor[i % inputs]);
    const dw = truth.gradient((at) => dot(dy, truth.linear(features(x), at, inputs)), w);
    onEveryBuild((engine, name) => {
      const [xs, ws] = [floatTensor(engine, x, [rows, inputs]), floatTensor(engine, w, [outputs, inputs])];
      const scaled = linearForward(engine, xs, ws, { dtype: 'float32', rowFactor: placeFloats(engine, rowFactor) });
      close(floats(engine, scaled), y, inputs + 1, `${name}: y`);
      const sums = zeros(engine, [outputs, inputs], 'float32');
      linearBackwardWeight(
        engine,
        floatTensor(engine, dy, [rows, outputs]),
        xs,
        sums,
        placeFloats(engine, columnFactor),
      );
      close(floats(engine, sums), dw, rows + 1, `${name}: dw`);
    });
  });
});

it('embedding: the table', () => {
  const [rows, vocabulary, channels] = [9, 4, 8];
  const random = new Random(7);
  const [table, dy] = [random.normals(vocabulary * channels), random.normals(rows * channels)];
  const ids = tokens(random, rows, vocabulary);
  const forward = (at: ArrayLike<number>) =>
    Array.from(ids).flatMap((id) => Array.from(at).slice(id * channels, (id + 1) * channels));
  const expected = truth.gradient((at) => dot(dy, forward(at)), table);
  onEveryBuild((engine, name) => {
    const at = upload(engine, ids);
    const out = embeddingForward(engine, floatTensor(engine, table, [vocabulary, channels]), at, rows, 'float32');
    close(floats(engine, out), forward(table), 1, `${name}: rows`);
    const sums = zeros(engine, [vocabulary, channels], 'float32');
    embeddingBackward(engine, floatTensor(engine, dy, [rows, channels]), at, sums);
    close(floats(engine, sums), expected, rows, `${name}: dTable`);
  });
});
