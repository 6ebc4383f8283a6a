/** Token embedding. Kernels: assembly/embedding.ts. */
import type { Runtime } from '../engine/runtime.js';
import { EMBEDDING_CHANNELS } from '../engine/units.js';
import { rowScratch } from './quantize.js';
import { checkIds, empty, idOf, matrixShape, type Tensor } from './tensor.js';

/** table (V, C), ids: address of `rows` int32 -> (rows, C) in dtype. */
export function embeddingForward(
  rt: Runtime,
  table: Tensor,
  ids: number,
  rows: number,
  dtype: Tensor['dtype'],
): Tensor {
  const [vocabulary, channels] = table.shape;
  checkIds(rt, 'ids', ids, rows, vocabulary);
  const out = empty(rt, [rows, channels], dtype);
  const scratch = rowScratch(channels);
  rt.parallel('embeddingForward', rows, scratch, table.ptr, idOf(table.dtype), ids, out.ptr, idOf(dtype), channels);
  return out;
}

/** dTable (V, C) float32 += the rows of dy, each at its id, in row order. */
export function embeddingBackward(rt: Runtime, dy: Tensor, ids: number, dTable: Tensor): void {
  const [rows, channels] = matrixShape(dy);
  checkIds(rt, 'ids', ids, rows, dTable.shape[0]);
  const units = Math.ceil(channels / EMBEDDING_CHANNELS);
  const scratch = rowScratch(channels);
  rt.parallel('embeddingBackward', units, scratch, dy.ptr, idOf(dy.dtype), ids, dTable.ptr, rows, channels);
}
