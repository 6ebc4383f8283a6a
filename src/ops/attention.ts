/** Causal attention. Kernels: assembly/attention.ts, assembly/attention-cached.ts. */

import type { Runtime } from '../engine/runtime.js';
import { KV_BLOCK } from '../engine/units.js';
import { type DType, formatSpec } from '../formats/index.js';
import { empty, idOf, int32At, type Tensor } from './tensor.js';

export interface AttentionShape {
  readonly batch: number;
  /** Queries per sequence. */
  readonly time: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Keys and values of one text in one layer, as assembly/attention-cached.ts lays them out. */
export interface KeysAndValues {
  readonly tensor: Tensor;
  readonly positions: number;
  /** Address of an int32, the number of positions that are filled. */
  readonly lengthAt: number;
}

const wholeBlocks = (n: number) => Math.ceil(n / KV_BLOCK) * KV_BLOCK;

/** Room for the keys and values of `positions` tokens in the format of activations. */
export function emptyCache(
  rt: Runtime,
  positions: number,
  { kvHeads, headDim }: { readonly kvHeads: number; readonly headDim: number },
  dtype: DType,
  lengthAt: number,
): KeysAndValues {
  const tensor = empty(rt, [kvHeads, 2, wholeBlocks(positions), wholeBlocks(headDim)], dtype);
  return { tensor, positions, lengthAt };
}

const scaleOf = (headDim: number) => Math.fround(1 / Math.sqrt(headDim));

/** Addresses of the first query, key and value in rows of QKV, and the elements from one row to the next. */
function partsOf(
  { ptr, dtype }: Tensor,
  { heads, kvHeads, headDim }: AttentionShape,
): [number, number, number, number] {
  const head = headDim * formatSpec(dtype).bytes;
  return [ptr, ptr + heads * head, ptr + (heads + kvHeads) * head, (heads + 2 * kvHeads) * headDim];
}

/** qkv (batch * time, (heads + 2 kvHeads) * headDim) -> out (batch * time, heads * headDim), and lse (batch, heads, time) for the backward pass. */
export function attentionForward(rt: Runtime, qkv: Tensor, shape: AttentionShape): { out: Tensor; lse: Tensor } {
  const { batch, time, heads, kvHeads, headDim } = shape;
  const out = empty(rt, [batch * time, heads * headDim], qkv.dtype);
  const lse = empty(rt, [batch, heads, time], 'float32');
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'attentionForward', batch * kvHeads, rt.kernels.attentionScratch(headDim, time),
    idOf(qkv.dtype), ...partsOf(qkv, shape), heads, kvHeads, headDim, time, scaleOf(headDim),
    out.ptr, heads * headDim, lse.ptr,
  );
  return { out, lse };
}

/**
 * `out` of attentionForward for the next tokens of one text (batch 1), given the keys and values of those before, to which theirs are added;
 * the length stays as it is.
 *
 * @throws RangeError beyond the cache's positions, or for another batch or format than the cache has.
 */
export function attentionCached(rt: Runtime, qkv: Tensor, shape: AttentionShape, past: KeysAndValues): Tensor {
  const { batch, time, heads, kvHeads, headDim } = shape;
  const { tensor, positions, lengthAt } = past;
  const length = int32At(rt, lengthAt)[0];
  if (batch !== 1) throw new RangeError(`cache: expected tokens of one text, got a batch of ${batch}`);
  if (qkv.dtype !== tensor.dtype) throw new RangeError(`cache: expected tokens in ${tensor.dtype}, got ${qkv.dtype}`);
  if (length + time > positions) {
    throw new RangeError(`cache: expected at most ${positions} positions, got ${time} more than ${length}`);
  }
  // A text of several tokens from its beginning, such as a prompt, needs no cached keys, and packed panels are faster.
  const panels = time > 1 && length === 0;
  const out = panels ? attentionForward(rt, qkv, shape).out : empty(rt, [time, heads * headDim], qkv.dtype);
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'attentionCached', kvHeads, rt.kernels.attentionCachedScratch(headDim, positions),
    idOf(qkv.dtype), ...partsOf(qkv, shape), tensor.ptr, positions, lengthAt, time, panels ? 0 : 1,
    heads, kvHeads, headDim, scaleOf(headDim), out.ptr, heads * headDim,
  );
  return out;
}

/** Gradient with respect to qkv, in a new tensor of the same shape and format. */
export function attentionBackward(
  rt: Runtime,
  qkv: Tensor,
  out: Tensor,
  lse: Tensor,
  dOut: Tensor,
  shape: AttentionShape,
): Tensor {
  const { batch, time, heads, kvHeads, headDim } = shape;
  const dQkv = empty(rt, qkv.shape, qkv.dtype);
  const [dq, dk, dv] = partsOf(dQkv, shape);
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'attentionBackward', batch * kvHeads, rt.kernels.attentionScratch(headDim, time),
    idOf(qkv.dtype), ...partsOf(qkv, shape), heads, kvHeads, headDim, time, scaleOf(headDim),
    out.ptr, dOut.ptr, heads * headDim, lse.ptr,
    dq, dk, dv,
  );
  return dQkv;
}
