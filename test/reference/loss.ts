/** assembly/loss.ts: cross-entropy. */
import { div, exp, f, laneSum, mul, sub } from './lanes.js';

/**
 * Per row the loss (float32), and gradScale * (softmax - onehot) before it is stored. The kernel takes the logarithm in float64 with
 * AssemblyScript's Math.log, this with V8's: both are within an ulp of float64, and the sum is then rounded to float32.
 */
export function crossEntropy(logits: Float32Array, vocabulary: number, targets: Int32Array, gradScale: number) {
  const losses = new Float32Array(targets.length);
  const gradient = new Float32Array(logits.length);
  const k = f(gradScale);
  targets.forEach((target, row) => {
    const at = row * vocabulary;
    const line = logits.subarray(at, at + vocabulary);
    const peak = line.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const powers = Float32Array.from(line, (x) => exp(sub(x, peak)));
    const sum = laneSum(vocabulary, (i) => powers[i]);
    losses[row] = Math.log(sum) + (peak - line[target]);
    const factor = div(k, sum);
    for (let i = 0; i < vocabulary; i++) gradient[at + i] = mul(powers[i], factor);
    gradient[at + target] = sub(gradient[at + target], k);
  });
  return { losses, gradient };
}
