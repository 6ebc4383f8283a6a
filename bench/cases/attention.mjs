/**
 * Causal attention, forward, backward, and of one token over a cache, against the mirror. Operations counted: those of the products, without
 * the masked halves.
 */
import { attentionBackward, attentionCached, attentionForward, emptyCache } from '../../dist/ops/attention.js';
import { bytesOf, floats, int32At, upload } from '../../dist/ops/tensor.js';
import * as mirror from '../mirror.mjs';
import { operations } from '../work.mjs';

const STORAGE = ['float32', 'bfloat16'];
/** Products over the triangle of scores. Forward: Q K and P V. Backward: Q K again, dO V, and one each for dQ, dK and dV. */
const PRODUCTS = { forward: 2, backward: 5 };

const operationsOf = ({ batch, time, heads, headDim }, pass) =>
  PRODUCTS[pass] * 2 * headDim * ((time * (time + 1)) / 2) * batch * heads;

export function attentionCases({ attention, cached }) {
  const passes = { forward: attention, backward: attention, 'of the last token, cached': cached };
  return Object.entries(passes).map(([pass, shape]) => {
    const { batch, time, heads, kvHeads, headDim } = shape;
    return {
      name: `attention ${pass}, B ${batch}, T ${time}, H ${heads}/${kvHeads}, D ${headDim}`,
      prepare: ({ engine }) => STORAGE.map((dtype) => PASSES[pass](engine, shape, dtype)),
    };
  });
}

const PASSES = { forward, backward, 'of the last token, cached': last };

function problem(engine, shape, dtype) {
  const random = new mirror.Random(shape.time);
  const rows = shape.batch * shape.time;
  const qkv = mirror.normals(random, [rows, (shape.heads + 2 * shape.kvHeads) * shape.headDim], dtype);
  const dOut = mirror.normals(random, [rows, shape.heads * shape.headDim], dtype);
  const read = mirror.operands(qkv.codes, dtype);
  return { qkv, dOut, read, placed: mirror.place(engine, qkv) };
}

function forward(engine, shape, dtype) {
  const { read, placed } = problem(engine, shape, dtype);
  return {
    name: dtype,
    ...operations(operationsOf(shape, 'forward'), dtype),
    run: () => attentionForward(engine, placed, shape),
    seen: ({ out, lse }) => ({ out: engine.codes(out), lse: floats(engine, lse).slice() }),
    expected: () => {
      const { out, lse } = mirror.attention.attentionForward(read, dtype, shape);
      return { out: mirror.store(out, dtype), lse };
    },
  };
}

/** Uses the engine's own forward pass, which the case above checks. */
function backward(engine, shape, dtype) {
  const { dOut, read, placed } = problem(engine, shape, dtype);
  const { out, lse } = attentionForward(engine, placed, shape);
  const gradient = mirror.place(engine, dOut);
  return {
    name: dtype,
    ...operations(operationsOf(shape, 'backward'), dtype),
    run: () => attentionBackward(engine, placed, out, lse, gradient, shape),
    seen: (dQkv) => ({ dQkv: engine.codes(dQkv) }),
    expected: () => {
      const stored = { out: mirror.decoded(engine.codes(out), dtype), dOut: dOut.values };
      const kept = floats(engine, lse).slice();
      const operand = mirror.operands(dOut.codes, dtype);
      const dQkv = mirror.attention.attentionBackward(read, dtype, shape, stored, operand, kept);
      return { dQkv: mirror.store(dQkv, dtype) };
    },
  };
}

/** What generation computes for a token: its keys and values are stored where they lie already. */
function last(engine, shape, dtype) {
  const { time, heads, kvHeads, headDim } = shape;
  const { read, placed } = problem(engine, shape, dtype);
  const cache = emptyCache(engine, time, shape, dtype, upload(engine, Int32Array.of(0)));
  attentionCached(engine, placed, shape, cache);
  int32At(engine, cache.lengthAt)[0] = time - 1;
  const width = (heads + 2 * kvHeads) * headDim;
  const token = { ...placed, shape: [1, width], ptr: placed.ptr + (bytesOf(placed) / time) * (time - 1) };
  return {
    name: dtype,
    ...operations(2 * 2 * headDim * time * heads, dtype),
    run: () => attentionCached(engine, token, { ...shape, time: 1 }, cache),
    seen: (out) => ({ out: engine.codes(out) }),
    expected: () => {
      const { out } = mirror.attention.attentionForward(read, dtype, shape);
      return { out: mirror.store(out, dtype).slice(-heads * headDim) };
    },
  };
}
