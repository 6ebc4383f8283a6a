/** Rotary position embedding. Kernel: assembly/rope.ts. */
import type { Runtime } from '../engine/runtime.js';
import { cos, power, sin } from './math.js';
import { rowScratch } from './quantize.js';
import { empty, floats, idOf, matrixShape, type Tensor } from './tensor.js';

export interface RopeTable {
  readonly cosines: Tensor;
  readonly sines: Tensor;
}

/** Angles position * theta^(-2i/D) for i < D/2, in float64, as (positions, D/2) float32 cosines and sines. */
export function ropeTable(rt: Runtime, positions: number, headDim: number, theta: number): RopeTable {
  const half = headDim / 2;
  const cosines = empty(rt, [positions, half], 'float32');
  const sines = empty(rt, [positions, half], 'float32');
  const [c, s] = [floats(rt, cosines), floats(rt, sines)];
  for (let i = 0; i < half; i++) {
    const frequency = power(theta, (-2 * i) / headDim);
    for (let position = 0; position < positions; position++) {
      c[position * half + i] = cos(position * frequency);
      s[position * half + i] = sin(position * frequency);
    }
  }
  return { cosines, sines };
}

/**
 * Rotates the first `heads` heads of each row of x in place; row r is at position r % time, plus the int32 at the address `offsetAt`, if given.
 * 'back' undoes it, for the gradient.
 */
export function rope(
  rt: Runtime,
  x: Tensor,
  { heads, headDim, time, offsetAt = 0 }: { heads: number; headDim: number; time: number; offsetAt?: number },
  table: RopeTable,
  direction: 'forward' | 'back',
): void {
  const [rows, stride] = matrixShape(x);
  const [cosines, sines] = [table.cosines.ptr, table.sines.ptr];
  const sign = direction === 'forward' ? 1 : -1;
  const scratch = rowScratch(heads * headDim);
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'rope', rows, scratch,
    idOf(x.dtype), x.ptr, stride, heads, headDim, time, offsetAt, cosines, sines, sign,
  );
}
