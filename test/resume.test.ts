/** A run that was interrupted, in any way and more than once, is the run that was not. */
import { describe, expect, it } from 'vitest';
import { init } from '../src/index.js';
import { PREVIOUS_STATE_FILE, STATE_FILE, savedSettings } from '../src/train/checkpoint.js';
import type { MetricsLine } from '../src/train/events.js';
import { METRICS_FILE } from '../src/train/log.js';
import { train } from '../src/train/loop.js';
import { MODEL_FILE } from '../src/train/model-files.js';
import { SUMMARY_FILE } from '../src/train/output.js';
import type { TrainOptions } from '../src/train/run-options.js';
import { type BuildCase, nameOf } from './helpers/builds.js';
import {
  digestOf,
  doneOf,
  events,
  logOf,
  type MemoryStore,
  memoryStore,
  QUICK,
  refusalOf,
  SMOOTH_CHANNEL,
  stepsOf,
  storyOf,
  untimed,
  useEngine,
  VARIANTS,
} from './helpers/training.js';

const engine = useEngine();
const STEPS = 8;
/** The text has 27 windows and the run takes 32, so it meets a second epoch; evaluations and samples fall before and after the cut. */
const base = {
  ...QUICK,
  data: QUICK.data.subarray(0, 1000),
  batchSize: 2,
  gradientAccumulation: 2,
  steps: STEPS,
  evalInterval: 2,
  sampleInterval: 3,
  checkpointInterval: 4,
  healthInterval: 2,
  monitorInterval: 2,
};

/** The whole run in one go, and its files. */
async function uninterrupted(options: Partial<TrainOptions>): Promise<{ run: MetricsLine[]; store: MemoryStore }> {
  const store = memoryStore();
  return { run: await events({ ...base, ...options, engine: engine(), outDir: store }), store };
}

const story = (store: MemoryStore) => storyOf(store.files.get(METRICS_FILE));

function expectSameRun(store: MemoryStore, whole: MemoryStore, label: string): void {
  expect(story(store), label).toEqual(story(whole));
  for (const name of [STATE_FILE, MODEL_FILE]) {
    expect(Buffer.compare(store.files.get(name)!, whole.files.get(name)!), `${label}: ${name}`).toBe(0);
  }
}

describe('half a run, and the other half', () => {
  it.each(VARIANTS)('are the whole run: %s', async (name, variant) => {
    const options = { ...base, ...variant, batchSize: 2, gradientAccumulation: 2 };
    const { run, store: whole } = await uninterrupted(options);
    const store = memoryStore();
    const first = await events({ ...options, engine: engine(), outDir: store, stopAt: STEPS / 2 });
    const second = await events({ ...options, engine: engine(), outDir: store, resume: true });
    expect(digestOf(second)).toBe(digestOf(run));
    expect(untimed([...first, ...second].slice(0, -1))).toEqual(untimed(run.slice(0, -1)));
    expectSameRun(store, whole, name);
    expect(untimed([doneOf(second)])).toEqual(untimed([doneOf(run)]));
  });

  const builds: readonly BuildCase[] = [
    { build: 'simd', threads: 3 },
    { build: 'relaxed', threads: 1 },
    { build: 'relaxed', threads: 2 },
  ];
  it.each(builds)('on another build and other threads: $build x $threads', async (other) => {
    const { store: whole } = await uninterrupted({});
    const store = memoryStore();
    await events({ ...base, engine: engine(), outDir: store, stopAt: 3 });
    const second = await init(other);
    await events({ ...base, engine: second, outDir: store, resume: true });
    second.dispose();
    // The summary says what it ran on, the rest of the story is the same.
    const withoutEnd = (all: object[]) => all.slice(0, -1);
    expect(withoutEnd(story(store)), nameOf(other)).toEqual(withoutEnd(story(whole)));
    expect(Buffer.compare(store.files.get(STATE_FILE)!, whole.files.get(STATE_FILE)!)).toBe(0);
  });

  it('after every single step', async () => {
    const { store: whole } = await uninterrupted({});
    const store = memoryStore();
    for (let step = 1; step <= STEPS; step++) {
      await events({ ...base, engine: engine(), outDir: store, stopAt: step, resume: step > 1 });
    }
    expectSameRun(store, whole, 'seven resumes');
  });

  it('with the settings that its directory has', async () => {
    const { evalInterval, sampleInterval, checkpointInterval, healthInterval, monitorInterval, data, ...settings } =
      base;
    const intervals = { evalInterval, sampleInterval, checkpointInterval, healthInterval, monitorInterval };
    const { store: whole } = await uninterrupted({ recipe: SMOOTH_CHANNEL, alignment: { channels: 2, gain: 4 } });
    const store = memoryStore();
    const first = { ...settings, recipe: SMOOTH_CHANNEL, alignment: { channels: 2, gain: 4 }, stopAt: 5 };
    await events({ ...first, ...intervals, data, engine: engine(), outDir: store });
    const saved = await savedSettings(store, { engine: engine() });
    await events({ ...saved, ...intervals, data, engine: engine(), outDir: store, resume: true } as TrainOptions);
    expectSameRun(store, whole, 'saved settings');
  });
});

describe('an interruption', () => {
  it('by signal finishes the step and saves', async () => {
    const { store: whole } = await uninterrupted({});
    const store = memoryStore();
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const { type, step } of train({ ...base, engine: engine(), outDir: store, signal: stop.signal })) {
      seen.push(`${type} ${step}`);
      if (type === 'step' && step === 3) stop.abort();
    }
    expect(seen.slice(-3)).toEqual(['step 3', 'sample 3', 'checkpoint 3']);
    await events({ ...base, engine: engine(), outDir: store, resume: true });
    expectSameRun(store, whole, 'abort');
  });

  it('without warning loses the steps since the checkpoint, not one bit', async () => {
    const { store: whole } = await uninterrupted({});
    const store = memoryStore();
    for await (const { type, step } of train({ ...base, engine: engine(), outDir: store })) {
      if (type === 'step' && step === 6) break;
    }
    await store.append(METRICS_FILE, '{"type":"step","st');
    const rest = await events({ ...base, engine: engine(), outDir: store, resume: true });
    expect(stepsOf(rest)[0].step).toBe(5);
    expectSameRun(store, whole, 'power cut');
  });

  it('between the state and the model: the next checkpoint writes both', async () => {
    const { store: whole } = await uninterrupted({});
    const store = memoryStore();
    await events({ ...base, engine: engine(), outDir: store, stopAt: 4 });
    store.files.delete(MODEL_FILE);
    await events({ ...base, engine: engine(), outDir: store, resume: true });
    expectSameRun(store, whole, 'no model');
  });

  it('of which the log was lost: training goes on, the log begins there', async () => {
    const { run } = await uninterrupted({});
    const store = memoryStore();
    await events({ ...base, engine: engine(), outDir: store, stopAt: 4 });
    store.files.delete(METRICS_FILE);
    const rest = await events({ ...base, engine: engine(), outDir: store, resume: true });
    expect(logOf(store.files.get(METRICS_FILE))).toEqual(rest);
    expect(digestOf(rest)).toBe(digestOf(run));
  });
});

describe('the clock', () => {
  it('runs on over a resume', async () => {
    const store = memoryStore();
    await events({ ...base, engine: engine(), outDir: store, stopAt: 4 });
    const before = stepsOf(logOf(store.files.get(METRICS_FILE)));
    const rest = await events({ ...base, engine: engine(), outDir: store, resume: true });
    expect(stepsOf(rest)[0].elapsed_s).toBeGreaterThan(before.at(-1)!.elapsed_s);
    // All steps count, those of the first session by what its log says.
    const all = [...before, ...stepsOf(rest)];
    const seconds = all.reduce((sum, { tokens_per_sec }) => sum + 128 / tokens_per_sec, 0);
    const speed = doneOf(rest).tokens_per_second as number;
    expect(Math.abs(speed / ((all.length * 128) / seconds) - 1)).toBeLessThan(1e-9);
  });

  it('of a finished run stands still: resuming it does its end again and nothing else', async () => {
    const { store: whole } = await uninterrupted({});
    const store = memoryStore(whole.files);
    const again = await events({ ...base, engine: engine(), outDir: store, resume: true });
    expect(again.map(({ type }) => type)).toEqual(['eval', 'sample', 'checkpoint', 'done']);
    expectSameRun(store, whole, 'again');
    const summary = JSON.parse(new TextDecoder().decode(store.files.get(SUMMARY_FILE)));
    expect(summary.tokens_per_second).toBeGreaterThan(0);
  });
});

describe('a resume that makes no sense', () => {
  it('of nothing is refused', async () => {
    const error = await refusalOf(events({ ...base, engine: engine(), outDir: memoryStore(), resume: true }));
    expect(error.message).toBe('memory: expected a training run to resume, got no training_state.safetensors');
  });

  it('that would stop before it began is refused, and changes nothing', async () => {
    const store = memoryStore();
    await events({ ...base, engine: engine(), outDir: store, stopAt: 4 });
    const files = new Map(store.files);
    const error = await refusalOf(events({ ...base, engine: engine(), outDir: store, resume: true, stopAt: 4 }));
    expect(error.message).toBe("stopAt: expected a step after the checkpoint's 4, got 4");
    expect(store.files).toEqual(files);
    expect([...files.keys()]).not.toContain(PREVIOUS_STATE_FILE);
  });
});
