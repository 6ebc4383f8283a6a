/** Cross-entropy of logits against token ids, and its gradient, written over the logits. */
import { loadRow } from './decode';
import { storeRow } from './encode';
import { format } from './formats';
import { lanes } from './lanes';
import { math } from './math';

/**
 * Units: rows. losses[row] = log(sum exp(logits)) - logits[target], float32. Where gradScale is not 0, the logits are replaced by gradScale
 * * (softmax - onehot), so that logits and gradient never take memory side by side. V need not be a multiple of 4.
 */
export function crossEntropy(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, logits: usize, targets: usize, losses: usize, vocabulary: i32, gradScale: f32,
): void {
  const stride = <usize>vocabulary * format.bytes(dtype);
  const padded = (vocabulary + 3) & ~3;
  for (let row = begin; row < end; row++) {
    const at = logits + <usize>row * stride;
    loadRow(dtype, at, scratch, vocabulary, 1);
    for (let i = vocabulary; i < padded; i++) store<f32>(scratch + (i << 2), -Infinity);
    let largest = f32x4.splat(-Infinity);
    for (let i = 0; i < padded; i += 4) largest = f32x4.max(largest, v128.load(scratch + (i << 2)));
    const peak = max<f32>(
      max<f32>(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
      max<f32>(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
    );
    const target = scratch + (load<i32>(targets + (row << 2)) << 2);
    const logit = load<f32>(target);
    let sums = f32x4.splat(0);
    for (let i = 0; i < padded; i += 4) {
      const e = math.expMinus(f32x4.sub(f32x4.splat(peak), v128.load(scratch + (i << 2))));
      sums = f32x4.add(sums, e);
      v128.store(scratch + (i << 2), e);
    }
    const sum = lanes.sum(sums);
    store<f32>(losses + (row << 2), <f32>(Math.log(<f64>sum) + (<f64>peak - <f64>logit)));
    if (gradScale !== 0) {
      const k = f32x4.splat(gradScale / sum);
      for (let i = 0; i < padded; i += 4) v128.store(scratch + (i << 2), f32x4.mul(v128.load(scratch + (i << 2)), k));
      store<f32>(target, load<f32>(target) - gradScale);
      storeRow(dtype, scratch, at, vocabulary);
    }
  }
}
