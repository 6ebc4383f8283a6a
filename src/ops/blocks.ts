/** Tensors with a power-of-two scale for each block: MX (1 x 32), 1 x 128 and 128 x 128. Codes and scales are those of `encodeBlocks`. */

import type { Runtime } from '../engine/runtime.js';
import { type BlockOptions, decodeBlocks, encodeBlocks } from '../formats/blocks.js';
import { type DType, decode, formatSpec } from '../formats/index.js';
import { type BlockScales, bytes, empty, floats, floatsAt, matrixShape, type Tensor } from './tensor.js';

/** How a tensor may be cut, as `quantize` takes it. */
export type BlockScaling = 'mx' | { readonly block: readonly [rows: number, columns: number] };

const BLOCKS: readonly (readonly [number, number])[] = [
  [1, 128],
  [128, 128],
];

function blockOptions(dtype: DType, scaling: BlockScaling): BlockOptions {
  if (scaling === 'mx') return { dtype, block: [1, 32], scale: 'float8_e8m0fnu' };
  const known = BLOCKS.find(([rows, columns]) => rows === scaling.block[0] && columns === scaling.block[1]);
  if (!known) {
    throw new RangeError(`scaling: expected a block of [1, 128] or [128, 128], got ${JSON.stringify(scaling.block)}`);
  }
  return { dtype, block: known, scale: 'power-of-two' };
}

/** Quantises on the calling thread, in plain TypeScript. */
export function quantizeBlocks(
  rt: Runtime,
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: DType,
  scaling: BlockScaling,
): Tensor {
  if (formatSpec(dtype).bits !== 8) {
    throw new RangeError(`dtype: expected a format of 8 bits for blocks, got ${dtype}`);
  }
  const options = blockOptions(dtype, scaling);
  const codes = empty(rt, shape, dtype);
  const coded = encodeBlocks(values, matrixShape(codes), options);
  const scales = options.scale === 'power-of-two' ? coded.scales : decode(coded.scales, 'float8_e8m0fnu');
  bytes(rt, codes).set(coded.codes);
  const at = rt.arena.alloc(4 * scales.length);
  floatsAt(rt, at, scales.length).set(scales);
  return { ...codes, scaleInv: { blocks: at, block: options.block } };
}

/** The values of such a tensor as float32, in a new tensor. */
export function dequantizeBlocks(rt: Runtime, src: Tensor, { blocks, block }: BlockScales): Tensor {
  const shape = matrixShape(src);
  const out = empty(rt, src.shape, 'float32');
  const count = Math.ceil(shape[0] / block[0]) * Math.ceil(shape[1] / block[1]);
  const scales = floatsAt(rt, blocks, count).slice();
  const codes = bytes(rt, src).slice();
  const coded = { dtype: src.dtype, shape, block, scale: 'power-of-two', codes, scales, tensorScale: 1 } as const;
  floats(rt, out).set(decodeBlocks(coded));
  return out;
}
