/** A training run as a stream of events. It prints nothing; with an output directory it keeps checkpoints and a log there. */
import { hasNodeModules, peakMemoryBytes } from '../engine/features.js';
import { openDirectory, type Store } from '../engine/store.js';
import { byteTokenizer } from '../interop/tokenizer.js';
import { parameterCount } from '../model/params.js';
import { sample } from '../model/sample.js';
import { Engine } from '../ops/engine.js';
import { usesFloat8 } from '../ops/recipe.js';
import { fileOfRun, PREVIOUS_STATE_FILE, type RunIdentity, resumeState, STATE_FILE, stateFile } from './checkpoint.js';
import { DataOrder, splitTokens } from './data.js';
import type { AnomalyLine, DoneLine, EvalLine, Fp8Health, MetricsLine, SharpnessLine, StepLine } from './events.js';
import { type Anomaly, AnomalyError, LOSS_WINDOW, MAX_FAILURES } from './guard.js';
import { METRICS_FILE, rewindLog } from './log.js';
import { digestOfContent, fileDtype, modelFiles } from './model-files.js';
import { type Intervals, runIntervals, type TrainSettings, type TrainSettingsInput, trainSettings } from './options.js';
import { isRewindPoint, rewindPointOf, rewound } from './rewind.js';
import { sharpness } from './sharpness.js';
import {
  freeState,
  inferenceCasts,
  inferenceModel,
  initialState,
  nonFiniteParameter,
  stateBytesPerParameter,
  stateDigest,
  stateDigests,
  type TrainingState,
} from './state.js';
import { evaluate, type StepResult, trainStep } from './step.js';

export const SUMMARY_FILE = 'summary.json';

export interface TrainOptions extends TrainSettingsInput, Partial<Intervals> {
  /** Text (UTF-8) or bytes; the tokens are its bytes. */
  readonly data: string | Uint8Array;
  /** Where checkpoints, the model and the log go: a directory, or a Store. Nothing is written without it. */
  readonly outDir?: string | Store;
  /** Continue the run in outDir instead of starting one. */
  readonly resume?: boolean;
  readonly engine?: Engine;
  /** Finishes the step under way, saves, and ends. */
  readonly signal?: AbortSignal;
  /** Asked before each step: whether to look into it, whatever the interval. */
  readonly monitorNext?: () => boolean;
  /** What samples begin with; default a new line. */
  readonly samplePrompt?: string;
}

export interface Summary {
  readonly recipe: string;
  readonly parameters: number;
  readonly steps: number;
  readonly tokens: number;
  readonly train_loss: number;
  readonly val_loss: number;
  readonly val_bits_per_byte: number;
  readonly tokens_per_second: number;
  readonly elapsed_seconds: number;
  readonly peak_memory_bytes: number;
  readonly state_bytes_per_parameter: number;
  readonly build: string;
  readonly threads: number;
  readonly runtime: string;
  readonly digest: string;
}

/** A run that could not go on: a number that is not finite, or files that cannot be written. What was saved before stays as it is. */
export class TrainingError extends Error {
  override name = 'TrainingError';
}

/** Digits of a parameter's digest in the log: enough to tell two runs apart. */
const SHORT_DIGEST = 8;
const SAMPLE_TOKENS = 200;
const LN2 = Math.LN2;

/** Lets signals, messages and timers of the host in between two steps. Browsers make timers wait, in hidden pages for long; not messages. */
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

/** Trains and yields an event per step, look into one, evaluation, sample and checkpoint. The last one is `done`, or the checkpoint of a run that was stopped. */
export async function* train(options: TrainOptions): AsyncGenerator<MetricsLine, void> {
  const settings = trainSettings(options);
  const intervals = runIntervals(options);
  const tokens = tokensOf(options.data);
  const { train: trainTokens, validation } = splitTokens(tokens, settings.valFraction, settings.blockSize);
  checkByteVocabulary(settings);
  if (options.samplePrompt === '') throw new RangeError('samplePrompt: expected at least one character, got none');
  const store = typeof options.outDir === 'string' ? await openDirectory(options.outDir) : options.outDir;
  if (options.resume && !store) throw new RangeError('outDir: expected the directory of the run to resume, got none');
  const unlock = await store?.lock();
  try {
    const taken = store && !options.resume && (await fileOfRun(store));
    if (taken) {
      throw new RangeError(
        `outDir: expected a directory without a run, got ${store.path}, which has ${taken}; resume it or name another`,
      );
    }
    const engine = options.engine ?? (await Engine.create());
    const identity = { settings, data: digestOfContent(engine, tokens) };
    const run = new Run(engine, settings, identity, { ...options, ...intervals }, store);
    try {
      await run.begin();
      yield* run.steps(new DataOrder(trainTokens, settings.blockSize, settings.seed), validation);
    } finally {
      run.end();
      if (!options.engine) engine.dispose();
    }
  } finally {
    await unlock?.();
  }
}

function tokensOf(data: string | Uint8Array): Uint8Array {
  if (typeof data === 'string') return byteTokenizer.encode(data);
  if (data instanceof Uint8Array) return data;
  throw new TypeError(`data: expected text or a Uint8Array, got ${data === null ? 'null' : typeof data}`);
}

function checkByteVocabulary({ config }: TrainSettings): void {
  if (config.vocabSize !== byteTokenizer.vocabSize) {
    throw new RangeError(
      `vocabSize: expected ${byteTokenizer.vocabSize}, the byte tokenizer's, got ${config.vocabSize}`,
    );
  }
}

/** One run's moving parts: state, log and clock. */
class Run {
  private state!: TrainingState;
  private losses: number[] = [];
  /** Step of the newest checkpoint, and when it was made. */
  private saved: number | undefined;
  private savedAt = 0;
  /** State file that 'rewind' goes back to; without one, to the beginning. */
  private rewindPoint: Uint8Array | undefined;
  private started = 0;
  /** Steps whose time is known, and their time: those of earlier sessions come from the log. */
  private stepsTimed = 0;
  private trainingMs = 0;

  constructor(
    private readonly engine: Engine,
    private readonly settings: TrainSettings,
    private readonly identity: RunIdentity,
    private readonly options: TrainOptions & Intervals,
    private readonly store: Store | undefined,
  ) {}

  async begin(): Promise<void> {
    const { engine, settings, identity, options, store } = this;
    this.started = performance.now();
    this.savedAt = this.started;
    if (options.resume && store) {
      const resumed = await resumeState(engine, identity, store);
      Object.assign(this, { state: resumed.state, losses: resumed.losses });
      this.saved = this.state.step;
      if (settings.onAnomaly === 'rewind') this.rewindPoint = await rewindPointOf(engine, settings, store, resumed);
      if (options.stopAt <= this.saved && this.saved < settings.steps) {
        throw new RangeError(`stopAt: expected a step after the checkpoint's ${this.saved}, got ${options.stopAt}`);
      }
      const kept = await rewindLog(store, this.state.step, settings.steps);
      for (const line of kept) if (line.type === 'step') this.wasTimed(line);
      return;
    }
    this.state = initialState(engine, settings);
    if (!store) return;
    // What could only fail at the first checkpoint fails now.
    const { forward, masterWeight, firstMoment, secondMoment } = settings.recipe;
    for (const dtype of [forward.weight, masterWeight, firstMoment, secondMoment]) fileDtype(dtype);
    await store.write(METRICS_FILE, '');
  }

  /** Frees the state alone: between two events the caller may have put tensors of its own into the engine. */
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
      // Of a step gone back to, everything was done.
      if (step <= before) continue;
      const ends = step === settings.steps;
      if (!ends && step % evalInterval === 0) yield* this.evaluation(validation, evalWindows);
      if (sharpnessInterval && (ends || step % sharpnessInterval === 0)) yield* this.sharpness(validation);
      if (!ends && sampleInterval && step % sampleInterval === 0) yield await this.log(this.sample());
      const due = step % checkpointInterval === 0 || isRewindPoint(settings, step) || this.isLongAgo();
      if (!ends && step < last && step !== this.saved && due) yield* this.checkpoint();
      await breathe();
    }
    if (this.state.step < settings.steps) {
      if (this.state.step !== this.saved) yield* this.checkpoint();
      return;
    }
    const loss = yield* this.evaluation(validation);
    yield await this.log(this.sample());
    yield* this.checkpoint();
    const summary = this.summary(loss);
    await this.written(this.store?.write(SUMMARY_FILE, `${JSON.stringify(summary, null, 2)}\n`));
    yield await this.log<DoneLine>({ type: 'done', step: this.state.step, ...summary });
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
    const now = performance.now();
    this.trainingMs += now - before;
    this.stepsTimed++;
    this.losses = [...this.losses, result.loss].slice(-LOSS_WINDOW);
    yield await this.log(this.stepLine(result, now - before, now - this.started));
    if (result.monitor) yield await this.log(result.monitor);
  }

  /** Does about a step that was not taken what the settings say. */
  private async *react(anomaly: Anomaly): AsyncGenerator<MetricsLine, void> {
    const { state } = this;
    const { onAnomaly: action } = this.settings;
    const step = state.step + 1;
    if (action === 'stop' || state.failures === MAX_FAILURES) {
      const bad = nonFiniteParameter(this.engine, state);
      if (!bad && state.step !== this.saved) yield* this.checkpoint();
      const often = action === 'stop' ? '' : `, the last of ${MAX_FAILURES + 1} in a row`;
      return yield* this.fail(step, `${anomaly.what}${often}`, anomaly.kind);
    }
    if (action === 'rewind') yield* this.rewind();
    else {
      state.step = step;
      state.failures++;
    }
    yield await this.log<AnomalyLine>({ type: 'anomaly', step, ...anomaly, action, next: this.state.step });
  }

  /** Back to the last point to rewind to, and past the batches from there to the one that failed; saved at once. */
  private async *rewind(): AsyncGenerator<MetricsLine, void> {
    const { engine, settings, identity, store, state: failed } = this;
    Object.assign(this, rewound(engine, identity, this.rewindPoint, failed));
    freeState(engine, failed);
    if (store) await this.written(rewindLog(store, this.state.step, settings.steps));
    yield* this.checkpoint();
  }

  private isLongAgo(): boolean {
    const { checkpointMinutes } = this.options;
    return checkpointMinutes > 0 && performance.now() - this.savedAt >= 60_000 * checkpointMinutes;
  }

  /** Ends the run. */
  private async *fail(
    step: number,
    what: string,
    kind: Anomaly['kind'] = 'non_finite',
  ): AsyncGenerator<MetricsLine, never> {
    yield await this.log<AnomalyLine>({ type: 'anomaly', step, kind, what, action: 'stop', next: this.state.step });
    throw new TrainingError(`${what}${this.lastCheckpoint()}`);
  }

  private lastCheckpoint(): string {
    if (!this.store) return '';
    if (this.saved === undefined) return '; no checkpoint was saved before';
    return `; the last checkpoint, of step ${this.saved}, is in ${this.store.path}`;
  }

  private stepLine(result: StepResult, stepMs: number, elapsedMs: number): StepLine {
    const { step } = this.state;
    const digests = stateDigests(this.engine, this.state);
    const line: StepLine = {
      type: 'step',
      step,
      loss: result.loss,
      lr: result.learningRate,
      grad_norm: result.gradNorm,
      tokens: step * this.tokensPerStep,
      tokens_per_sec: (this.tokensPerStep * 1000) / stepMs,
      elapsed_s: elapsedMs / 1000,
      digest: digests.state,
      parameters: digests.parameters.map((digest) => digest.slice(0, SHORT_DIGEST)),
    };
    if (this.reportsHealth(step)) line.fp8 = Object.fromEntries(result.health) as Record<string, Fp8Health>;
    return line;
  }

  /** Whether the line of a step tells what the casts saw. */
  private reportsHealth(step: number): boolean {
    const { healthInterval } = this.options;
    const due = step % healthInterval === 0 || step === 1 || step === this.settings.steps;
    return due && usesFloat8(this.settings.recipe);
  }

  private isMonitored(step: number): boolean {
    const { monitorInterval, monitorNext } = this.options;
    return (monitorInterval > 0 && step % monitorInterval === 0) || monitorNext?.() === true;
  }

  private async *evaluation(validation: Uint8Array, windows?: number): AsyncGenerator<MetricsLine, number> {
    const { step } = this.state;
    const loss = evaluate(this.engine, this.settings, this.state, validation, windows);
    if (!Number.isFinite(loss)) yield* this.fail(step, `step ${step}: expected a finite validation loss, got ${loss}`);
    yield await this.log<EvalLine>({ type: 'eval', step, val_loss: loss, val_bits_per_byte: loss / LN2 });
    return loss;
  }

  private async *sharpness(validation: Uint8Array): AsyncGenerator<MetricsLine, void> {
    const { engine, settings, state } = this;
    const value = sharpness(engine, settings, state, validation);
    yield await this.log<SharpnessLine>({ type: 'sharpness', step: state.step, sharpness: value });
  }

  private sample() {
    const { engine, settings, state, options } = this;
    const prompt = options.samplePrompt ?? '\n';
    const text = engine.scoped(() => {
      const model = inferenceModel(engine, settings, state);
      const drawn = { maxNewTokens: SAMPLE_TOKENS, temperature: 0.8, topP: 0.95, seed: settings.seed };
      const ids = sample(model, inferenceCasts(engine, settings.recipe), byteTokenizer.encode(prompt), drawn);
      return byteTokenizer.decode(Uint8Array.from(ids));
    });
    return { type: 'sample', step: state.step, prompt, text } as const;
  }

  /** Saves the state to resume from, then the model for use. */
  private async *checkpoint(): AsyncGenerator<MetricsLine, void> {
    const { engine, settings, state, store } = this;
    const { step } = state;
    if (!store && !isRewindPoint(settings, step)) return;
    const bad = nonFiniteParameter(engine, state);
    if (bad) yield* this.fail(step, `step ${step}: expected finite parameters to save, got others in ${bad}`);
    const file = stateFile(engine, this.identity, state, this.losses);
    if (isRewindPoint(settings, step)) this.rewindPoint = file;
    if (!store) return;
    // Of two checkpoints, one is a point to rewind to.
    const keeps = settings.onAnomaly !== 'rewind' || (this.saved !== undefined && isRewindPoint(settings, this.saved));
    await this.written(store.write(STATE_FILE, file, keeps ? PREVIOUS_STATE_FILE : undefined));
    this.saved = step;
    this.savedAt = performance.now();
    const files = engine.scoped(() => modelFiles(inferenceModel(engine, settings, state)));
    for (const [name, content] of files) await this.written(store.write(name, content));
    yield await this.log({ type: 'checkpoint', step, path: store.path });
  }

  private summary(valLoss: number): Summary {
    const { engine, settings, state } = this;
    return {
      recipe: settings.recipe.name,
      parameters: parameterCount(settings.config),
      steps: state.step,
      tokens: state.step * this.tokensPerStep,
      train_loss: this.losses.reduce((a, b) => a + b, 0) / this.losses.length,
      val_loss: valLoss,
      val_bits_per_byte: valLoss / LN2,
      tokens_per_second: (this.stepsTimed * this.tokensPerStep * 1000) / this.trainingMs,
      elapsed_seconds: (performance.now() - this.started) / 1000,
      peak_memory_bytes: peakMemoryBytes() ?? engine.arena.peakBytes,
      state_bytes_per_parameter: stateBytesPerParameter(state),
      build: engine.info.build,
      threads: engine.info.threads,
      runtime: engine.info.runtime,
      digest: stateDigest(engine, state),
    };
  }

  private get tokensPerStep(): number {
    const { batchSize, gradientAccumulation, blockSize } = this.settings;
    return batchSize * gradientAccumulation * blockSize;
  }

  private async log<Line extends MetricsLine>(line: Line): Promise<Line> {
    await this.written(this.store?.append(METRICS_FILE, `${JSON.stringify(line)}\n`));
    return line;
  }

  /** In the midst of a run, a file that cannot be written is a failure of the run. */
  private async written(outcome: Promise<unknown> | undefined): Promise<void> {
    try {
      await outcome;
    } catch (cause) {
      const what = `step ${this.state.step}: ${(cause as Error).message}`;
      throw new TrainingError(`${what}${this.lastCheckpoint()}`, { cause });
    }
  }

  /** Lets the clock run on from a step of an earlier session. */
  private wasTimed({ tokens_per_sec: speed, elapsed_s: elapsed }: StepLine): void {
    if (!(speed > 0 && elapsed >= 0)) return;
    this.stepsTimed++;
    this.trainingMs += (this.tokensPerStep * 1000) / speed;
    this.started = performance.now() - 1000 * elapsed;
  }
}
