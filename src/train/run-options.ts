/** The options of `train`, and their checks before anything runs. */
import type { Store } from '../engine/store.js';
import { checkOptions, describe, isUint8Array, namesOf } from '../formats/check.js';
import { byteTokenizer } from '../interop/tokenizer.js';
import { Engine } from '../ops/engine.js';
import { MEMORY_BYTES, mayFit, ropeExcess, trainingBytes } from './memory.js';
import { type Intervals, runIntervals, type TrainSettings, type TrainSettingsInput, trainSettings } from './options.js';
import { INTERVALS, type NumberName, SETTINGS } from './settings.js';

/** Options of `train`: the settings and intervals of the run, its data, and where it runs and writes. */
export interface TrainOptions extends TrainSettingsInput, Partial<Intervals> {
  /** Text (encoded as UTF-8) or bytes; the tokens are the bytes. */
  readonly data: string | Uint8Array;
  /** Where checkpoints, the model and the log are written: a directory, or a Store. Without it nothing is written. */
  readonly outDir?: string | Store;
  /** Continue the run in outDir instead of starting one. */
  readonly resume?: boolean;
  readonly engine?: Engine;
  /** Aborting finishes the step under way, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /** Whether evaluations also report the loss in the precision of training. */
  readonly evaluateTraining?: boolean;
  /** Text that samples begin with; default a newline. */
  readonly samplePrompt?: string;
}

/** Returns the settings and intervals, complete, and the text as tokens. */
export function checkedOptions(options: TrainOptions): {
  settings: TrainSettings;
  intervals: Intervals;
  tokens: Uint8Array;
} {
  checkOptions(options, TRAIN_OPTIONS);
  checkOwn(options);
  const settings = trainSettings(options);
  checkByteVocabulary(settings);
  checkMemory(settings);
  checkRope(settings);
  return { settings, intervals: runIntervals(options), tokens: tokensOf(options.data) };
}

const TRAIN_OPTIONS = [
  ...namesOf<Omit<TrainOptions, NumberName | keyof Intervals>>({
    data: true,
    config: true,
    recipe: true,
    outDir: true,
    resume: true,
    engine: true,
    signal: true,
    onAnomaly: true,
    alignment: true,
    evaluateTraining: true,
    samplePrompt: true,
  }),
  ...Object.keys(SETTINGS),
  ...Object.keys(INTERVALS),
];

/** Checks the options that are not settings. */
function checkOwn(options: TrainOptions): void {
  const { engine, signal, samplePrompt = '\n' } = options;
  if (typeof samplePrompt !== 'string') {
    throw new TypeError(`samplePrompt: expected text, got ${describe(samplePrompt)}`);
  }
  if (samplePrompt === '') throw new RangeError('samplePrompt: expected at least one character, got none');
  if (engine !== undefined && !(engine instanceof Engine)) {
    throw new TypeError(`engine: expected one that init() gave, got ${describe(engine)}`);
  }
  if (signal !== undefined && typeof signal?.aborted !== 'boolean') {
    throw new TypeError(`signal: expected an AbortSignal, got ${describe(signal)}`);
  }
}

const GIBIBYTE = 1024 * 1024 * 1024;
const gibibytes = (bytes: number) => Number((bytes / GIBIBYTE).toFixed(1));

/** Refuses settings that cannot fit into memory: without this check the run would fail only after it had taken all available memory. */
function checkMemory(settings: TrainSettings): void {
  if (mayFit(settings)) return;
  const bytes = trainingBytes(settings);
  throw new RangeError(
    `memory: expected a run that fits into ${gibibytes(MEMORY_BYTES)} GiB, got settings that need about ${gibibytes(bytes)} GiB`,
  );
}

/** Refuses now what could not be loaded when it is saved. */
function checkRope({ config, blockSize }: TrainSettings): void {
  const excess = ropeExcess(config);
  if (!excess) return;
  throw new RangeError(`${config.maxPositions > blockSize ? 'config.maxPositions' : 'blockSize'}: ${excess}`);
}

function tokensOf(data: string | Uint8Array): Uint8Array {
  if (typeof data === 'string') return byteTokenizer.encode(data);
  // A copy, because the caller may change his own before the run ends, and its digest is taken only once.
  if (isUint8Array(data)) return new Uint8Array(data);
  throw new TypeError(`data: expected text or a Uint8Array, got ${describe(data)}`);
}

function checkByteVocabulary({ config }: TrainSettings): void {
  if (config.vocabSize !== byteTokenizer.vocabSize) {
    throw new RangeError(
      `vocabSize: expected ${byteTokenizer.vocabSize}, the byte tokenizer's, got ${config.vocabSize}`,
    );
  }
}
