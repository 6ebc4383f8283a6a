/**
 * The Llama-style transformer in reading order, forward and backward.
 *
 *   h = embed[ids]
 *   per layer:  h += O attention(rope(QKV norm(h)));  h += Down(silu(gate) * up), gate and up = GateUp norm(h)
 *   logits = Head norm(h)
 *
 * Shapes: B batch, T time, C channels, H heads, D head size, F feed-forward width, V vocabulary; a "row" is one token of B * T.
 */
import type { Runtime } from '../engine/runtime.js';
import {
  type AttentionShape,
  attentionBackward,
  attentionCached,
  attentionForward,
  emptyCache,
  type KeysAndValues,
} from '../ops/attention.js';
import { embeddingBackward, embeddingForward } from '../ops/embedding.js';
import { linearBackwardInput, linearBackwardWeight, linearForward } from '../ops/linear.js';
import { normBackward, normForward } from '../ops/norm.js';
import { type RopeTable, rope } from '../ops/rope.js';
import { swigluBackward } from '../ops/swiglu.js';
import { int32At, type Tensor, zeros } from '../ops/tensor.js';
import { type Casts, type Operand, type SmoothOperand, spend, type TrainingCasts } from './casts.js';
import type { LlamaConfig } from './config.js';
import { headName } from './params.js';

/** Weights by name: norm gains unchanged, matrices as the operands of their products, the embedding table in the storage format. */
export type Weights = ReadonlyMap<string, Operand>;

export interface Model {
  readonly rt: Runtime;
  readonly config: LlamaConfig;
  readonly weights: Weights;
  readonly storage: 'bfloat16' | 'float32';
  readonly rope: RopeTable;
}

export interface Batch {
  /** Address of batch * time int32 token ids. */
  readonly ids: number;
  readonly batch: number;
  readonly time: number;
}

/** Keys and values of one text in each layer, filled up to `length`, which kernels read too. */
export class KvCache {
  constructor(
    private readonly rt: Runtime,
    private readonly lengthAt: number,
    readonly layers: readonly KeysAndValues[],
  ) {
    this.length = 0;
  }

  get length(): number {
    return int32At(this.rt, this.lengthAt)[0];
  }
  set length(positions: number) {
    int32At(this.rt, this.lengthAt)[0] = positions;
  }

  /** Addresses of its memory. */
  get blocks(): number[] {
    return [this.lengthAt, ...this.layers.map(({ tensor }) => tensor.ptr)];
  }
}

/** Activations that one layer keeps for its backward pass. */
interface LayerActivations {
  readonly x: Tensor;
  readonly rstd: Tensor;
  readonly attnInput: Operand;
  readonly qkv: Tensor;
  readonly attn: Tensor;
  /** Absent where there is a cache, which no backward pass follows. */
  readonly lse?: Tensor;
  readonly oInput: Operand;
  readonly middle: Tensor;
  readonly middleRstd: Tensor;
  readonly mlpInput: Operand;
  readonly gateUp: Tensor;
  readonly y: SmoothOperand;
}

export interface Activations {
  readonly layers: readonly LayerActivations[];
  readonly last: Tensor;
  readonly lastRstd: Tensor;
  readonly headInput: Tensor;
}

const weight = (model: Model, name: string): Operand => {
  const operand = model.weights.get(name);
  if (!operand) throw new Error(`model: expected a weight ${name}, got none`);
  return operand;
};
const gain = (model: Model, name: string): Tensor => weight(model, name).forward;

function attentionShape({ config }: Model, { batch, time }: Batch): AttentionShape {
  const { heads, kvHeads, headDim } = config;
  return { batch, time, heads, kvHeads, headDim };
}

export function newKvCache({ rt, config, storage }: Model, positions: number): KvCache {
  return rt.wholeOrNothing(() => {
    const lengthAt = rt.arena.alloc(4);
    const layer = () => emptyCache(rt, positions, config, storage, lengthAt);
    return new KvCache(rt, lengthAt, Array.from({ length: config.layers }, layer));
  });
}

/** Computes logits (rows, V) in the storage format, and what the backward pass needs. */
export function forward(model: Model, casts: Casts, input: Batch): { logits: Tensor; kept: Activations } {
  let h = embedded(model, input);
  const layers: LayerActivations[] = [];
  for (let i = 0; i < model.config.layers; i++) {
    const { out, kept } = layerForward(model, casts, `layers.${i}`, h, input);
    layers.push(kept);
    h = out;
  }
  const { logits, final } = headForward(model, h);
  return { logits, kept: { layers, last: h, lastRstd: final.rstd, headInput: final.y } };
}

/**
 * Computes the same logits without a backward pass to follow: what a layer computes is freed when the next begins. With a cache, the tokens,
 * of one text, follow those already in it.
 */
export function infer(model: Model, casts: Casts, input: Batch, cache?: KvCache): Tensor {
  const { rt, config } = model;
  let h = embedded(model, input);
  for (let i = 0; i < config.layers; i++) {
    const x = h;
    h = rt.scoped(
      () => layerForward(model, casts, `layers.${i}`, x, input, cache?.layers[i]).out,
      ({ ptr }) => [ptr],
    );
    rt.arena.free(x.ptr);
  }
  if (cache) cache.length += input.time;
  return headForward(model, h).logits;
}

const embedded = (model: Model, { ids, batch, time }: Batch): Tensor =>
  embeddingForward(model.rt, gain(model, 'embed'), ids, batch * time, model.storage);

function headForward(model: Model, h: Tensor) {
  const { rt, config, storage } = model;
  const final = normForward(rt, h, gain(model, 'norm'), config.rmsNormEps);
  return { final, logits: linearForward(rt, final.y, gain(model, headName(config)), { dtype: storage }) };
}

function layerForward(
  model: Model,
  casts: Casts,
  at: string,
  x: Tensor,
  input: Batch,
  past?: KeysAndValues,
): { out: Tensor; kept: LayerActivations } {
  const { rt, config, storage: dtype } = model;
  const shape = attentionShape(model, input);
  const { heads, kvHeads, headDim } = config;

  const norm = normForward(rt, x, gain(model, `${at}.attn_norm`), config.rmsNormEps);
  const attnInput = casts.input(`${at}.qkv`, norm.y);
  spend(rt, norm.y, attnInput);
  const qkv = linearForward(rt, attnInput.forward, weight(model, `${at}.qkv`).forward, { dtype });
  const turned = { heads: heads + kvHeads, headDim, time: input.time, offsetAt: past?.lengthAt };
  rope(rt, qkv, turned, model.rope, 'forward');
  const { out: attn, lse } = past
    ? { out: attentionCached(rt, qkv, shape, past), lse: undefined }
    : attentionForward(rt, qkv, shape);
  const oInput = casts.input(`${at}.o`, attn);
  const middle = linearForward(rt, oInput.forward, weight(model, `${at}.o`).forward, { dtype, addend: x });

  const middleNorm = normForward(rt, middle, gain(model, `${at}.mlp_norm`), config.rmsNormEps);
  const mlpInput = casts.input(`${at}.gate_up`, middleNorm.y);
  spend(rt, middleNorm.y, mlpInput);
  const gateUp = linearForward(rt, mlpInput.forward, weight(model, `${at}.gate_up`).forward, { dtype });
  const y = casts.swiglu(`${at}.down`, gateUp);
  const out = linearForward(rt, y.forward, weight(model, `${at}.down`).forward, {
    dtype,
    addend: middle,
    rowFactor: y.rowScale?.ptr,
  });
  return {
    out,
    kept: {
      x,
      rstd: norm.rstd,
      attnInput,
      qkv,
      attn,
      lse,
      oInput,
      middle,
      middleRstd: middleNorm.rstd,
      mlpInput,
      gateUp,
      y,
    },
  };
}

/** Float32 gradients, one with the shape of each parameter. */
export type Gradients = ReadonlyMap<string, Tensor>;

/** Adds the gradients of one batch, computed from dLogits (rows, V). */
export function backward(
  model: Model,
  casts: TrainingCasts,
  input: Batch,
  kept: Activations,
  dLogits: Tensor,
  gradients: Gradients,
): void {
  const { rt, config, storage } = model;
  const head = headName(config);
  const grad = (name: string) => gradients.get(name)!;
  linearBackwardWeight(rt, dLogits, kept.headInput, grad(head));
  const dFinal = linearBackwardInput(rt, dLogits, weight(model, head).backward, storage);
  const noResidual = zeros(rt, kept.last.shape, storage);
  let dh = normBackward(rt, dFinal, kept.last, gain(model, 'norm'), kept.lastRstd, noResidual, grad('norm'));
  for (let i = config.layers - 1; i >= 0; i--) {
    const dOut = dh;
    dh = rt.scoped(
      () => layerBackward(model, casts, `layers.${i}`, input, kept.layers[i], dOut, grad),
      (dx) => [dx.ptr],
    );
    rt.arena.free(dOut.ptr);
  }
  embeddingBackward(rt, dh, input.ids, grad('embed'));
}

function layerBackward(
  model: Model,
  casts: TrainingCasts,
  at: string,
  input: Batch,
  kept: LayerActivations,
  dOut: Tensor,
  grad: (name: string) => Tensor,
): Tensor {
  const { rt, config, storage } = model;
  const { heads, kvHeads, headDim } = config;

  // out = middle + s * Down(y)
  const { rowScale, channel } = kept.y;
  const dz = casts.gradOutput(`${at}.down`, dOut, rowScale?.ptr);
  linearBackwardWeight(rt, dz.forWeight, kept.y.backward, grad(`${at}.down`), channel?.scale.ptr);
  const dy = linearBackwardInput(rt, dz.forInput, weight(model, `${at}.down`).backward, storage);
  const dGateUp = swigluBackward(rt, dy, kept.gateUp, { rowScale, channelInv: channel?.inverse });
  const dMlp = linearBackward(model, casts, `${at}.gate_up`, dGateUp, kept.mlpInput, grad);
  const dMiddle = normBackward(
    rt,
    dMlp,
    kept.middle,
    gain(model, `${at}.mlp_norm`),
    kept.middleRstd,
    dOut,
    grad(`${at}.mlp_norm`),
  );

  // middle = x + O(attention)
  const dAttn = linearBackward(model, casts, `${at}.o`, dMiddle, kept.oInput, grad);
  const dQkv = attentionBackward(rt, kept.qkv, kept.attn, kept.lse!, dAttn, attentionShape(model, input));
  rope(rt, dQkv, { heads: heads + kvHeads, headDim, time: input.time }, model.rope, 'back');
  const dNorm = linearBackward(model, casts, `${at}.qkv`, dQkv, kept.attnInput, grad);
  return normBackward(rt, dNorm, kept.x, gain(model, `${at}.attn_norm`), kept.rstd, dMiddle, grad(`${at}.attn_norm`));
}

function linearBackward(
  model: Model,
  casts: TrainingCasts,
  name: string,
  dOut: Tensor,
  input: Operand,
  grad: (name: string) => Tensor,
): Tensor {
  const { forInput, forWeight } = casts.gradOutput(name, dOut);
  linearBackwardWeight(model.rt, forWeight, input.backward, grad(name));
  return linearBackwardInput(model.rt, forInput, weight(model, name).backward, model.storage);
}
