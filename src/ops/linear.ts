/** The three products of a linear layer. W is stored as (out features, in features), as in torch and Hugging Face. */

import type { Runtime } from '../engine/runtime.js';
import type { DType } from '../formats/index.js';
import { matmul } from './matmul.js';
import { empty, matrixShape, type Tensor } from './tensor.js';

/** Y = X W^T (+ addend): X (rows, K), W (N, K) -> (rows, N). rowFactor: address of one float32 per row, which multiplies the product. */
export function linearForward(
  rt: Runtime,
  x: Tensor,
  w: Tensor,
  { dtype, addend, rowFactor }: { dtype: DType; addend?: Tensor; rowFactor?: number },
): Tensor {
  const out = empty(rt, [matrixShape(x)[0], w.shape[0]], dtype);
  matmul(rt, x, w, { transposeB: true, out, addend, rowFactor });
  return out;
}

/** dX = dY W: dY (rows, N), W (N, K) -> (rows, K). */
export function linearBackwardInput(rt: Runtime, dy: Tensor, w: Tensor, dtype: DType): Tensor {
  const out = empty(rt, [matrixShape(dy)[0], w.shape[1]], dtype);
  matmul(rt, dy, w, { out });
  return out;
}

/** dW += dY^T X: dY (rows, N), X (rows, K), dW (N, K) float32. columnFactor: address of one float32 per input feature. */
export function linearBackwardWeight(rt: Runtime, dy: Tensor, x: Tensor, dW: Tensor, columnFactor?: number): void {
  matmul(rt, dy, x, { transposeA: true, out: dW, addend: dW, columnFactor });
}
