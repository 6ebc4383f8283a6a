/**
 * Sharpness of the loss around a model's logits, as in "To FP8 and back again" (Lee et al., 2024). It applies the measure of Keskar et al.
 * (2017) to the logits of the last token instead of the weights:
 *
 *   100 (max f(z + y) - f(z)) / (1 + f(z)),  |y_i| <= eps (|z_i| + 1),  f(z) = -log softmax(z)[target].
 *
 * Lee et al. maximise by L-BFGS-B. Here the maximum is exact: f is convex, falls with the target's logit and rises with every other, so the
 * maximum lies in the corner of the box where the target's logit is lowest and the others are highest.
 */
import type { Runtime } from '../engine/runtime.js';
import { infer } from '../model/transformer.js';
import { exp, log } from '../ops/math.js';
import { dequantize } from '../ops/quantize.js';
import { floats, upload } from '../ops/tensor.js';
import type { TrainSettings } from './options.js';
import { type TrainingState, withTrainingPass } from './state.js';

/** Half the side of the box, in units of |z| + 1. */
const SHARPNESS_EPS = 1e-3;
/** Number of last tokens that a measurement averages over: windows end to end from the start of the held-out text, or as many as it has. */
const WINDOWS = 32;

/** -log softmax(logits)[target], in float64. */
export function lossOfLogits(logits: ArrayLike<number>, target: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) top = Math.max(top, logits[i]);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += exp(logits[i] - top);
  return log(sum) + top - logits[target];
}

/** Sharpness for one token, in per cent. */
export function logitSharpness(logits: ArrayLike<number>, target: number, eps = SHARPNESS_EPS): number {
  const before = lossOfLogits(logits, target);
  const corner = Float64Array.from(logits, (z, i) => z + (i === target ? -1 : 1) * eps * (Math.abs(z) + 1));
  return (100 * (lossOfLogits(corner, target) - before)) / (1 + before);
}

/** Mean sharpness over the last tokens of held-out windows, in the forward pass of training. */
export function sharpness(rt: Runtime, settings: TrainSettings, state: TrainingState, tokens: Uint8Array): number {
  const { blockSize } = settings;
  const windows = Math.min(WINDOWS, Math.floor((tokens.length - 1) / blockSize));
  return withTrainingPass(rt, settings, state, (model, casts) => {
    let sum = 0;
    for (let end = blockSize; end <= windows * blockSize; end += blockSize) {
      const last = rt.scoped(() => {
        const ids = upload(rt, Int32Array.from(tokens.subarray(end - blockSize, end)));
        const logits = infer(model, casts, { ids, batch: 1, time: blockSize });
        const width = logits.shape[1];
        return floats(rt, dequantize(rt, logits)).slice((blockSize - 1) * width, blockSize * width);
      });
      sum += logitSharpness(last, tokens[end]);
    }
    return sum / windows;
  });
}
