/** Causal attention. Kernels: assembly/attention.ts. */

import type { Runtime } from '../engine/runtime.js';
import { formatSpec } from '../formats/index.js';
import { empty, idOf, type Tensor } from './tensor.js';

export interface AttentionShape {
  readonly batch: number;
  /** Queries per sequence. */
  readonly time: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Keys and values of earlier positions, (batch, positions, 2 * kvHeads * headDim): first the keys of a position, then its values. */
export interface KeysAndValues {
  readonly tensor: Tensor;
  readonly positions: number;
  /** Position of the first query. */
  readonly offset: number;
}

const scaleOf = (headDim: number) => Math.fround(1 / Math.sqrt(headDim));

/**
 * qkv (batch * time, (heads + 2 kvHeads) * headDim) -> out (batch * time, heads * headDim), and lse (batch, heads, time) for the backward pass.
 * With `past`, keys and values come from there and queries start at its offset.
 */
export function attentionForward(
  rt: Runtime,
  qkv: Tensor,
  shape: AttentionShape,
  past?: KeysAndValues,
): { out: Tensor; lse: Tensor } {
  const { batch, time, heads, kvHeads, headDim } = shape;
  const { bytes } = formatSpec(qkv.dtype);
  const width = (heads + 2 * kvHeads) * headDim;
  const out = empty(rt, [batch * time, heads * headDim], qkv.dtype);
  const lse = empty(rt, [batch, heads, time], 'float32');
  const offset = past?.offset ?? 0;
  const keys = past ? past.tensor.ptr : qkv.ptr + heads * headDim * bytes;
  const stride = past ? 2 * kvHeads * headDim : width;
  const values = keys + kvHeads * headDim * bytes;
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'attentionForward', batch * kvHeads, rt.kernels.attentionScratch(headDim, offset + time),
    idOf(qkv.dtype), qkv.ptr, width, keys, values, stride, (past?.positions ?? time) * stride,
    heads, kvHeads, headDim, time, offset, scaleOf(headDim),
    out.ptr, heads * headDim, lse.ptr,
  );
  return { out, lse };
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
  const { bytes } = formatSpec(qkv.dtype);
  const dQkv = empty(rt, qkv.shape, qkv.dtype);
  const keysAt = heads * headDim * bytes;
  const valuesAt = keysAt + kvHeads * headDim * bytes;
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'attentionBackward', batch * kvHeads, rt.kernels.attentionScratch(headDim, time),
    idOf(qkv.dtype), qkv.ptr, qkv.ptr + keysAt, qkv.ptr + valuesAt, (heads + 2 * kvHeads) * headDim,
    heads, kvHeads, headDim, time, scaleOf(headDim),
    out.ptr, dOut.ptr, heads * headDim, lse.ptr,
    dQkv.ptr, dQkv.ptr + keysAt, dQkv.ptr + valuesAt,
  );
  return dQkv;
}
