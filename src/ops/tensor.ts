/** A tensor is a record that describes bytes in wasm memory; it owns nothing. value = code * scaleInv. */

import type { Runtime } from '../engine/runtime.js';
import { type DType, formatSpec } from '../formats/index.js';

/** The address of one float32 power of two per block of `block` rows and columns, in row-major order of blocks. */
export interface BlockScales {
  readonly blocks: number;
  readonly block: readonly [rows: number, columns: number];
}

/** One factor for the whole tensor, one float32 per row at an address, or one per block. */
export type ScaleInv = number | { readonly rows: number } | BlockScales;

/** The address of a tensor's scales; 0 if it has only one. */
export const scalesAt = ({ scaleInv }: Tensor): number =>
  typeof scaleInv === 'number' ? 0 : 'rows' in scaleInv ? scaleInv.rows : scaleInv.blocks;

/** Number of a tensor's scales in memory; 0 if it has only one. */
export function scaleCount(t: Tensor): number {
  const { scaleInv } = t;
  if (typeof scaleInv === 'number') return 0;
  const [rows, columns] = matrixShape(t);
  return 'rows' in scaleInv ? rows : Math.ceil(rows / scaleInv.block[0]) * Math.ceil(columns / scaleInv.block[1]);
}

/** Whether a tensor's scales are in live memory, as many as its shape has. */
export const hasItsScales = (rt: Runtime, t: Tensor): boolean =>
  scalesAt(t) === 0 || rt.arena.sizeAt(scalesAt(t)) === 4 * scaleCount(t);

/** A tensor, described by its format, shape, address and scales. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly ptr: number;
  /** The arena's serial number of the memory at `ptr`, which distinguishes this tensor from a later one at the same address. */
  readonly block: number;
  readonly scaleInv: ScaleInv;
  /** Set by `prepack`: usable only as the second operand of products. */
  readonly prepacked?: true;
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
export const bytesOf = (t: Tensor): number => sizeOf(t.shape) * formatSpec(t.dtype).bytes;
export const idOf = (dtype: DType): number => formatSpec(dtype).id;

/** The shape of a tensor read as a matrix, whose columns are the last dimension. */
export function matrixShape(t: Tensor): [rows: number, columns: number] {
  const columns = t.shape[t.shape.length - 1];
  return [sizeOf(t.shape) / columns, columns];
}

/** Creates a tensor with uninitialised memory. */
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

/** Frees a tensor's memory, including that of its scales. */
export function freeTensor(rt: Runtime, t: Tensor): void {
  rt.arena.free(t.ptr);
  if (scalesAt(t)) rt.arena.free(scalesAt(t));
}

/** A view of the int32 at an address. */
export const int32At = (rt: Runtime, ptr: number): Int32Array => new Int32Array(rt.arena.buffer, ptr, 1);

/** Copies token ids (int32) to wasm memory and returns their address. */
export function upload(rt: Runtime, ids: Int32Array): number {
  const ptr = rt.arena.alloc(ids.byteLength);
  new Int32Array(rt.arena.buffer, ptr, ids.length).set(ids);
  return ptr;
}

/** Checks token ids, which the kernels turn into addresses: one out of range would read or write another tensor. */
export function checkIds(rt: Runtime, what: string, ptr: number, count: number, vocabulary: number): void {
  for (const id of new Int32Array(rt.arena.buffer, ptr, count)) {
    if (id < 0 || id >= vocabulary)
      throw new RangeError(`${what}: expected token ids from 0 to ${vocabulary - 1}, got ${id}`);
  }
}

/** The SIMD loops of norms and SwiGLU process whole vectors only. */
export function checkMultipleOf4(what: string, n: number): void {
  if (n % 4 !== 0) throw new RangeError(`${what}: expected a multiple of 4, got ${n}`);
}

/** A view of a tensor's bytes, which memory growth may detach. */
export function bytes(rt: Runtime, t: Tensor): Uint8Array {
  return new Uint8Array(rt.arena.buffer, t.ptr, bytesOf(t));
}

/** A view of a float32 tensor's memory, which memory growth may detach. */
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
