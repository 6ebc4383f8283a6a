/** A checkpoint is of one run, which no other continues without a word; the one before it takes over where it is asked to. */
import { describe, expect, it } from 'vitest';
import { init } from '../src/index.js';
import { FileError } from '../src/interop/errors.js';
import type { Recipe } from '../src/ops/recipe.js';
import { PREVIOUS_STATE_FILE, resumeState, STATE_FILE } from '../src/train/checkpoint.js';
import { GUARD_SETTINGS, type TrainSettings, trainSettings } from '../src/train/options.js';
import { OPTIONS, useSavedRun } from './helpers/saved-run.js';
import {
  digestOf,
  events,
  type MemoryStore,
  MINUTE,
  memoryStore,
  refusalOf,
  SMOOTH_CHANNEL,
  useEngine,
} from './helpers/training.js';

const engine = useEngine();
const saved = useSavedRun(engine);

describe('another run', () => {
  const other: Partial<Record<keyof TrainSettings, unknown>> = {
    steps: 7,
    seed: 8,
    batchSize: 2,
    gradientAccumulation: 2,
    blockSize: 8,
    learningRate: 0.02,
    minLearningRate: 0.002,
    warmupSteps: 3,
    weightDecay: 0.2,
    beta1: 0.8,
    beta2: 0.9,
    eps: 1e-6,
    gradClip: 2,
    valFraction: 0.2,
  };
  const cases: [string, object][] = [
    ...Object.entries(other).map(([name, value]): [string, object] => [
      name,
      // The model's positions follow the block size unless they are given.
      name === 'blockSize' ? { blockSize: value, config: { ...OPTIONS.config, maxPositions: 16 } } : { [name]: value },
    ]),
    ...Object.entries({
      hiddenSize: 16,
      intermediateSize: 12,
      layers: 2,
      heads: 1,
      maxPositions: 32,
      ropeTheta: 500,
    }).map(([name, value]): [string, object] => [`config.${name}`, { config: { ...OPTIONS.config, [name]: value } }]),
    ['config.tieWordEmbeddings', { config: { ...OPTIONS.config, tieWordEmbeddings: true } }],
    ...Object.entries({
      name: 'mine',
      swiglu: 'plain',
      firstMoment: 'float16',
      forward: { input: 'bfloat16', weight: 'bfloat16' },
    }).map(([name, value]): [string, object] => [
      `recipe.${name}`,
      { recipe: { ...SMOOTH_CHANNEL, [name]: value } as Recipe },
    ]),
  ];

  it('has every setting in the list above', () => {
    const numbers = Object.keys(saved.identity.settings).filter((name) => !['config', 'recipe'].includes(name));
    expect([...Object.keys(other), ...GUARD_SETTINGS].sort()).toEqual(numbers.sort());
  });

  it.each(cases)('is not continued by this one: %s', async (name, change) => {
    const store = memoryStore(saved.files);
    const error = await refusalOf(events({ ...OPTIONS, ...change, engine: engine(), outDir: store, resume: true }));
    expect(error).toBeInstanceOf(RangeError);
    const [at, was, is] = /^(\S+): expected (.*), with which .* began, got (.*)$/.exec(error.message)!.slice(1);
    expect(at.startsWith(name)).toBe(true);
    expect(was).not.toBe(is);
    expect(store.files).toEqual(saved.files);
  });

  it('nor one on another text', async () => {
    const store = memoryStore(saved.files);
    const data = OPTIONS.data.slice();
    data[1000] ^= 1;
    const error = await refusalOf(events({ ...OPTIONS, data, engine: engine(), outDir: store, resume: true }));
    expect(error.message).toMatch(
      /^data: expected that with which the run to resume began \(digest [0-9a-f]{16}\), got digest [0-9a-f]{16}$/,
    );
    expect(store.files).toEqual(saved.files);
  });
});

describe('the checkpoint before', () => {
  /** The directory as it is after 5 of the 6 steps: a checkpoint of step 5, and the one of step 4 before it. */
  async function stopped(): Promise<MemoryStore> {
    const store = memoryStore();
    await events({ ...OPTIONS, engine: engine(), outDir: store, stopAt: 5 });
    return store;
  }
  const resume = (store: MemoryStore) => events({ ...OPTIONS, engine: engine(), outDir: store, resume: true });

  it('takes over where the newest is missing, and leads to the same end', async () => {
    const store = await stopped();
    store.files.delete(STATE_FILE);
    const rest = await resume(store);
    expect(rest[0]).toMatchObject({ type: 'step', step: 5 });
    expect(digestOf(rest)).toBe(saved.digests[5]);
    expect(Buffer.compare(store.files.get(STATE_FILE)!, saved.file)).toBe(0);
  });

  it('is named where the newest is damaged, and not taken without being asked', async () => {
    const store = await stopped();
    store.files.set(STATE_FILE, store.files.get(STATE_FILE)!.subarray(0, 1000));
    const before = new Map(store.files);
    const error = await refusalOf(resume(store));
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toMatch(
      /^memory\/training_state\.safetensors: .*; without it the run resumes from training_state\.previous\.safetensors, the checkpoint before$/,
    );
    expect(store.files).toEqual(before);
    store.files.delete(STATE_FILE);
    expect(digestOf(await resume(store))).toBe(saved.digests[5]);
  });

  it('is refused under its own name', async () => {
    const store = memoryStore([[PREVIOUS_STATE_FILE, saved.file.subarray(0, 1000)]]);
    const error = await refusalOf(resume(store));
    expect(error.message).toMatch(/^memory\/training_state\.previous\.safetensors: /);
    expect(error.message).not.toContain('without it');
  });
});

describe('memory', () => {
  it('grows under a checkpoint without harm', async () => {
    // A fresh engine on one thread: its memory is small, and every growth leaves older views without their bytes.
    const fresh = await init({ threads: 1 });
    const store = memoryStore();
    const config = { ...MINUTE, hiddenSize: 128, intermediateSize: 512, layers: 2 };
    await events({ ...OPTIONS, config, engine: fresh, outDir: store, signal: AbortSignal.abort() });
    fresh.dispose();
    const settings = trainSettings({ ...OPTIONS, config });
    const { state } = await resumeState(engine(), { ...saved.identity, settings }, store);
    expect(state.step).toBe(0);
  });
});
