/**
 * Runs the operations of a training step and of generation on generated numbers, in shapes that exercise edges; products, which turbo has
 * kernels of its own for, also with prepacked weights and with every kind of scale. Two engines agree if all resulting bytes do. A turbo
 * engine starts only if it agrees with the strict build.
 */
import type { Runtime } from '../engine/runtime.js';
import { sameBytes } from '../formats/check.js';
import { type DType, formatSpec, philox4x32 } from '../formats/index.js';
import { adamw } from './adamw.js';
import { attentionBackward, attentionCached, attentionForward, emptyCache } from './attention.js';
import { crossEntropy } from './loss.js';
import { canPrepack, matmul, prepack } from './matmul.js';
import { normBackward, normForward } from './norm.js';
import { dequantize, quantize } from './quantize.js';
import { quantizeBlocks } from './quantize-blocks.js';
import { rope, ropeTable } from './rope.js';
import { swigluBackward, swigluForward } from './swiglu.js';
import { bytes, empty, floats, int32At, type Tensor, upload, zeros } from './tensor.js';

const OPERANDS: readonly DType[] = ['float8_e4m3fn', 'float8_e5m2', 'bfloat16', 'float16', 'float32'];
const LAYOUTS = { nt: [false, true], nn: [false, false], tn: [true, false] } as const;
/** More than one GEMM block of rows, an odd number of panels of either width, and edges. Single rows have a kernel of their own. */
const [M, N, K] = [103, 148, 333];

/** Float32 numbers over some binades on either side of 1, by position; `least`: as a share of the power of two in each. */
function numbers(rt: Runtime, shape: readonly number[], stream: number, least = 0): Tensor {
  const t = empty(rt, shape, 'float32');
  const to = floats(rt, t);
  for (let i = 0; i < to.length; i++) {
    const [significand, exponent] = philox4x32([i, stream, 0, 0], [0, 0]);
    const signed = significand / 0x80000000 - 1;
    to[i] = (signed * (1 - least) + Math.sign(signed) * least) * (1 << (exponent & 7)) * 0.0625;
  }
  return t;
}

/** The bytes of each result, keyed by the operation. */
export function results(rt: Runtime): Map<string, Uint8Array> {
  const seen = new Map<string, Uint8Array>();
  const see = (name: string, ...tensors: readonly (Tensor | undefined)[]) =>
    tensors.forEach((t, i) => {
      if (t) seen.set(`${name}, result ${i + 1}`, bytes(rt, t).slice());
    });
  const cast = (t: Tensor, dtype: DType) => quantize(rt, t, { dtype }).codes;
  rt.scoped(() => {
    const source = numbers(rt, [M, 4 * N], 1);
    const random = { seed: 1, stream: 2, step: 3 };
    for (const dtype of OPERANDS) {
      const nearest = quantize(rt, source, { dtype, second: { dtype: 'float8_e5m2', scale: 4 } });
      see(`quantize to ${dtype}`, nearest.codes, nearest.second, dequantize(rt, nearest.codes));
      if (dtype !== 'float32') {
        see(`stochastic rounding to ${dtype}`, quantize(rt, source, { dtype, rounding: 'stochastic', random }).codes);
      }
    }
    for (const [layout, [transposeA, transposeB]] of Object.entries(LAYOUTS)) {
      for (const m of [M, 1]) {
        const a = numbers(rt, transposeA ? [K, m] : [m, K], 3);
        const b = numbers(rt, transposeB ? [N, K] : [K, N], 4);
        for (const dtype of OPERANDS) {
          const [x, w] = [cast(a, dtype), cast(b, dtype)];
          for (const outType of ['float32', 'bfloat16'] as const) {
            const out = zeros(rt, [m, N], outType);
            matmul(rt, x, w, { transposeA, transposeB, out, addend: out });
            see(`matmul of ${dtype} ${layout}, ${m} rows, to ${outType}`, out);
          }
        }
      }
    }
    prepackedProducts(rt, see);
    scaledProducts(rt, see);
    for (const dtype of ['bfloat16', 'float32'] as const) block(rt, dtype, see);
    optimizer(rt, see);
  });
  return seen;
}

type See = (name: string, ...tensors: readonly (Tensor | undefined)[]) => void;

/** Products of one row, a few and many with prepacked weights, panels in pairs and alone: without subnormals, as weights are, and with many. */
function prepackedProducts(rt: Runtime, see: See): void {
  for (const [kind, least] of Object.entries({ normal: 0.5, small: 0 })) {
    const source = numbers(rt, [N, K], 4, least);
    for (const dtype of OPERANDS) {
      const w = quantize(rt, source, { dtype }).codes;
      if (!canPrepack(w)) continue;
      const packed = prepack(rt, w);
      for (const m of [1, 5, M]) {
        const out = empty(rt, [m, N], 'float32');
        matmul(rt, quantize(rt, numbers(rt, [m, K], 3), { dtype }).codes, packed, { transposeB: true, out });
        see(`matmul of ${dtype}, prepacked, ${kind}, ${m} rows`, out);
      }
    }
  }
}

/** Products with scales per row, per column, per block and of the output. */
function scaledProducts(rt: Runtime, see: See): void {
  const [a, b] = [numbers(rt, [M, K], 3), numbers(rt, [N, K], 4)];
  const byBlock = (t: Tensor, block: readonly [number, number]) =>
    quantizeBlocks(rt, t, { dtype: 'float8_e4m3fn', block }).codes;
  const factors = { rowFactor: numbers(rt, [M], 15).ptr, columnFactor: numbers(rt, [N], 16).ptr };
  for (const dtype of ['float8_e4m3fn', 'float32'] as const) {
    const [x, w] = [a, b].map((t) => quantize(rt, t, { dtype }).codes);
    for (const outType of ['float32', 'bfloat16', 'float8_e5m2'] as const) {
      const out = { ...zeros(rt, [M, N], outType), scaleInv: outType === 'float8_e5m2' ? 4 : 1 };
      matmul(rt, x, w, { transposeB: true, out, ...factors });
      see(`matmul of ${dtype} with factors, to ${outType}`, out);
    }
  }
  const out = empty(rt, [M, N], 'float32');
  matmul(rt, byBlock(a, [1, 32]), byBlock(b, [128, 128]), { transposeB: true, out });
  see('matmul of blocks', out);
}

/**
 * The operations of a transformer block, on activations stored in `dtype`: attention over more than one block of queries, with odd numbers of
 * panels.
 */
function block(rt: Runtime, dtype: 'bfloat16' | 'float32', see: See): void {
  const shape = { batch: 2, time: 53, heads: 4, kvHeads: 2, headDim: 20 };
  const rows = shape.batch * shape.time;
  const width = shape.heads * shape.headDim;
  const stored = (columns: number, stream: number) =>
    quantize(rt, numbers(rt, [rows, columns], stream), { dtype, scale: 1 }).codes;
  const gain = numbers(rt, [width], 5);
  const x = stored(width, 6);
  const norm = normForward(rt, x, gain, 1e-5);
  const dGain = zeros(rt, [width], 'float32');
  const dx = normBackward(rt, stored(width, 7), x, gain, norm.rstd, x, dGain);
  see(`norm in ${dtype}`, norm.y, norm.rstd, dx, dGain);

  const qkv = stored(2 * width, 8);
  const turned = { heads: shape.heads + shape.kvHeads, headDim: shape.headDim, time: shape.time };
  rope(rt, qkv, turned, ropeTable(rt, shape.time, shape.headDim, 10000), 'forward');
  const { out, lse } = attentionForward(rt, qkv, shape);
  see(`attention in ${dtype}`, qkv, out, lse, attentionBackward(rt, qkv, out, lse, stored(width, 9), shape));
  const cache = emptyCache(rt, shape.time, shape, dtype, upload(rt, Int32Array.of(0)));
  for (const [from, time] of [
    [0, 50],
    [50, 2],
    [52, 1],
  ] as const) {
    const part = { ...qkv, shape: [time, 2 * width], ptr: qkv.ptr + from * 2 * width * formatSpec(dtype).bytes };
    int32At(rt, cache.lengthAt)[0] = from;
    see(
      `attention over a cache in ${dtype}, from ${from} on`,
      attentionCached(rt, part, { ...shape, batch: 1, time }, cache),
    );
  }

  const gateUp = stored(2 * width, 10);
  const first = { dtype: 'float8_e4m3fn', scale: 8 } as const;
  const y = swigluForward(rt, gateUp, { first, second: { dtype: 'float8_e5m2', scale: 8 }, perToken: true });
  see(`SwiGLU in ${dtype}`, y.y, y.second, y.rowScale);
  see(`gradient of SwiGLU in ${dtype}`, swigluBackward(rt, stored(width, 11), gateUp, { rowScale: y.rowScale }));

  const logits = stored(width, 12);
  crossEntropy(
    rt,
    logits,
    upload(
      rt,
      Int32Array.from({ length: rows }, (_, i) => i % width),
    ),
    0.25,
  );
  see(`cross-entropy in ${dtype}`, logits);
}

function optimizer(rt: Runtime, see: See): void {
  const grad = numbers(rt, [5000], 13);
  const state = {
    master: quantize(rt, numbers(rt, [5000], 14), { dtype: 'float16' }).codes,
    firstMoment: quantize(rt, grad, { dtype: 'float8_e4m3fn' }).codes,
    secondMoment: { ...zeros(rt, [5000], 'float8_e5m2'), scaleInv: 1 },
  };
  // biome-ignore format: one line
  const step = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, beta1Power: 0.9, beta2Power: 0.95, gradScale: 0.5 };
  const next = adamw(rt, state, grad, step, { seed: 1, stream: 4, step: 1 });
  see('AdamW', next.master, next.firstMoment, next.secondMoment);
}

/** Name of the first result that differs between two engines; undefined if they agree. */
export function firstDifference(a: Map<string, Uint8Array>, b: Map<string, Uint8Array>): string | undefined {
  for (const [name, bytesOfA] of a) {
    const bytesOfB = b.get(name);
    if (!bytesOfB || !sameBytes(bytesOfA, bytesOfB)) return name;
  }
  return undefined;
}
