/** Tensors as test data: codes of a format with their shape, to be laid into any engine's memory. */
import { type Codes, type DType, encode, formatSpec } from '../../src/formats/index.js';
import type { Engine } from '../../src/index.js';
import { bytes, empty, sizeOf, type Tensor } from '../../src/ops/tensor.js';
import { load } from '../reference/codes.js';
import type { Random } from './rng.js';

export interface Sample {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly codes: Codes;
  /** Decoded, without a scale. */
  readonly values: Float32Array<ArrayBuffer>;
}

/** Numbers rounded into a format. */
export function sample(numbers: ArrayLike<number>, shape: readonly number[], dtype: DType): Sample {
  return ofCodes(encode(numbers, dtype), shape, dtype);
}

export function ofCodes(codes: Codes, shape: readonly number[], dtype: DType): Sample {
  if (codes.length !== sizeOf(shape))
    throw new Error(`expected ${sizeOf(shape)} codes for [${shape}], got ${codes.length}`);
  return { dtype, shape, codes, values: load(codes, dtype) };
}

/** Bell-shaped numbers in a format. */
export function normals(random: Random, shape: readonly number[], dtype: DType, deviation = 1): Sample {
  return sample(random.normals(sizeOf(shape), deviation), shape, dtype);
}

/** The codes in the engine's memory, with a scale beside them. */
export function place(engine: Engine, { dtype, shape, codes }: Sample, scaleInv: Tensor['scaleInv'] = 1): Tensor {
  const t = { ...empty(engine, shape, dtype), scaleInv };
  bytes(engine, t).set(new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength));
  return t;
}

/** The same tensor at the end of memory: kernels may read 64 bytes beyond a tensor, and here no more. Good until the next allocation. */
export function atEnd(engine: Engine, t: Tensor): Tensor {
  const codes = bytes(engine, t).slice();
  engine.arena.memory.grow(Math.ceil(codes.length / 65536) + 1);
  const ptr = engine.arena.buffer.byteLength - 64 - codes.length;
  new Uint8Array(engine.arena.buffer, ptr, codes.length).set(codes);
  return { ...t, ptr };
}

/** Float32 numbers in the engine's memory: the address. */
export function placeFloats(engine: Engine, values: Float32Array): number {
  const ptr = engine.arena.alloc(values.byteLength);
  new Float32Array(engine.arena.buffer, ptr, values.length).set(values);
  return ptr;
}

/** A float32 tensor of these values. */
export const floatTensor = (engine: Engine, values: ArrayLike<number>, shape: readonly number[]): Tensor =>
  engine.tensor(values, shape, 'float32');

/** Token ids below `vocabulary`. */
export const tokens = (random: Random, count: number, vocabulary: number): Int32Array<ArrayBuffer> =>
  Int32Array.from({ length: count }, () => random.integer(0, vocabulary - 1));

/** Any code of a format except those of NaN and infinity. */
export function finiteCodes(random: Random, count: number, dtype: DType): Codes {
  const { maxCode, signCode, bits } = formatSpec(dtype);
  const code = () => random.integer(0, maxCode) + (random.word() & 1 ? signCode : 0);
  if (bits === 8) return Uint8Array.from({ length: count }, code);
  if (bits === 16) return Uint16Array.from({ length: count }, code);
  return new Float32Array(Uint32Array.from({ length: count }, code).buffer);
}
