/** One optimizer step: cast weights to operands, run forward and backward over the batches, clip, update, advance the scales. */
import type { Runtime } from '../engine/runtime.js';
import { describe, isUint8Array } from '../formats/check.js';
import { type Casts, type RoleHealth, TrainingCasts } from '../model/casts.js';
import { OPTIMIZER_STREAM } from '../model/init.js';
import { Monitor } from '../model/monitor.js';
import { backward, forward, type Gradients, infer, type Model } from '../model/transformer.js';
import { ADAMW_STREAMS, adamw } from '../ops/adamw.js';
import { crossEntropy } from '../ops/loss.js';
import { integerPower } from '../ops/math.js';
import { globalNorm } from '../ops/reduce.js';
import { restrict } from '../ops/restrict.js';
import { bytesOf, type Tensor, upload, zeros } from '../ops/tensor.js';
import type { DataOrder } from './data.js';
import type { MonitorLine } from './events.js';
import { AnomalyError, findAnomaly } from './guard.js';
import { monitorLine } from './monitor.js';
import { type TrainSettings, tokensPerStep } from './options.js';
import { learningRateAt } from './schedule.js';
import { inferenceCasts, inferenceModel, type TrainingState, trainingModel, withTrainingPass } from './state.js';

export interface StepResult {
  /** Mean cross-entropy in nats per token, over the step's batches, before the update. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly health: ReadonlyMap<string, RoleHealth>;
  /** Present if requested. */
  readonly monitor?: MonitorLine;
}

/**
 * Advances the state by one step, or throws AnomalyError and leaves the state unchanged.
 *
 * @param losses losses of the last steps, for the guard
 * @param monitored whether to monitor the step
 */
export function trainStep(
  rt: Runtime,
  settings: TrainSettings,
  state: TrainingState,
  data: DataOrder,
  losses: readonly number[] = [],
  monitored = false,
): StepResult {
  return rt.scoped(() => {
    const step = state.step + 1;
    const monitor = monitored ? new Monitor(rt) : undefined;
    const casts = new TrainingCasts(rt, settings.recipe, state.scales, settings.seed, step, monitor);
    const model = trainingModel(rt, settings, state, casts);
    const gradients = new Map(state.table.map(({ name, shape }) => [name, zeros(rt, shape, 'float32')]));
    const loss = lossAndGradients(model, casts, settings, state.step + state.offset, data, gradients);
    const gradNorm = globalNorm(rt, [...gradients.values()]);
    const { health } = casts;
    const outcome = { step, loss, gradNorm, health };
    const anomaly = findAnomaly(settings, losses, outcome, () => culprit(rt, gradients));
    if (anomaly) {
      state.scales.discard();
      throw new AnomalyError(anomaly);
    }
    const seen = monitor && monitorLine(rt, state, monitor, health, gradients);
    const learningRate = learningRateAt(step, settings);
    update(rt, settings, state, gradients, gradNorm, learningRate, step);
    state.scales.advance(settings.recipe, step);
    state.step = step;
    return { loss, gradNorm, learningRate, health, monitor: seen };
  });
}

/** The reduced format with the numbers of bfloat16, which are stored in float32. */
const BF16 = { expBits: 8, manBits: 7 };

function lossAndGradients(
  model: Model,
  casts: TrainingCasts,
  settings: TrainSettings,
  batchNumber: number,
  data: DataOrder,
  gradients: Gradients,
): number {
  const { rt } = model;
  const { batchSize, gradientAccumulation, blockSize } = settings;
  const tokens = tokensPerStep(settings);
  let sum = 0;
  for (let micro = 0; micro < gradientAccumulation; micro++) {
    rt.scoped(() => {
      const { inputs, targets } = data.batch((batchNumber * gradientAccumulation + micro) * batchSize, batchSize);
      const batch = { ids: upload(rt, inputs), batch: batchSize, time: blockSize };
      const { logits, kept } = forward(model, casts, batch);
      sum += crossEntropy(rt, logits, upload(rt, targets), 1 / tokens);
      backward(model, casts, batch, kept, logits, gradients);
    });
    if (settings.recipe.gradient === 'bfloat16') {
      for (const t of gradients.values()) restrict(rt, t, { dtype: 'float32', format: BF16, out: t });
    }
  }
  return sum / tokens;
}

function update(
  rt: Runtime,
  settings: TrainSettings,
  state: TrainingState,
  gradients: Gradients,
  gradNorm: number,
  learningRate: number,
  step: number,
): void {
  const { gradClip, beta1, beta2, eps, weightDecay } = settings;
  const shared = {
    learningRate,
    beta1,
    beta2,
    eps,
    beta1Power: integerPower(beta1, step),
    beta2Power: integerPower(beta2, step),
    gradScale: gradClip > 0 && gradNorm > gradClip ? gradClip / gradNorm : 1,
  };
  const { recipe, seed } = settings;
  const stochastic = {
    moments: recipe.momentRounding === 'stochastic',
    master: recipe.masterRounding === 'stochastic',
  };
  state.table.forEach(({ name, decay }, i) => {
    const hyper = { ...shared, weightDecay: decay ? weightDecay : 0 };
    const stream = OPTIMIZER_STREAM + ADAMW_STREAMS * i;
    const random = { seed, stream, step, ...stochastic };
    const before = state.parameters.get(name)!;
    state.parameters.set(name, adamw(rt, before, gradients.get(name)!, hyper, random, recipe.momentScaling));
  });
}

/** Names the first gradient, in table order, that is not finite. */
function culprit(rt: Runtime, gradients: Gradients): string {
  for (const [name, gradient] of gradients) {
    if (!Number.isFinite(globalNorm(rt, [gradient as Tensor]))) return ` (first in the gradient of ${name})`;
  }
  return '';
}

/** Mean cross-entropy over held-out tokens in the precision of the saved model, using at most `windows` windows. */
export function evaluate(
  rt: Runtime,
  settings: TrainSettings,
  state: TrainingState,
  tokens: Uint8Array,
  windows?: number,
): number {
  return rt.scoped(() => {
    const model = inferenceModel(rt, settings, state);
    return meanLoss(model, inferenceCasts(rt, settings.recipe), tokens, settings.blockSize, windows).loss;
  });
}

/** Like `evaluate`, in the precision of training: with block scales, delayed scales and reduced bits. */
export function evaluateTraining(
  rt: Runtime,
  settings: TrainSettings,
  state: TrainingState,
  tokens: Uint8Array,
  windows?: number,
): number {
  return withTrainingPass(
    rt,
    settings,
    state,
    (model, casts) => meanLoss(model, casts, tokens, settings.blockSize, windows).loss,
  );
}

/**
 * Most sequences, and tokens unless one sequence has more, of a pass of an evaluation. In inference sequences are independent, so any number
 * gives the same losses; in the precision of training, a tensor's own scale is that of its pass.
 */
const EVAL_BATCH = 8;
const EVAL_TOKENS = 8192;
/**
 * A window shares this part of its tokens with the previous one and is measured on the rest. Each token outside the first window is thus
 * predicted from at least this much context, as in an n-gram model. Windows placed end to end would also measure how text begins: 0.03 bits per
 * byte in the demo.
 */
const CONTEXT_SHARE = 1 / 4;

function checkMeasured(model: Model, tokens: Uint8Array, blockSize: number, limit: number): void {
  if (typeof model?.config !== 'object')
    throw new TypeError(`model: expected that of a loaded one, got ${describe(model)}`);
  const { maxPositions } = model.config;
  if (!isUint8Array(tokens)) throw new TypeError(`tokens: expected a Uint8Array, got ${describe(tokens)}`);
  if (!(Number.isInteger(blockSize) && blockSize >= 1 && blockSize <= maxPositions)) {
    throw new RangeError(`blockSize: expected an integer from 1 to ${maxPositions}, got ${describe(blockSize)}`);
  }
  if (tokens.length <= blockSize) {
    throw new RangeError(`tokens: expected more than ${blockSize}, a block, got ${tokens.length}`);
  }
  if (!(limit >= 1 && (Number.isInteger(limit) || limit === Number.POSITIVE_INFINITY))) {
    throw new RangeError(`limit: expected a number of windows, at least 1, got ${describe(limit)}`);
  }
}

/**
 * Mean loss in nats per token over all windows, or the first `limit`, and the number of tokens measured. `model` and `casts` are those of a
 * model that `loadModel` returned. Tokens after the last whole window, less than three quarters of a block, are left out.
 *
 * @throws TypeError or RangeError for tokens that are not a Uint8Array or no more than one block, or a block longer than the model's positions.
 */
export function meanLoss(
  model: Model,
  casts: Casts,
  tokens: Uint8Array,
  blockSize: number,
  limit = Number.POSITIVE_INFINITY,
): { loss: number; tokens: number } {
  checkMeasured(model, tokens, blockSize, limit);
  const { rt } = model;
  const context = Math.floor(blockSize * CONTEXT_SHARE);
  const stride = blockSize - context;
  const windows = Math.min(limit, 1 + Math.floor((tokens.length - 1 - blockSize) / stride));
  const batch = Math.max(1, Math.min(EVAL_BATCH, Math.floor(EVAL_TOKENS / blockSize)));
  let sum = 0;
  for (let first = 0; first < windows; first += batch) {
    const starts = Array.from({ length: Math.min(batch, windows - first) }, (_, i) => (first + i) * stride);
    rt.scoped(() => {
      const ids = Int32Array.from(starts.flatMap((at) => [...tokens.subarray(at, at + blockSize)]));
      const logits = infer(model, casts, { ids: upload(rt, ids), batch: starts.length, time: blockSize });
      const rowBytes = bytesOf(logits) / ids.length;
      for (const [i, at] of starts.entries()) {
        const skipped = at === 0 ? 0 : context;
        const shape = [blockSize - skipped, logits.shape[1]];
        const rows = { ...logits, shape, ptr: logits.ptr + (i * blockSize + skipped) * rowBytes };
        sum += crossEntropy(
          rt,
          rows,
          upload(rt, Int32Array.from(tokens.subarray(at + 1 + skipped, at + 1 + blockSize))),
        );
      }
    });
  }
  const measured = blockSize + (windows - 1) * stride;
  return { loss: sum / measured, tokens: measured };
}
