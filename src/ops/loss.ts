/** Cross-entropy. Kernel: assembly/loss.ts. */
import type { Runtime } from '../engine/runtime.js';
import { rowScratch } from './quantize.js';
import { checkIds, floatsAt, idOf, matrixShape, type Tensor } from './tensor.js';

/**
 * Sum over rows of -log softmax(logits)[target], in nats, added in row order in float64. targets: address of one int32 per row. If gradScale is
 * given, the logits are overwritten with gradScale * (softmax - onehot), the gradient of gradScale times the sum.
 */
export function crossEntropy(rt: Runtime, logits: Tensor, targets: number, gradScale = 0): number {
  const [rows, vocabulary] = matrixShape(logits);
  checkIds(rt, 'targets', targets, rows, vocabulary);
  return rt.scoped(() => {
    const losses = rt.arena.alloc(rows * 4);
    const scratch = rowScratch(vocabulary);
    rt.parallel('crossEntropy', rows, scratch, idOf(logits.dtype), logits.ptr, targets, losses, vocabulary, gradScale);
    return floatsAt(rt, losses, rows).reduce((sum, loss) => sum + loss, 0);
  });
}
