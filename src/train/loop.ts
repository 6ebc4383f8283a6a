/** A training run as a stream of events. It prints nothing; with an output directory it writes checkpoints and a log there. */
import { hasNodeModules } from '../engine/features.js';
import type { Store } from '../engine/store.js';
import { Engine } from '../ops/engine.js';
import { usesFloat8 } from '../ops/recipe.js';
import { digestOfContent } from '../ops/reduce.js';
import { fileOfRun, type RunIdentity, resumeState, stateFile } from './checkpoint.js';
import { Clock } from './clock.js';
import { DataOrder, splitTokens } from './data.js';
import type { AnomalyLine, DoneLine, EvalLine, MetricsLine, SharpnessLine } from './events.js';
import { type Anomaly, AnomalyError, LOSS_WINDOW, MAX_FAILURES } from './guard.js';
import { evalLine, sampleLine, stepLine, summaryOf } from './lines.js';
import { METRICS_FILE, rewindLog } from './log.js';
import { modelFiles, storeOf } from './model-files.js';
import { type Intervals, type TrainSettings, tokensPerStep } from './options.js';
import { fileInTheWay, RunOutput, TrainingError } from './output.js';
import { isRewindPoint, rewindPointOf, rewound } from './rewind.js';
import { checkedOptions, type TrainOptions } from './run-options.js';
import { sharpness } from './sharpness.js';
import {
  freeState,
  inferenceCasts,
  inferenceModel,
  initialState,
  nonFiniteParameter,
  type TrainingState,
} from './state.js';
import { evaluate, evaluateTraining, type StepResult, trainStep } from './step.js';

/** Lets signals, messages and timers of the host run between two steps. Browsers delay timers, for long in hidden pages, but not messages. */
const breathe = () =>
  hasNodeModules()
    ? new Promise<void>((resolve) => setTimeout(resolve, 0))
    : new Promise<void>((resolve) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => {
          port1.close();
          resolve();
        };
        port2.postMessage(undefined);
      });

/**
 * Trains and yields an event for each step, monitored step, evaluation, sample and checkpoint. The last event is `done`, or the checkpoint of a
 * run that was stopped.
 *
 * @throws TypeError or RangeError for wrong options, FileError for an unusable checkpoint, TrainingError for a run that cannot go on.
 */
export async function* train(options: TrainOptions): AsyncGenerator<MetricsLine, void> {
  const { settings, intervals, tokens } = checkedOptions(options);
  const { train: trainTokens, validation } = splitTokens(tokens, settings.valFraction, settings.blockSize);
  const store = options.outDir === undefined ? undefined : await storeOf('outDir', options.outDir);
  if (options.resume && !store) throw new RangeError('outDir: expected the directory of the run to resume, got none');
  const unlock = await store?.lock();
  try {
    if (store && !options.resume) await checkFree(store);
    const engine = options.engine ?? (await Engine.create());
    try {
      const identity = { settings, data: digestOfContent(engine, tokens) };
      const run = new Run(engine, settings, identity, { ...options, ...intervals }, store);
      try {
        await run.begin();
        yield* run.steps(new DataOrder(trainTokens, settings.blockSize, settings.seed), validation);
      } finally {
        run.end();
      }
    } finally {
      if (!options.engine) engine.dispose();
    }
  } finally {
    await unlock?.();
  }
}

async function checkFree(store: Store): Promise<void> {
  const run = await fileOfRun(store);
  const taken = run ?? (await fileInTheWay(store));
  if (!taken) return;
  const [expected, advice] = run
    ? ['a run', 'resume it or name another']
    : ['files that a run would replace', 'name another'];
  throw new RangeError(
    `outDir: expected a directory without ${expected}, got ${store.path}, which has ${taken}; ${advice}`,
  );
}

/** The mutable parts of a run: the state, the recent losses, and the point it can rewind to. */
class Run {
  private state!: TrainingState;
  private losses: number[] = [];
  /** State file that 'rewind' returns to; if undefined, it returns to the beginning. */
  private rewindPoint: Uint8Array | undefined;
  private readonly output: RunOutput;
  private readonly clock: Clock;

  constructor(
    private readonly engine: Engine,
    private readonly settings: TrainSettings,
    private readonly identity: RunIdentity,
    private readonly options: TrainOptions & Intervals,
    private readonly store: Store | undefined,
  ) {
    this.output = new RunOutput(settings, store);
    this.clock = new Clock(tokensPerStep(settings));
  }

  async begin(): Promise<void> {
    const { engine, settings, options, store } = this;
    if (options.resume && store) return this.resume(store);
    this.state = initialState(engine, settings);
    await store?.write(METRICS_FILE, '');
  }

  private async resume(store: Store): Promise<void> {
    const { engine, settings, identity, options } = this;
    const resumed = await resumeState(engine, identity, store);
    Object.assign(this, { state: resumed.state, losses: resumed.losses });
    const { step } = this.state;
    if (settings.onAnomaly === 'rewind') this.rewindPoint = await rewindPointOf(engine, settings, store, resumed);
    this.output.resumed(step, this.rewindPoint !== undefined && this.rewindPoint !== resumed.file);
    if (options.stopAt <= step && step < settings.steps) {
      throw new RangeError(`stopAt: expected a step after the checkpoint's ${step}, got ${options.stopAt}`);
    }
    const kept = await rewindLog(store, step, settings.steps);
    for (const line of kept) if (line.type === 'step') this.clock.resume(line);
  }

  /** Frees only the state: between two events the caller may have created tensors in the same engine. */
  end(): void {
    if (this.state) freeState(this.engine, this.state);
  }

  async *steps(data: DataOrder, validation: Uint8Array): AsyncGenerator<MetricsLine, void> {
    const { settings, options } = this;
    const { evalInterval, evalWindows, checkpointInterval, sampleInterval, sharpnessInterval } = options;
    const last = Math.min(settings.steps, options.stopAt);
    while (this.state.step < last && !options.signal?.aborted) {
      const before = this.state.step;
      yield* this.step(data);
      const { step } = this.state;
      // After a rewind, everything due at this step has already been done.
      if (step <= before) continue;
      const ends = step === settings.steps;
      if (!ends && step % evalInterval === 0) yield* this.evaluation(validation, evalWindows);
      if (sharpnessInterval && (ends || step % sharpnessInterval === 0)) yield* this.sharpness(validation);
      if (!ends && sampleInterval && step % sampleInterval === 0) yield* this.sample();
      const due = step % checkpointInterval === 0 || isRewindPoint(settings, step) || this.isLongAgo();
      if (!ends && step < last && step !== this.output.savedStep && due) yield* this.checkpoint();
      await breathe();
    }
    if (this.state.step < settings.steps) {
      if (this.state.step !== this.output.savedStep) yield* this.checkpoint();
      return;
    }
    const evaluated = yield* this.evaluation(validation);
    yield* this.sample();
    yield* this.checkpoint();
    const summary = summaryOf(this.engine, settings, this.state, this.losses, evaluated, this.clock);
    await this.output.summary(summary);
    yield await this.output.log<DoneLine>({ type: 'done', step: this.state.step, ...summary });
  }

  private async *step(data: DataOrder): AsyncGenerator<MetricsLine, void> {
    const before = performance.now();
    const { engine, settings, state } = this;
    let result: StepResult;
    try {
      result = trainStep(engine, settings, state, data, this.losses, this.isMonitored(state.step + 1));
    } catch (error) {
      if (!(error instanceof AnomalyError)) throw error;
      return yield* this.react(error.anomaly);
    }
    if (settings.onAnomaly === 'skip' || isRewindPoint(settings, state.step)) state.failures = 0;
    const time = {
      tokens_per_sec: this.clock.step(performance.now() - before),
      elapsed_s: this.clock.elapsedSeconds,
    };
    this.losses = [...this.losses, result.loss].slice(-LOSS_WINDOW);
    const withHealth = this.reportsHealth(state.step);
    yield await this.output.log(stepLine(engine, settings, state, result, time, withHealth));
    if (result.monitor) yield await this.output.log(result.monitor);
  }

  /** Applies the configured policy to a step that was not taken. */
  private async *react(anomaly: Anomaly): AsyncGenerator<MetricsLine, void> {
    const { state } = this;
    const { onAnomaly: action } = this.settings;
    const step = state.step + 1;
    if (action === 'stop' || state.failures === MAX_FAILURES) {
      const bad = nonFiniteParameter(this.engine, state);
      if (!bad && state.step !== this.output.savedStep) yield* this.checkpoint();
      const often = action === 'stop' ? '' : `, the last of ${MAX_FAILURES + 1} in a row`;
      return yield* this.fail(step, `${anomaly.what}${often}`, anomaly.kind);
    }
    if (action === 'rewind') yield* this.rewind();
    else {
      state.step = step;
      state.failures++;
    }
    yield await this.output.log<AnomalyLine>({ type: 'anomaly', step, ...anomaly, action, next: this.state.step });
  }

  /** Returns to the last rewind point, passes over the batches from there to the one that failed, and saves at once. */
  private async *rewind(): AsyncGenerator<MetricsLine, void> {
    const { engine, identity, state: failed } = this;
    Object.assign(this, rewound(engine, identity, this.rewindPoint, failed));
    freeState(engine, failed);
    await this.output.rewindLog(this.state.step);
    yield* this.checkpoint();
  }

  private isLongAgo(): boolean {
    const { checkpointMinutes } = this.options;
    return checkpointMinutes > 0 && this.output.minutesSinceSaved() >= checkpointMinutes;
  }

  /** Logs the anomaly and ends the run with TrainingError. */
  private async *fail(
    step: number,
    what: string,
    kind: Anomaly['kind'] = 'non_finite',
  ): AsyncGenerator<MetricsLine, never> {
    yield await this.output.log<AnomalyLine>({
      type: 'anomaly',
      step,
      kind,
      what,
      action: 'stop',
      next: this.state.step,
    });
    throw new TrainingError(`${what}${this.output.lastCheckpoint()}`);
  }

  /** Whether the line of this step includes what the casts observed. */
  private reportsHealth(step: number): boolean {
    const { healthInterval } = this.options;
    const due = step % healthInterval === 0 || step === 1 || step === this.settings.steps;
    return due && usesFloat8(this.settings.recipe);
  }

  private isMonitored(step: number): boolean {
    const { monitorInterval } = this.options;
    return monitorInterval > 0 && step % monitorInterval === 0;
  }

  private async *evaluation(validation: Uint8Array, windows?: number): AsyncGenerator<MetricsLine, EvalLine> {
    const { step } = this.state;
    const loss = evaluate(this.engine, this.settings, this.state, validation, windows);
    if (!Number.isFinite(loss)) yield* this.fail(step, `step ${step}: expected a finite validation loss, got ${loss}`);
    const line = evalLine(step, loss);
    if (this.options.evaluateTraining) {
      line.val_loss_in_training = evaluateTraining(this.engine, this.settings, this.state, validation, windows);
    }
    yield await this.output.log(line);
    return line;
  }

  private async *sharpness(validation: Uint8Array): AsyncGenerator<MetricsLine, void> {
    const { engine, settings, state } = this;
    const value = sharpness(engine, settings, state, validation);
    yield await this.output.log<SharpnessLine>({ type: 'sharpness', step: state.step, sharpness: value });
  }

  private async *sample(): AsyncGenerator<MetricsLine, void> {
    const { engine, settings, state, options } = this;
    yield await this.output.log(sampleLine(engine, settings, state, options.samplePrompt ?? '\n'));
  }

  /** Saves the state for resuming, then the model for use. */
  private async *checkpoint(): AsyncGenerator<MetricsLine, void> {
    const { engine, settings, state, store, output } = this;
    const { step } = state;
    if (!store && !isRewindPoint(settings, step)) return;
    const bad = nonFiniteParameter(engine, state);
    if (bad) yield* this.fail(step, `step ${step}: expected finite parameters to save, got others in ${bad}`);
    const file = stateFile(engine, this.identity, state, this.losses);
    if (isRewindPoint(settings, step)) this.rewindPoint = file;
    if (!store) return;
    await output.state(step, file);
    await output.model(
      step,
      engine.scoped(() => modelFiles(inferenceModel(engine, settings, state), inferenceCasts(engine, settings.recipe))),
    );
    yield await this.output.log({ type: 'checkpoint', step, path: store.path });
  }
}
