/** RMSNorm. Kernels: assembly/norm.ts. */
import type { Runtime } from '../engine/runtime.js';
import { NORM_ROWS, REDUCE_ELEMENTS } from '../engine/units.js';
import { rowScratch } from './quantize.js';
import { checkMultipleOf4, empty, idOf, matrixShape, type Tensor } from './tensor.js';

/** x (rows, C), gain (C) float32 -> y like x, and rstd (rows) float32, cached for the backward pass. */
export function normForward(rt: Runtime, x: Tensor, gain: Tensor, eps: number): { y: Tensor; rstd: Tensor } {
  const [rows, channels] = matrixShape(x);
  checkMultipleOf4('channels', channels);
  const y = empty(rt, x.shape, x.dtype);
  const rstd = empty(rt, [rows], 'float32');
  const scratch = rowScratch(channels);
  rt.parallel('normForward', rows, scratch, idOf(x.dtype), x.ptr, gain.ptr, y.ptr, rstd.ptr, channels, eps);
  return { y, rstd };
}

/** dx = dres + the gradient through the norm, in a new tensor like x; also adds to dGain (C) float32. */
export function normBackward(
  rt: Runtime,
  dy: Tensor,
  x: Tensor,
  gain: Tensor,
  rstd: Tensor,
  dres: Tensor,
  dGain: Tensor,
): Tensor {
  const [rows, channels] = matrixShape(x);
  const dx = empty(rt, x.shape, x.dtype);
  rt.scoped(() => {
    const units = Math.ceil(rows / NORM_ROWS);
    const partial = rt.arena.alloc(units * channels * 4);
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'normBackward', units, rowScratch(3 * channels), idOf(x.dtype),
      dy.ptr, x.ptr, gain.ptr, rstd.ptr, dres.ptr, dx.ptr, partial, rows, channels,
    );
    rt.parallel('sumRows', Math.ceil(channels / REDUCE_ELEMENTS), 0, partial, units, channels, dGain.ptr);
  });
  return dx;
}
