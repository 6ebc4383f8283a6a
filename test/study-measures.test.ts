/** What a study reads: the loss in the precision of training against the step it foresees, and measures against logs made up here. */
import { describe, expect, it } from 'vitest';
import { experimentOf } from '../src/study/experiment.js';
import { MEASURES, type MeasureName } from '../src/study/measures.js';
import { planOf } from '../src/study/plan.js';
import { DataOrder } from '../src/train/data.js';
import type { MetricsLine, MonitorLine } from '../src/train/events.js';
import { trainSettings } from '../src/train/options.js';
import { freeState, initialState, stateDigest } from '../src/train/state.js';
import { evaluate, evaluateTraining, trainStep } from '../src/train/step.js';
import { events, MINUTE, QUICK, text, useEngine, VARIANTS } from './helpers/training.js';

const engine = useEngine();

describe('the loss in the precision of training', () => {
  it.each(VARIANTS)(
    '%s: is the loss of the next step on its batch, and leaves the state as it was',
    (name, options) => {
      const { data: _, ...rest } = { ...QUICK, ...options, batchSize: 1, gradientAccumulation: 1 };
      const settings = trainSettings(rest);
      const state = initialState(engine(), settings);
      const data = new DataOrder(QUICK.data, settings.blockSize, settings.seed);
      for (let step = 0; step < 3; step++) trainStep(engine(), settings, state, data);
      const { inputs, targets } = data.batch(state.step, 1);
      const window = Uint8Array.from([...inputs, targets[targets.length - 1]]);
      const digest = stateDigest(engine(), state);
      const loss = evaluateTraining(engine(), settings, state, window);
      expect(stateDigest(engine(), state)).toBe(digest);
      const saved = evaluate(engine(), settings, state, window);
      const next = trainStep(engine(), settings, state, data);
      freeState(engine(), state);
      // The step scales each token's part of the loss before it adds, the evaluation after.
      expect(Math.abs(loss / next.loss - 1)).toBeLessThan(1e-6);
      expect(Math.abs(saved / loss - 1)).toBeLessThan(0.03);
      // A power of two changes no significand: another scale makes other numbers only of what saturates or is subnormal, here none.
      if (['bf16', 'bf16-pure', 'f32'].includes(name)) expect(saved).toBe(loss);
      if (['e8m3', 'mxfp8-floor', 'fp8-clip'].includes(name)) expect(saved).not.toBe(loss);
    },
  );

  it('comes with every evaluation where it is asked for, and changes nothing else', async () => {
    const lines = async (evaluateTraining: boolean) =>
      (await events({ ...QUICK, engine: engine(), evalInterval: 3, evaluateTraining })).flatMap((line) =>
        line.type === 'eval' || line.type === 'step' ? [{ ...line, tokens_per_sec: 0, elapsed_s: 0 }] : [],
      );
    const [plain, both] = [await lines(false), await lines(true)];
    const evals = both.filter((line) => line.type === 'eval');
    expect(evals.map(({ step }) => step)).toEqual([3, 6, 8]);
    for (const { val_loss, val_loss_in_training: other } of evals) {
      expect(Math.abs(other! / val_loss - 1)).toBeLessThan(0.01);
    }
    expect(both.map(({ val_loss_in_training: _, ...line }: { val_loss_in_training?: number }) => line)).toEqual(plain);
  });
});

const of = (name: MeasureName, lines: readonly MetricsLine[], steps = 100) => {
  const curve = MEASURES[name].curve(lines, steps);
  return { curve, number: MEASURES[name].number(curve) };
};

describe('measures of looks into a step', () => {
  const cast = (kurtosis: number | null, sqnr_db: number | null) =>
    ({ dtype: 'float8_e4m3fn', amax: 1, kurtosis, sqnr_db }) as const;
  /** 100 channels: the first two are outliers, in each layer, by what comes out of them and not by where they are. */
  const channels = (outlier: number, cosine: number) => ({
    channel_amax: Array.from({ length: 100 }, (_, i) => (i === 7 || i === 93 ? outlier : 1)),
    cosines: Array.from({ length: 100 }, (_, i) => (i === 7 ? cosine : i === 93 ? -cosine : i % 2 ? 0.1 : -0.3)),
  });
  const line = (step: number, outlier: number, cosine: number): MonitorLine => ({
    type: 'monitor',
    step,
    tensors: {
      'layers.0.qkv.input': cast(3, 30),
      'layers.0.qkv.weight': cast(90, 28),
      'layers.1.down.input': cast(10 * step, 32 - step),
      'layers.1.down.grad_output': cast(null, null),
    },
    swiglu: { 'layers.0.down': channels(outlier, cosine), 'layers.1.down': channels(2 * outlier, 0.5) },
    grad_norms: {},
  });
  const lines = [line(1, 4, 0.5), line(9, 8, 0.9)];

  it('the worst tensor, and of kurtosis the worst input', () => {
    expect(of('sqnr', lines)).toEqual({ curve: { step: [1, 9], value: [28, 23] }, number: 23 });
    expect(of('kurtosis', lines)).toEqual({ curve: { step: [1, 9], value: [10, 90] }, number: 90 });
  });

  it('outlier channels apart from the others, and how far they reach', () => {
    expect(of('alignment', lines)).toEqual({ curve: { step: [1, 9], value: [0.5, 0.7] }, number: 0.7 });
    const rest = of('alignment_rest', lines);
    // Of the others 50 are even and 48 odd.
    expect(rest.number).toBeCloseTo((50 * 0.3 + 48 * 0.1) / 98, 12);
    expect(of('channel_reach', lines)).toEqual({ curve: { step: [1, 9], value: [8, 16] }, number: 16 });
  });

  it('none of a run without looks', () => {
    for (const name of ['sqnr', 'kurtosis', 'alignment', 'channel_reach'] as const) {
      expect(of(name, [])).toEqual({ curve: { step: [], value: [] }, number: undefined });
    }
  });
});

it('a curve of every step has a point for each fiftieth of the run', () => {
  const step = (at: number): MetricsLine => ({
    type: 'step',
    step: at,
    loss: at,
    lr: 0,
    grad_norm: 0,
    tokens: 0,
    tokens_per_sec: 0,
    elapsed_s: 0,
    digest: '',
    fp8: {
      a: { amax: 0, scale: 1, saturated: at / 1000, underflowed: 0 },
      b: { amax: 0, scale: 1, saturated: 0, underflowed: 0.5 },
    },
  });
  const lines = Array.from({ length: 105 }, (_, i) => step(i + 1));
  const loss = of('train_loss', lines, 105);
  // Three steps each: the means of 1, 2, 3, then of 4, 5, 6.
  expect(loss.curve.step).toEqual(Array.from({ length: 35 }, (_, i) => 3 * (i + 1)));
  expect(loss.curve.value.slice(0, 2)).toEqual([2, 5]);
  expect(loss.number).toBe(104);
  expect(of('saturated', lines, 105).curve.value.slice(0, 2)).toEqual([0.003, 0.006]);
  expect(of('underflowed', lines, 105).number).toBe(0.5);
});

it('a plan asks for what its measures need, and for no more', () => {
  const file = {
    title: 'Tiny',
    question: 'Why?',
    corpus: 'moby-dick',
    settings: { config: MINUTE, batchSize: 2, blockSize: 16, valFraction: 0.05 },
    axes: { recipe: ['bf16'] },
    seeds: 2,
    firstSeed: 41,
    tokens: 384,
    evaluations: 4,
  };
  const plan = (measures: MeasureName[]) => planOf(engine(), experimentOf({ ...file, measures }), text(12_000));
  const [plain, second] = plan(['val_loss', 'train_loss']);
  expect([plain.seed, second.seed]).toEqual([41, 42]);
  expect([plain.settings.seed, second.settings.seed]).toEqual([41, 42]);
  expect(plain.evaluateTraining).toBe(false);
  expect(Object.keys(plain.intervals)).toEqual(['evalInterval', 'checkpointInterval', 'checkpointMinutes']);
  const [full] = plan(['alignment', 'sharpness', 'val_loss_in_training']);
  expect(full.evaluateTraining).toBe(true);
  expect(full.intervals).toMatchObject({ monitorInterval: 3, sharpnessInterval: 3 });
  expect(full.digest).not.toBe(plain.digest);
});

it('the norm of the gradient is the highest after the first tenth of the run', () => {
  const norms = [90, 80, 1, 3, 2, ...new Array(15).fill(1)];
  const lines = norms.map((grad_norm, i) => ({ type: 'step', step: i + 1, grad_norm }) as MetricsLine);
  const { curve, number } = of('grad_norm', lines, norms.length);
  expect(curve.value).toEqual(norms);
  expect(number).toBe(3);
  expect(of('grad_norm', [], 20).number).toBeUndefined();
});
