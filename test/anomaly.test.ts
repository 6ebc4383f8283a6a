/** Steps that are not taken: what counts as one, what each policy does about it, and that the same run does the same again. */
import { describe, expect, it } from 'vitest';
import { parseSafetensors } from '../src/interop/safetensors.js';
import { PREVIOUS_STATE_FILE, readStateFile, STATE_FILE } from '../src/train/checkpoint.js';
import { ANOMALY_POLICIES, type AnomalyPolicy, findAnomaly, MAX_FAILURES } from '../src/train/guard.js';
import { METRICS_FILE } from '../src/train/log.js';
import { train } from '../src/train/loop.js';
import { trainSettings } from '../src/train/options.js';
import { TrainingError } from '../src/train/output.js';
import type { TrainOptions } from '../src/train/run-options.js';
import {
  digestOf,
  doneOf,
  events,
  logOf,
  type MemoryStore,
  memoryStore,
  QUICK,
  refusalOf,
  stepsOf,
  text,
  useEngine,
} from './helpers/training.js';

const engine = useEngine({ threads: 1 });

const settings = trainSettings({ ...QUICK, lossSpike: 2, maxSaturated: 0.1, maxUnderflowed: 0.2 });
const health = (saturated: number, underflowed: number) =>
  new Map([
    ['layers.0.qkv.input', { amax: 1, scale: 1, saturated: 0, underflowed: 0 }],
    ['layers.1.o.grad_output', { amax: 1, scale: 1, saturated, underflowed }],
  ]);
const losses = new Array<number>(50).fill(3);

describe('an anomaly', () => {
  const fine = { step: 60, loss: 5.9, gradNorm: 1, health: health(0.1, 0.2) };
  const cases = [
    [
      'non_finite',
      { loss: Number.NaN },
      /^step 60: expected a finite loss and gradient, got loss NaN and gradient norm 1 \(first in x\)$/,
    ],
    ['non_finite', { gradNorm: Number.POSITIVE_INFINITY }, /got loss 5.9 and gradient norm Infinity \(first in x\)$/],
    [
      'loss_spike',
      { loss: 6.1 },
      /^step 60: expected a loss of at most 6.0000, 2 times the mean of the last 50, got 6.1000$/,
    ],
    [
      'saturation',
      { health: health(0.11, 0) },
      /^step 60: expected at most 10.00 % of layers.1.o.grad_output saturated, got 11.00 %$/,
    ],
    [
      'underflow',
      { health: health(0, 0.3) },
      /^step 60: expected at most 20.00 % of layers.1.o.grad_output underflowed, got 30.00 %$/,
    ],
  ] as const;

  it.each(cases)('is named: %s', (kind, change, what) => {
    expect(findAnomaly(settings, losses, fine, () => ' (first in x)')).toBeUndefined();
    const found = findAnomaly(settings, losses, { ...fine, ...change }, () => ' (first in x)');
    expect(found?.kind).toBe(kind);
    expect(found?.what).toMatch(what);
  });

  it('is no spike among too few losses to tell, or with no bound', () => {
    const high = { ...fine, loss: 100 };
    expect(findAnomaly(settings, losses.slice(1), high, () => '')).toBeUndefined();
    expect(findAnomaly({ ...settings, lossSpike: 0 }, losses, high, () => '')).toBeUndefined();
  });
});

/**
 * A text that is easy, but for one stretch of noise: the batches that meet it have a loss that no other has. Windows are visited in a seeded
 * order, so which steps these are is known once, and the same in every run.
 */
const easy = new TextEncoder().encode('the whale and the sea and the ship and the whale. '.repeat(240));
const poisoned = easy.slice();
for (let i = 0; i < 40; i++) poisoned[9000 + i] = (Math.imul(i + 1, 0x9e3779b1) >>> 24) | 0x80;
const FAILING = { ...QUICK, data: poisoned, steps: 130, lossSpike: 1.5, rewindInterval: 20, evalInterval: 20 };

async function run(policy: AnomalyPolicy, options: Partial<TrainOptions> = {}) {
  const store = memoryStore();
  const lines = await events({ ...FAILING, onAnomaly: policy, engine: engine(), outDir: store, ...options });
  return { store, lines, anomalies: lines.filter((line) => line.type === 'anomaly') };
}

const wholes = new Map<AnomalyPolicy, ReturnType<typeof run>>();
/** A run that nothing interrupts, made once. */
function whole(policy: AnomalyPolicy): ReturnType<typeof run> {
  const made = wholes.get(policy) ?? run(policy);
  wholes.set(policy, made);
  return made;
}

/** The log without times. */
const said = (store: MemoryStore) =>
  logOf(store.files.get(METRICS_FILE))
    .filter(({ type }) => type !== 'checkpoint' && type !== 'done')
    .map((line) => (line.type === 'step' ? { ...line, tokens_per_sec: 0, elapsed_s: 0 } : line));

describe('a poisoned batch', () => {
  it('stops the run, with the state before it saved', async () => {
    const store = memoryStore();
    const error = await refusalOf(events({ ...FAILING, engine: engine(), outDir: store }));
    expect(error).toBeInstanceOf(TrainingError);
    const [, step] = /^step (\d+): expected a loss of at most .*; the last checkpoint, of step \d+, is in memory$/.exec(
      error.message,
    )!;
    expect(error.message).toContain(`the last checkpoint, of step ${Number(step) - 1}, `);
    const log = logOf(store.files.get(METRICS_FILE));
    expect(log.at(-1)).toMatchObject({ type: 'anomaly', kind: 'loss_spike', action: 'stop', next: Number(step) - 1 });
    // The same run meets it again; with another policy it goes on, as the run does that had this policy from the start.
    const again = await refusalOf(events({ ...FAILING, engine: engine(), outDir: store, resume: true }));
    expect(again.message).toBe(error.message);
    const { lines } = await whole('skip');
    const on = await events({ ...FAILING, onAnomaly: 'skip', engine: engine(), outDir: store, resume: true });
    expect(doneOf(on).digest).toBe(doneOf(lines).digest);
  });

  it('is passed over: the step counts, and changes nothing but its number', async () => {
    const { lines, anomalies } = await whole('skip');
    expect(anomalies.length).toBeGreaterThan(0);
    for (const { step, action, next } of anomalies) expect([action, next]).toEqual(['skip', step]);
    const taken = stepsOf(lines).map(({ step }) => step);
    const passed = anomalies.map(({ step }) => step);
    expect([...taken, ...passed].sort((a, b) => a - b)).toEqual(Array.from({ length: 130 }, (_, i) => i + 1));
    expect(digestOf((await run('skip')).lines)).toBe(digestOf(lines));
  });

  it('is gone back from: the run goes on from the point before with other batches', async () => {
    const { store, lines, anomalies } = await whole('rewind');
    expect(anomalies.length).toBeGreaterThan(0);
    for (const { step, action, next } of anomalies) {
      expect(action).toBe('rewind');
      expect(next % 20).toBe(0);
      expect(step - next).toBeGreaterThan(0);
      expect(step - next).toBeLessThanOrEqual(20);
    }
    // The log tells of each step once, in order, with the anomalies in between.
    const steps = stepsOf(logOf(store.files.get(METRICS_FILE))).map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 130 }, (_, i) => i + 1));
    const evaluated = logOf(store.files.get(METRICS_FILE)).flatMap((line) => (line.type === 'eval' ? [line.step] : []));
    expect(evaluated).toEqual([20, 40, 60, 80, 100, 120, 130]);
    const again = await run('rewind');
    expect(doneOf(again.lines).digest).toBe(doneOf(lines).digest);
    expect(said(again.store)).toEqual(said(store));
    // Without a directory the point is kept in memory.
    expect(digestOf((await run('rewind', { outDir: undefined })).lines)).toBe(digestOf(lines));
  });

  it.each(['skip', 'rewind'] as const)(
    'met by a run that is stopped and resumed again and again, has the same end: %s',
    async (policy) => {
      const uninterrupted = await whole(policy);
      const store = memoryStore();
      const options = { ...FAILING, onAnomaly: policy, engine: engine(), outDir: store };
      // Every 7 events, wherever they fall: between an anomaly and what follows it as well.
      for (let resume = false, ended = false; !ended; resume = true) {
        const stop = new AbortController();
        let count = 0;
        for await (const event of train({ ...options, resume, signal: stop.signal })) {
          if (event.type === 'done') ended = true;
          if (++count === 7) stop.abort();
        }
      }
      expect(doneOf(logOf(store.files.get(METRICS_FILE))).digest).toBe(doneOf(uninterrupted.lines).digest);
      expect(said(store)).toEqual(said(uninterrupted.store));
    },
  );

  it('is gone back from to the same point, whatever else was saved in between', async () => {
    const { lines } = await whole('rewind');
    const store = memoryStore();
    const options = {
      ...FAILING,
      onAnomaly: 'rewind',
      checkpointMinutes: 1e-9,
      engine: engine(),
      outDir: store,
    } as const;
    const saved: number[] = [];
    for (let resume = false, ended = false; !ended; resume = true) {
      const stop = new AbortController();
      let count = 0;
      for await (const event of train({ ...options, resume, signal: stop.signal })) {
        if (event.type === 'done') ended = true;
        if (event.type === 'checkpoint') saved.push(event.step);
        if (++count === 15) stop.abort();
      }
    }
    // A checkpoint after every step.
    expect(new Set(saved).size).toBe(130);
    expect(doneOf(logOf(store.files.get(METRICS_FILE))).digest).toBe(doneOf(lines).digest);
  });

  it('is gone back from to the beginning before there is a point, by a resumed run as by a whole one', async () => {
    const late = { lossSpike: 1.3, steps: 70, rewindInterval: 1000 };
    const uninterrupted = await run('rewind', late);
    expect(uninterrupted.anomalies.map(({ next }) => next)).toContain(0);
    const [first] = uninterrupted.anomalies;
    const store = memoryStore();
    const options = { ...FAILING, ...late, onAnomaly: 'rewind', engine: engine(), outDir: store } as const;
    await events({ ...options, stopAt: first.step - 1 });
    await events({ ...options, resume: true });
    expect(digestOf(logOf(store.files.get(METRICS_FILE)))).toBe(digestOf(uninterrupted.lines));
    expect(said(store)).toEqual(said(uninterrupted.store));
  });

  it('in every batch ends the run after so many, whatever the policy', async () => {
    const noise = { ...FAILING, lossSpike: 0, maxSaturated: 0, data: text(12_000), recipe: 'fp8', steps: 60 };
    for (const policy of ANOMALY_POLICIES.filter((name) => name !== 'stop')) {
      const seen: string[] = [];
      const outcome = (async () => {
        // A bound that any saturated element breaks, and a rate at which there are some in every step.
        for await (const event of train({
          ...noise,
          learningRate: 0.5,
          warmupSteps: 0,
          onAnomaly: policy,
          engine: engine(),
        })) {
          seen.push(event.type);
        }
      })();
      const error = await refusalOf(outcome);
      expect(error.message).toMatch(/ % of \S+ saturated, got .* %, the last of 11 in a row$/);
      const anomalies = seen
        .slice(policy === 'skip' ? seen.lastIndexOf('step') + 1 : 0)
        .filter((type) => type === 'anomaly');
      expect(anomalies.length).toBe(MAX_FAILURES + 1);
    }
  });
});

describe('the two checkpoints kept', () => {
  const stepsKept = ({ files }: MemoryStore) =>
    [STATE_FILE, PREVIOUS_STATE_FILE].map((name) => readStateFile(engine(), parseSafetensors(files.get(name)!)).step);

  it.each([
    // Step, and the one before it that is kept: the last one, until that would drop the last point to rewind to.
    [2, 1],
    [3, 2],
    [4, 3],
    [5, 4],
    [6, 4],
    [7, 4],
  ])('of a run that may rewind, after step %i of points every 4: that and %i', async (stopAt, before) => {
    const store = memoryStore();
    const options = { ...QUICK, onAnomaly: 'rewind', rewindInterval: 4, checkpointInterval: 1 } as const;
    await events({ ...options, engine: engine(), outDir: store, stopAt });
    expect(stepsKept(store)).toEqual([stopAt, before]);
  });

  it('are kept so by a resumed run as well', async () => {
    const store = memoryStore();
    const options = { ...QUICK, onAnomaly: 'rewind', rewindInterval: 4, engine: engine(), outDir: store } as const;
    const kept: number[][] = [];
    for (let stopAt = 1; stopAt < 8; stopAt++) {
      await events({ ...options, stopAt, resume: stopAt > 1 });
      if (stopAt > 1) kept.push(stepsKept(store));
    }
    // biome-ignore format: one line
    expect(kept).toEqual([[2, 1], [3, 2], [4, 3], [5, 4], [6, 4], [7, 4]]);
  });
});

it('an unknown policy is refused with the choices', async () => {
  const error = await refusalOf(events({ ...QUICK, onAnomaly: 'ignore' as AnomalyPolicy, engine: engine() }));
  expect(error).toBeInstanceOf(RangeError);
  expect(error.message).toBe("onAnomaly: expected one of stop, skip, rewind, got 'ignore'");
});
