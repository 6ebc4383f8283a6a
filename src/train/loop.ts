/** A training run as a stream of events. It prints nothing; with an output directory it keeps checkpoints and a log there. */
import { peakMemoryBytes } from '../engine/features.js';
import { openDirectory, type Store } from '../engine/store.js';
import { byteTokenizer } from '../interop/tokenizer.js';
import { parameterCount } from '../model/params.js';
import { sample } from '../model/sample.js';
import { Engine } from '../ops/engine.js';
import { usesFloat8 } from '../ops/recipe.js';
import { hasRun, PREVIOUS_STATE_FILE, type RunIdentity, resumeState, STATE_FILE, stateFile } from './checkpoint.js';
import { DataOrder, splitTokens } from './data.js';
import type { DoneLine, Fp8Health, MetricsLine, StepLine } from './events.js';
import { digestOfContent, modelFiles } from './model-files.js';
import { type TrainSettings, type TrainSettingsInput, trainSettings } from './options.js';
import {
  inferenceCasts,
  inferenceModel,
  initialState,
  stateBytesPerParameter,
  stateDigest,
  type TrainingState,
} from './state.js';
import { evaluate, NonFiniteError, type StepResult, trainStep } from './step.js';

export const METRICS_FILE = 'metrics.jsonl';
export const SUMMARY_FILE = 'summary.json';

export interface TrainOptions extends TrainSettingsInput {
  /** Text (UTF-8) or bytes; the tokens are its bytes. */
  readonly data: string | Uint8Array;
  /** Where checkpoints, the model and the log go: a directory, or a Store. Nothing is written without it. */
  readonly outDir?: string | Store;
  /** Continue the run in outDir instead of starting one. */
  readonly resume?: boolean;
  readonly engine?: Engine;
  /** Stop after this step with a checkpoint; the schedule still runs to `steps`. */
  readonly stopAt?: number;
  /** Finishes the step under way, saves, and ends. */
  readonly signal?: AbortSignal;
  /** Steps between evaluations, each on evalWindows held-out windows (the last on all of them). */
  readonly evalInterval?: number;
  readonly evalWindows?: number;
  readonly checkpointInterval?: number;
  /** Steps between FP8 health records in the log. */
  readonly healthInterval?: number;
  /** Steps between samples of samplePrompt. */
  readonly sampleInterval?: number;
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

/** A run that ended by a non-finite number. The output directory holds the last good state. */
export class TrainingError extends Error {
  override name = 'TrainingError';
}

/** A step's loss is noisy; train_loss is the mean over this many last ones. */
const TRAIN_LOSS_STEPS = 50;
const SAMPLE_TOKENS = 200;
const LN2 = Math.LN2;

/** Lets signals and timers of the host in between two steps. */
const breathe = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** Trains and yields an event per step, evaluation, sample and checkpoint, and `done` or `stopped` at the end. */
export async function* train(options: TrainOptions): AsyncGenerator<MetricsLine, void> {
  const settings = trainSettings(options);
  const tokens = typeof options.data === 'string' ? byteTokenizer.encode(options.data) : options.data;
  const { train: trainTokens, validation } = splitTokens(tokens, settings.valFraction, settings.blockSize);
  checkByteVocabulary(settings);
  const store = typeof options.outDir === 'string' ? await openDirectory(options.outDir) : options.outDir;
  if (options.resume && !store) throw new RangeError('outDir: expected the directory of the run to resume, got none');
  if (store && !options.resume && (await hasRun(store))) {
    throw new RangeError(
      `outDir: expected a directory without a run, got ${store.path}, which has one; resume it or name another`,
    );
  }
  const engine = options.engine ?? (await Engine.create());
  const mark = engine.arena.mark();
  try {
    const identity = { settings, data: digestOfContent(engine, tokens) };
    const run = new Run(engine, settings, identity, options, store);
    await run.begin();
    yield* run.steps(new DataOrder(trainTokens, settings.blockSize, settings.seed), validation);
  } finally {
    engine.arena.release(mark);
    if (!options.engine) engine.dispose();
  }
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
  private started = 0;
  private stepsHere = 0;
  private trainingMs = 0;

  constructor(
    private readonly engine: Engine,
    private readonly settings: TrainSettings,
    private readonly identity: RunIdentity,
    private readonly options: TrainOptions,
    private readonly store: Store | undefined,
  ) {}

  async begin(): Promise<void> {
    const { engine, settings, identity, store } = this;
    if (this.options.resume && store) {
      ({ state: this.state, losses: this.losses } = await resumeState(engine, identity, store));
      await this.rewindLog(store);
    } else {
      this.state = initialState(engine, settings);
      // Fails now, not after the first interval, where the directory cannot be written.
      await store?.write(METRICS_FILE, '');
    }
    this.started = performance.now();
  }

  async *steps(data: DataOrder, validation: Uint8Array): AsyncGenerator<MetricsLine, void> {
    const { settings, options } = this;
    const { evalInterval = 100, evalWindows = 32, checkpointInterval = 500, sampleInterval = 0 } = options;
    const last = Math.min(settings.steps, options.stopAt ?? settings.steps);
    while (this.state.step < last && !options.signal?.aborted) {
      yield await this.log(await this.step(data));
      const { step } = this.state;
      const ends = step === settings.steps;
      if (!ends && step % evalInterval === 0) yield await this.log(this.evaluation(validation, evalWindows));
      if (!ends && sampleInterval && step % sampleInterval === 0) yield await this.log(this.sample());
      if (!ends && step < last && step % checkpointInterval === 0) yield* this.checkpoint();
      await breathe();
    }
    if (this.state.step < settings.steps) {
      yield* this.checkpoint();
      return;
    }
    const evaluation = this.evaluation(validation);
    yield await this.log(evaluation);
    yield await this.log(this.sample());
    yield* this.checkpoint();
    const done: DoneLine = { type: 'done', step: this.state.step, ...this.summary(evaluation.val_loss) };
    await this.store?.write(SUMMARY_FILE, `${JSON.stringify(this.summary(evaluation.val_loss), null, 2)}\n`);
    yield await this.log(done);
  }

  private async step(data: DataOrder): Promise<StepLine> {
    const before = performance.now();
    let result: StepResult;
    try {
      result = trainStep(this.engine, this.settings, this.state, data);
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      await this.log({ type: 'anomaly', step: this.state.step + 1, what: error.message });
      const saved = await this.save();
      const kept = saved ? `; the state before it is in ${saved}` : '';
      throw new TrainingError(`${error.message}${kept}`);
    }
    const now = performance.now();
    this.trainingMs += now - before;
    this.stepsHere++;
    this.losses = [...this.losses, result.loss].slice(-TRAIN_LOSS_STEPS);
    return this.stepLine(result, now - before, now - this.started);
  }

  private stepLine(result: StepResult, stepMs: number, elapsedMs: number): StepLine {
    const { step } = this.state;
    const line: StepLine = {
      type: 'step',
      step,
      loss: result.loss,
      lr: result.learningRate,
      grad_norm: result.gradNorm,
      tokens: step * this.tokensPerStep,
      tokens_per_sec: (this.tokensPerStep * 1000) / stepMs,
      elapsed_s: elapsedMs / 1000,
      digest: stateDigest(this.engine, this.state),
    };
    const { healthInterval = 10 } = this.options;
    if (
      usesFloat8(this.settings.recipe) &&
      (step % healthInterval === 0 || step === 1 || step === this.settings.steps)
    ) {
      line.fp8 = Object.fromEntries(result.health) as Record<string, Fp8Health>;
    }
    return line;
  }

  private evaluation(validation: Uint8Array, windows?: number) {
    const loss = evaluate(this.engine, this.settings, this.state, validation, windows);
    return { type: 'eval', step: this.state.step, val_loss: loss, val_bits_per_byte: loss / LN2 } as const;
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

  private async *checkpoint(): AsyncGenerator<MetricsLine, void> {
    const path = await this.save();
    if (path) yield await this.log({ type: 'checkpoint', step: this.state.step, path });
  }

  /** The model for use, then the state to resume from. The path, or undefined where there is nowhere to save. */
  private async save(): Promise<string | undefined> {
    const { engine, settings, state, store } = this;
    if (!store) return undefined;
    const files = engine.scoped(() => modelFiles(inferenceModel(engine, settings, state)));
    for (const [name, content] of files) await store.write(name, content);
    await store.write(STATE_FILE, stateFile(engine, this.identity, state, this.losses), PREVIOUS_STATE_FILE);
    return store.path;
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
      tokens_per_second: (this.stepsHere * this.tokensPerStep * 1000) / this.trainingMs,
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
    await this.store?.append(METRICS_FILE, `${JSON.stringify(line)}\n`);
    return line;
  }

  /** Drops what the log holds from after the checkpoint: those steps are done again. */
  private async rewindLog(store: Store): Promise<void> {
    const log = new TextDecoder().decode((await store.read(METRICS_FILE)) ?? new Uint8Array());
    const kept = log.split('\n').filter((line) => {
      try {
        return (JSON.parse(line) as MetricsLine).step <= this.state.step;
      } catch {
        // An empty or half-written last line.
        return false;
      }
    });
    await store.write(METRICS_FILE, kept.map((line) => `${line}\n`).join(''));
  }
}
