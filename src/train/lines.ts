/** Builds the more complex lines of a run's log, and its summary. */
import { peakMemoryBytes } from '../engine/features.js';
import { byteTokenizer } from '../interop/tokenizer.js';
import { parameterCount } from '../model/params.js';
import { LogitsError, sample } from '../model/sample.js';
import type { Engine } from '../ops/engine.js';
import type { Clock } from './clock.js';
import type { EvalLine, SampleLine, StepLine, Summary } from './events.js';
import { type TrainSettings, tokensPerStep } from './options.js';
import type { TrainingState } from './state.js';
import { inferenceCasts, inferenceModel, stateBytesPerParameter, stateDigest, stateDigests } from './state.js';
import type { StepResult } from './step.js';

/** Digits of a parameter's digest in the log, enough to tell two runs apart. */
const SHORT_DIGEST = 8;
const SAMPLE_TOKENS = 200;

/** The log line of the step that led to this state; `withHealth` adds what its casts observed. */
export function stepLine(
  engine: Engine,
  settings: TrainSettings,
  state: TrainingState,
  result: StepResult,
  time: Pick<StepLine, 'tokens_per_sec' | 'elapsed_s'>,
  withHealth: boolean,
): StepLine {
  const digests = stateDigests(engine, state);
  return {
    type: 'step',
    step: state.step,
    loss: result.loss,
    lr: result.learningRate,
    grad_norm: result.gradNorm,
    tokens: state.step * tokensPerStep(settings),
    ...time,
    digest: digests.state,
    parameters: digests.parameters.map((digest) => digest.slice(0, SHORT_DIGEST)),
    ...(withHealth && { fp8: Object.fromEntries(result.health) }),
  };
}

export const evalLine = (step: number, loss: number): EvalLine => ({
  type: 'eval',
  step,
  val_loss: loss,
  val_bits_per_byte: loss / Math.LN2,
});

/** Samples text after `prompt`. */
export function sampleLine(engine: Engine, settings: TrainSettings, state: TrainingState, prompt: string): SampleLine {
  const text = engine.scoped(() => {
    const model = inferenceModel(engine, settings, state);
    const drawn = { maxNewTokens: SAMPLE_TOKENS, temperature: 0.8, topP: 0.95, seed: settings.seed };
    const ids: number[] = [];
    try {
      for (const id of sample(model, inferenceCasts(engine, settings.recipe), byteTokenizer.encode(prompt), drawn))
        ids.push(id);
    } catch (error) {
      // A model that has diverged ends its text; the next step or evaluation says so, and what is to be done.
      if (!(error instanceof LogitsError)) throw error;
    }
    return byteTokenizer.decode(ids);
  });
  return { type: 'sample', step: state.step, prompt, text };
}

/** The outcome of a run, from the losses of its last steps and its last evaluation. */
export function summaryOf(
  engine: Engine,
  settings: TrainSettings,
  state: TrainingState,
  losses: readonly number[],
  { val_loss, val_bits_per_byte }: EvalLine,
  clock: Clock,
): Summary {
  const { build, threads, runtime } = engine.info;
  return {
    recipe: settings.recipe.name,
    parameters: parameterCount(settings.config),
    steps: state.step,
    tokens: state.step * tokensPerStep(settings),
    train_loss: losses.reduce((a, b) => a + b, 0) / losses.length,
    val_loss,
    val_bits_per_byte,
    tokens_per_second: clock.tokensPerSecond,
    elapsed_seconds: clock.elapsedSeconds,
    peak_memory_bytes: peakMemoryBytes() ?? engine.arena.peakBytes,
    state_bytes_per_parameter: stateBytesPerParameter(state),
    build,
    threads,
    runtime,
    digest: stateDigest(engine, state),
  };
}
