/** A tensor is a record of numbers about bytes in wasm memory; it owns nothing. value = code * scaleInv. */

import type { Runtime } from '../engine/runtime.js';
import { type DType, formatSpec } from '../formats/index.js';

/** One float32 power of two for each block of `block` rows and columns, at an address, row of blocks by row of blocks. */
export interface BlockScales {
  readonly blocks: number;
  readonly block: readonly [rows: number, columns: number];
}

/** One factor for the whole tensor, one float32 per row at an address, or one per block. */
export type ScaleInv = number | { readonly rows: number } | BlockScales;

/** The address of a tensor's scales; 0 where it has only one. */
export const scalesAt = ({ scaleInv }: Tensor): number =>
  typeof scaleInv === 'number' ? 0 : 'rows' in scaleInv ? scaleInv.rows : scaleInv.blocks;

export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly ptr: number;
  /** The arena's number for the memory at `ptr`, by which it tells this tensor from one that has its place now. */
  readonly block: number;
  readonly scaleInv: ScaleInv;
  /** What `prepack` gives: the second operand of products, and nothing else. */
  readonly prepacked?: true;
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
export const bytesOf = (t: Tensor): number => sizeOf(t.shape) * formatSpec(t.dtype).bytes;
export const idOf = (dtype: DType): number => formatSpec(dtype).id;

/** The rows and columns of a tensor read as a matrix: the last dimension is the column. */
export function matrixShape(t: Tensor): [rows: number, columns: number] {
  const columns = t.shape[t.shape.length - 1];
  return [sizeOf(t.shape) / columns, columns];
}

/** Uninitialised memory for a tensor. */
export function empty(rt: Runtime, shape: readonly number[], dtype: DType): Tensor {
  checkShape(shape);
  const ptr = rt.arena.alloc(sizeOf(shape) * formatSpec(dtype).bytes);
  return { dtype, shape: Object.freeze([...shape]), ptr, block: rt.arena.blockAt(ptr), scaleInv: 1 };
}

export function zeros(rt: Runtime, shape: readonly number[], dtype: DType): Tensor {
  const t = empty(rt, shape, dtype);
  bytes(rt, t).fill(0);
  return t;
}

/** Gives back a tensor's memory, its scales with it. */
export function freeTensor(rt: Runtime, t: Tensor): void {
  rt.arena.free(t.ptr);
  if (scalesAt(t)) rt.arena.free(scalesAt(t));
}

/** Token ids (int32) in wasm memory; the address. */
export function upload(rt: Runtime, ids: Int32Array): number {
  const ptr = rt.arena.alloc(ids.byteLength);
  new Int32Array(rt.arena.buffer, ptr, ids.length).set(ids);
  return ptr;
}

/** Ids become addresses in the kernels: one out of range would read or write another tensor. */
export function checkIds(rt: Runtime, what: string, ptr: number, count: number, vocabulary: number): void {
  for (const id of new Int32Array(rt.arena.buffer, ptr, count)) {
    if (id < 0 || id >= vocabulary)
      throw new RangeError(`${what}: expected token ids from 0 to ${vocabulary - 1}, got ${id}`);
  }
}

/** The SIMD loops of norms and SwiGLU run over whole vectors. */
export function checkMultipleOf4(what: string, n: number): void {
  if (n % 4 !== 0) throw new RangeError(`${what}: expected a multiple of 4, got ${n}`);
}

/** The bytes of a tensor, as a view that a growth of memory may detach. */
export function bytes(rt: Runtime, t: Tensor): Uint8Array {
  return new Uint8Array(rt.arena.buffer, t.ptr, bytesOf(t));
}

/** A float32 tensor's memory, as a view that a growth of memory may detach. */
export function floats(rt: Runtime, t: Tensor): Float32Array {
  if (t.dtype !== 'float32') throw new TypeError(`floats: expected a float32 tensor, got ${t.dtype}`);
  return new Float32Array(rt.arena.buffer, t.ptr, sizeOf(t.shape));
}

export const floatsAt = (rt: Runtime, ptr: number, count: number): Float32Array =>
  new Float32Array(rt.arena.buffer, ptr, count);

export function checkShape(shape: readonly number[]): void {
  if (!Array.isArray(shape) || shape.length === 0 || !shape.every((n) => Number.isSafeInteger(n) && n > 0)) {
    throw new RangeError(`shape: expected one or more positive integers, got ${JSON.stringify(shape)}`);
  }
  if (sizeOf(shape) > 0x7fffffff)
    throw new RangeError(`shape: expected fewer than 2^31 elements, got ${sizeOf(shape)}`);
}
