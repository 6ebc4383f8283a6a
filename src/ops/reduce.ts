/** Norms and digests over sets of tensors. Kernels: assembly/reduce.ts. */
import type { Runtime } from '../engine/runtime.js';
import { DIGEST_BYTES, REDUCE_ELEMENTS } from '../engine/units.js';
import { bytesOf, sizeOf, type Tensor } from './tensor.js';

/** Bytes digested at a time: a whole number of chunks. */
const PIECE = 64 * DIGEST_BYTES;

/** Square root of the sum of squares of float32 tensors, accumulated in float64 in the given order. */
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
 * A digest of 16 hex digits over the codes and scales of tensors and some further numbers, in order. It tells two states apart and detects
 * damaged files, but is not a cryptographic hash.
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

/** The digest of `length` bytes at an address; above 64 KiB, the digest of the digests of its chunks. */
export function digestOfBytes(rt: Runtime, ptr: number, length: number): string {
  return rt.scoped(() => {
    const chunks = digestsOfChunks(rt, ptr, length);
    if (chunks.length > 8) return digestOfContent(rt, chunks);
    const [low, high] = new Uint32Array(chunks.buffer);
    return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
  });
}

/**
 * The same digest of bytes outside wasm memory. They are copied in a piece at a time, because memory never shrinks and a whole long text would
 * leave a permanent hole.
 */
export function digestOfContent(rt: Runtime, content: Uint8Array): string {
  if (content.length <= PIECE) return inMemory(rt, content, (ptr) => digestOfBytes(rt, ptr, content.length));
  const digests = new Uint8Array(8 * Math.ceil(content.length / DIGEST_BYTES));
  for (let at = 0; at < content.length; at += PIECE) {
    const piece = content.subarray(at, at + PIECE);
    digests.set(
      inMemory(rt, piece, (ptr) => digestsOfChunks(rt, ptr, piece.length)),
      8 * (at / DIGEST_BYTES),
    );
  }
  return digestOfContent(rt, digests);
}

function inMemory<T>(rt: Runtime, content: Uint8Array, use: (ptr: number) => T): T {
  return rt.scoped(() => {
    const ptr = rt.arena.alloc(content.length);
    new Uint8Array(rt.arena.buffer, ptr, content.length).set(content);
    return use(ptr);
  });
}

/** Digests of the chunks, 8 bytes each. */
function digestsOfChunks(rt: Runtime, ptr: number, length: number): Uint8Array<ArrayBuffer> {
  return rt.scoped(() => {
    const units = Math.max(1, Math.ceil(length / DIGEST_BYTES));
    const out = rt.arena.alloc(8 * units);
    rt.parallel('digest', units, 64, ptr, length, out);
    // A copy, which is not shared memory.
    return new Uint8Array(new Uint8Array(rt.arena.buffer, out, 8 * units));
  });
}
