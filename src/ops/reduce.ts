/** Sums and digests over whole sets of tensors. Kernels: assembly/reduce.ts. */
import type { Runtime } from '../engine/runtime.js';
import { DIGEST_BYTES, REDUCE_ELEMENTS } from '../engine/units.js';
import { bytesOf, sizeOf, type Tensor } from './tensor.js';

/** Square root of the sum of squares of float32 tensors, in float64, in their order. */
export function globalNorm(rt: Runtime, tensors: readonly Tensor[]): number {
  let sum = 0;
  for (const t of tensors) {
    rt.scoped(() => {
      const units = Math.ceil(sizeOf(t.shape) / REDUCE_ELEMENTS);
      const out = rt.arena.alloc(units * 8);
      rt.parallel('sumSquares', units, 0, t.ptr, sizeOf(t.shape), out);
      for (const part of new Float64Array(rt.arena.buffer, out, units)) sum += part;
    });
  }
  return Math.sqrt(sum);
}

/**
 * 16 hex digits over the codes and scales of tensors and some more numbers, in their order. It tells two states apart and finds damaged
 * files; it is no cryptographic hash.
 */
export function digestOf(rt: Runtime, tensors: readonly Tensor[], numbers: readonly number[]): string {
  return rt.scoped(() => {
    const units = tensors.map((t) => Math.ceil(bytesOf(t) / DIGEST_BYTES));
    const count = units.reduce((a, b) => a + b, 0);
    const scalars = [...tensors.map((t) => t.scaleInv as number), ...numbers];
    const list = rt.arena.alloc(8 * (count + scalars.length));
    let at = list;
    tensors.forEach((t, i) => {
      rt.parallel('digest', units[i], 64, t.ptr, bytesOf(t), at);
      at += 8 * units[i];
    });
    new Float64Array(rt.arena.buffer, at, scalars.length).set(scalars);
    return digestOfBytes(rt, list, 8 * (count + scalars.length));
  });
}

/** The digest of `length` bytes at an address; over 64 KiB, the digest of the digests of its chunks. */
export function digestOfBytes(rt: Runtime, ptr: number, length: number): string {
  const units = Math.max(1, Math.ceil(length / DIGEST_BYTES));
  return rt.scoped(() => {
    const out = rt.arena.alloc(8 * units);
    rt.parallel('digest', units, 64, ptr, length, out);
    if (units > 1) return digestOfBytes(rt, out, 8 * units);
    const [low, high] = new Uint32Array(rt.arena.buffer, out, 2);
    return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
  });
}
