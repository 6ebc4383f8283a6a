/** Decodes tensors with a scale per block. */

import type { Runtime } from '../engine/runtime.js';
import { decodeBlocks } from '../formats/blocks.js';
import { type BlockScales, bytes, empty, floats, floatsAt, matrixShape, type Tensor } from './tensor.js';

/** Decodes such a tensor to a new float32 tensor. */
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
