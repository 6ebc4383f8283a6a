/** The laboratory without its processes: experiments, plans, statistics, divergence, results; and runs that are cut off and go on. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { renderStudy } from '../src/cli/report.js';
import { type Experiment, experimentOf } from '../src/study/experiment.js';
import { baselineOf, cellsOf, planOf } from '../src/study/plan.js';
import {
  divergenceOf,
  effectWords,
  type Results,
  resultsCsv,
  resultsJson,
  resultsOf,
  runRecord,
} from '../src/study/results.js';
import { execute } from '../src/study/run.js';
import { sideBySide } from '../src/study/schedule.js';
import { estimate, studentT } from '../src/study/statistics.js';
import type { EvalLine, MetricsLine } from '../src/train/events.js';
import { logOf, type MemoryStore, MINUTE, memoryStore, text, useEngine } from './helpers/training.js';

const open = useEngine();
const DATA = text(12_000);

/** Two recipes, two rates, two seeds, 12 steps each. */
const FILE = {
  title: 'Tiny',
  question: 'Does it work?',
  corpus: 'moby-dick',
  settings: { config: MINUTE, batchSize: 2, blockSize: 16, valFraction: 0.05 },
  axes: { recipe: ['bf16', 'fp8'], learningRate: [0.002, 0.01] },
  baseline: { recipe: 'bf16' },
  within: 0.01,
  seeds: 2,
  tokens: 384,
  evaluations: 4,
  measures: ['val_loss', 'train_loss', 'sharpness', 'saturated'],
};
const refusal = (change: object): string => {
  try {
    experimentOf({ ...FILE, ...change });
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return 'none';
};

describe('an experiment', () => {
  it('is every value of every axis with every other, and each with every seed', () => {
    const plan = planOf(open(), experimentOf(FILE), DATA);
    expect(plan.map(({ cell, seed }) => `${cell.recipe} ${cell.learningRate} ${seed}`)).toEqual([
      'bf16 0.002 1',
      'bf16 0.002 2',
      'bf16 0.01 1',
      'bf16 0.01 2',
      'fp8 0.002 1',
      'fp8 0.002 2',
      'fp8 0.01 1',
      'fp8 0.01 2',
    ]);
    expect(new Set(plan.map(({ digest }) => digest)).size).toBe(8);
    for (const { settings, cell, seed, tokens, intervals } of plan) {
      expect(settings).toMatchObject({ seed, learningRate: Number(cell.learningRate), steps: 12 });
      expect(settings.recipe.name).toBe(cell.recipe);
      expect(tokens).toBe(384);
      expect(intervals).toMatchObject({ evalInterval: 3, sharpnessInterval: 3 });
    }
  });

  it('has the same digests again, and others with another setting, text or evaluation', () => {
    const digests = (file: object, data = DATA) => planOf(open(), experimentOf(file), data).map(({ digest }) => digest);
    const first = digests(FILE);
    expect(digests(JSON.parse(JSON.stringify(FILE)))).toEqual(first);
    // What is only said of the runs, or drawn from them, makes no others.
    expect(digests({ ...FILE, title: 'Other', within: 0.5, divergence: { rise: 3 } })).toEqual(first);
    const others = [
      digests({ ...FILE, settings: { ...FILE.settings, weightDecay: 0 } }),
      digests({ ...FILE, evaluations: 3 }),
      digests(FILE, DATA.slice(1)),
    ];
    for (const other of others) expect(other.filter((digest) => first.includes(digest))).toEqual([]);
  });

  it('sets what a path leads to, in recipes too', () => {
    const axes = {
      moments: [
        { name: 'float32', set: { recipe: 'bf16' } },
        {
          name: 'E5M2',
          set: { recipe: 'bf16', 'recipe.secondMoment': 'float8_e5m2', 'recipe.forward.input': 'float16' },
        },
      ],
      size: [{ name: 'wide', set: { 'config.hiddenSize': 16, 'config.heads': 4 } }],
    };
    const [, other] = planOf(open(), experimentOf({ ...FILE, axes, baseline: {}, seeds: 1 }), DATA);
    expect(other.settings.recipe).toMatchObject({ secondMoment: 'float8_e5m2', firstMoment: 'float32' });
    expect(other.settings.recipe.forward).toEqual({ input: 'float16', weight: 'bfloat16' });
    expect(other.settings.recipe.name).toContain('bf16 with secondMoment "float8_e5m2"');
    expect(other.settings.config).toMatchObject({ hiddenSize: 16, heads: 4, layers: 1 });
  });

  it('is smaller in quick, by field of settings and by axis', () => {
    const quick = {
      seeds: 1,
      tokens: 64,
      axes: { recipe: ['fp8'] },
      settings: { config: { hiddenSize: 16 }, batchSize: 4 },
    };
    const small = experimentOf({ ...FILE, baseline: {}, quick }, 'quick');
    expect(small).toMatchObject({ seeds: 1, tokens: 64, settings: { batchSize: 4, blockSize: 16 } });
    expect(small.settings.config).toEqual({ ...MINUTE, hiddenSize: 16 });
    expect(cellsOf(small).map(({ cell }) => cell)).toEqual([
      { recipe: 'fp8', learningRate: '0.002' },
      { recipe: 'fp8', learningRate: '0.01' },
    ]);
  });

  it.each([
    [{ colour: 1 }, 'TypeError: colour: expected a field of title, question'],
    [{ title: 3 }, 'TypeError: title: expected text, got 3'],
    [{ seeds: 0 }, 'RangeError: seeds: expected an integer of at least 1 and at most 10000, got 0'],
    [{ seeds: 1e12 }, 'RangeError: seeds: expected an integer of at least 1 and at most 10000, got 1000000000000'],
    [{ axes: { a: [{ name: 'x', set: { 'config.__proto__.x': 1 } }] } }, 'axes.a[0].set: expected a setting of'],
    [{ tokens: 'many' }, 'TypeError: tokens: expected an integer, got "many"'],
    [{ settings: { sped: 1 } }, 'TypeError: settings.sped: expected a setting of'],
    [{ settings: { steps: 9 } }, 'the study itself sets steps, from tokens'],
    [{ axes: { recipe: 'fp8' } }, 'TypeError: axes.recipe: expected a list of values, got "fp8"'],
    [{ axes: { recipe: ['fp8', 'fp8'] } }, 'RangeError: axes.recipe: expected different names, got "fp8" twice'],
    [{ axes: { recipes: ['fp8'] } }, 'TypeError: axes.recipes: expected a setting of'],
    [{ axes: { a: [{ name: 'x', set: { recipee: 'fp8' } }] } }, 'axes.a[0].set: expected a setting of'],
    [{ axes: {} }, 'RangeError: axes: expected at least one, got none'],
    [{ measures: ['loss'] }, 'RangeError: measures: expected some of val_loss, val_loss_in_training, train_loss'],
    [{ baseline: { recipe: 'f32' } }, 'RangeError: baseline.recipe: expected one of bf16, fp8, got "f32"'],
    [{ baseline: { seed: 1 } }, 'TypeError: baseline: expected an axis of recipe, learningRate, got "seed"'],
    [{ divergence: { rise: 1 } }, 'RangeError: divergence.rise: expected a number above 1, got 1'],
    [{ quick: { title: 'x' } }, 'TypeError: quick.title: expected a field of settings, axes'],
    [{ quick: { seeds: -1 } }, 'RangeError: seeds: expected an integer of at least 1 and at most 10000, got -1'],
  ])('%j is refused by name', (change, message) => {
    expect(refusal(change)).toContain(message);
  });

  it('values that make no run are refused with their cell', () => {
    const plan = (axes: object) => () => planOf(open(), experimentOf({ ...FILE, axes, baseline: {} }), DATA);
    expect(plan({ recipe: ['fp9'] })).toThrow(/^fp9: recipe: expected one of fp8, /);
    expect(plan({ 'recipe.firstMoment': ['float8_e8m0fnu'] })).toThrow(/recipe\.firstMoment: expected one of/);
    expect(plan({ 'recipe.colour': ['red'] })).toThrow(/recipe\.colour: expected a field of/);
    expect(plan({ 'alignment.channels': [2] })).toThrow(
      /^2: alignment\.gain: expected a number above 0, got undefined/,
    );
  });
});

describe('the studies that come with Octavo', () => {
  const folder = new URL('../studies/', import.meta.url);
  const names = readdirSync(folder);
  it.each(names)('%s is right in both sizes', (name) => {
    const file = JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
    for (const size of ['full', 'quick'] as const) {
      const experiment = experimentOf(file, size);
      const cells = cellsOf(experiment);
      expect(cells.some(({ cell }) => baselineOf(cell, experiment.baseline) !== undefined)).toBe(true);
      expect(planOf(open(), { ...experiment, seeds: 1 }, DATA).length).toBe(cells.length);
    }
  });
});

it('the example of docs/studies.md is right', () => {
  const page = readFileSync(new URL('../docs/studies.md', import.meta.url), 'utf8');
  const file = JSON.parse(/```json\n([\s\S]*?)```/.exec(page)![1]);
  for (const size of ['full', 'quick'] as const) {
    const experiment = experimentOf(file, size);
    expect(planOf(open(), experiment, text(60_000)).length).toBe(6 * experiment.seeds);
  }
});

describe('statistics', () => {
  // Quantiles of Student's t as printed in every table, to the digits printed.
  it.each([
    [1, 12.7062],
    [2, 4.30265],
    [3, 3.18245],
    [4, 2.77645],
    [7, 2.36462],
    [10, 2.22814],
    [30, 2.04227],
    [100, 1.98397],
  ])('t of 95 %% with %i degrees of freedom is %f', (freedom, t) => {
    expect(Math.abs(studentT(0.95, freedom) / t - 1)).toBeLessThan(1e-5);
  });

  it('other probabilities', () => {
    expect(studentT(0.99, 4)).toBeCloseTo(4.6041, 4);
    expect(studentT(0.5, 1)).toBeCloseTo(1, 12);
  });

  it('mean, deviation and interval', () => {
    // Mean 3, variance 2.5: the interval reaches 2.77645 sqrt(2.5 / 5) to either side.
    const { mean, sd, low, high } = estimate([1, 2, 3, 4, 5])!;
    expect([mean, sd]).toEqual([3, Math.sqrt(2.5)]);
    expect(low).toBeCloseTo(3 - 1.963243, 5);
    expect(high).toBeCloseTo(3 + 1.963243, 5);
    expect(estimate([2])).toEqual({ n: 1, mean: 2, sd: null, low: null, high: null });
    expect(estimate([])).toBeUndefined();
  });

  it('intervals in words', () => {
    const words = (low: number | null, high: number | null, within?: number) =>
      effectWords({ n: 3, mean: ((low ?? 0) + (high ?? 0)) / 2, low, high }, ['worse', 'better'], within);
    expect(words(0.01, 0.03)).toBe('worse, by 1 % to 3 %');
    expect(words(-0.03, -0.01)).toBe('better, by 1 % to 3 %');
    expect(words(-0.01, 0.03)).toBe('no difference seen: -1 % to 3 %');
    expect(words(-0.001, 0.002, 0.0025)).toBe('the same within 0.25 %');
    expect(words(0.003, 0.004, 0.0025)).toBe('worse by more than 0.25 %');
    expect(words(-0.004, -0.003, 0.0025)).toBe('better by more than 0.25 %');
    expect(words(-0.004, 0.003, 0.0025)).toMatch(/^undecided: the mean is inside/);
    expect(words(null, null)).toBe('3 seed: no interval');
    const [lower, unit] = [{ n: 3, mean: -2, low: -2.5, high: -1.5 }, 'dB'];
    expect(effectWords(lower, ['higher', 'lower'], undefined, unit)).toBe('lower, by 1.5 dB to 2.5 dB');
  });
});

describe('divergence', () => {
  const evals = (...losses: number[]): EvalLine[] =>
    losses.map((val_loss, i) => ({
      type: 'eval',
      step: 10 * (i + 1),
      val_loss,
      val_bits_per_byte: val_loss / Math.LN2,
    }));
  const criterion = { rise: 1.2, maxLoss: 5 };
  it('is a final loss that rose, from the evaluation on after which it stayed up', () => {
    expect(divergenceOf(criterion, evals(4, 3, 2, 3, 2.1, 2.5, 2.6))).toEqual({
      step: 60,
      why: 'validation loss above 1.2 times its lowest',
    });
    // A spike that healed, and a loss just below the bound.
    expect(divergenceOf(criterion, evals(4, 2, 4, 2))).toBeNull();
    expect(divergenceOf(criterion, evals(2, 2.4))).toBeNull();
  });
  it('is a loss that never fell, and an anomaly that ended the run', () => {
    expect(divergenceOf(criterion, evals(5.5, 5.4))).toEqual({ step: 20, why: 'validation loss above 5' });
    const anomaly = { type: 'anomaly', step: 7, kind: 'non_finite', what: '', next: 6 } as const;
    expect(divergenceOf(criterion, [...evals(3), { ...anomaly, action: 'stop' }])).toEqual({
      step: 7,
      why: 'non_finite',
    });
    expect(divergenceOf(criterion, [{ ...anomaly, action: 'skip' }, ...evals(3)])).toBeNull();
  });
});

describe('runs', () => {
  const experiment = experimentOf(FILE);
  type Stores = Map<string, MemoryStore>;
  const storeOf = (stores: Stores, digest: string) => {
    const store = stores.get(digest) ?? memoryStore();
    stores.set(digest, store);
    return store;
  };
  /** Runs what is left, cut off after so many steps in all; gives the results once every run has ended. */
  async function go(stores: Stores, among: Experiment, stopAfter = Number.POSITIVE_INFINITY) {
    const stop = new AbortController();
    let steps = 0;
    const watch = (line: MetricsLine) => {
      if (line.type === 'step' && ++steps === stopAfter) stop.abort();
    };
    const plan = planOf(open(), among, DATA);
    // One lane: two runs at once in one engine would free each other's tensors.
    const ended = await sideBySide(plan, 1, stop.signal, (run) =>
      execute(run, { data: DATA, engine: open(), store: storeOf(stores, run.digest), signal: stop.signal, watch }),
    );
    const text = { name: 'text', bytes: DATA.length, digest: 'd' };
    const about = { study: 'tiny', size: 'full', text, experiment: among } as const;
    const lines = (digest: string) => logOf(stores.get(digest)?.files.get('metrics.jsonl'));
    const whole = ended.every((result) => result !== undefined);
    const results = whole
      ? resultsOf(
          about,
          plan.map((run) => runRecord(among, run, lines(run.digest))),
        )
      : undefined;
    return { results, steps };
  }

  it('cut off again and again they come to the same results, to the byte; finished ones are not run again', async () => {
    const [once, parts]: Stores[] = [new Map(), new Map()];
    const { results, steps } = await go(once, experiment);
    expect(steps).toBe(8 * 12);
    let last: Results | undefined;
    let sessions = 0;
    let taken = 0;
    for (; !last && sessions < 20; sessions++) {
      const session = await go(parts, experiment, 17);
      last = session.results;
      taken += session.steps;
    }
    expect(sessions).toBe(6);
    expect(taken).toBe(8 * 12);
    expect(JSON.stringify(last)).toBe(JSON.stringify(results));
    expect(await go(parts, experiment)).toEqual({ results, steps: 0 });
    expect(renderStudy(last!)).toBe(renderStudy(results!));
    // More seeds: only those are run.
    expect((await go(parts, { ...experiment, seeds: 3 })).steps).toBe(4 * 12);
  });

  it('a run that an anomaly ends is a result, and counts as diverged', async () => {
    const stores: Stores = new Map();
    const settings = { ...FILE.settings, maxUnderflowed: 0 };
    const wild = experimentOf({ ...FILE, settings, seeds: 1, divergence: { maxLoss: 9 } });
    const { results } = await go(stores, wild);
    const [plain, fp8] = [results!.cells[0], results!.cells[2]];
    expect(plain).toMatchObject({ runs: 1, diverged: 0 });
    expect(fp8).toMatchObject({ runs: 1, diverged: 1, baseline: { recipe: 'bf16', learningRate: '0.002' } });
    expect(fp8.measures.val_loss).toEqual({ value: null, difference: null });
    expect(results!.runs[2].diverged).toMatchObject({ why: 'underflow' });
    expect(renderStudy(results!)).toContain('diverged, step');
    expect((await go(stores, wild)).steps).toBe(0);
  });

  it('differences are paired by seed, and the report and the table contain the numbers', async () => {
    const { results } = await go(new Map(), experiment);
    const loss = (recipe: string, seed: number) =>
      results!.runs.find((run) => run.cell.recipe === recipe && run.cell.learningRate === '0.01' && run.seed === seed)!
        .measures.val_loss!;
    const own = [1, 2].map((seed) => loss('fp8', seed) - loss('bf16', seed));
    const cell = results!.cells.find(({ cell }) => cell.recipe === 'fp8' && cell.learningRate === '0.01')!;
    const { value, difference } = cell.measures.val_loss!;
    expect(value!.mean).toBe((loss('fp8', 1) + loss('fp8', 2)) / 2);
    expect(difference!.absolute).toEqual(estimate(own));
    expect(difference!.relative.mean).toBeCloseTo(
      difference!.absolute.mean / ((loss('bf16', 1) + loss('bf16', 2)) / 2),
      12,
    );
    const page = renderStudy(results!);
    expect(page).toContain(`<td>${value!.mean.toFixed(4)}</td>`);
    expect(page).toContain(difference!.words);
    expect(JSON.parse(resultsJson(results!))).toEqual(JSON.parse(JSON.stringify(results)));
    const csv = resultsCsv(results!).split('\r\n');
    expect(csv.length).toBe(1 + 8 + 1);
    expect(csv[0]).toContain('digest,recipe,learningRate,seed,steps,state_digest,diverged_at,diverged_why,val_loss');
    expect(csv[8]).toContain(`fp8,0.01,2,12,${results!.runs[7].stateDigest},,,${loss('fp8', 2)},`);
  });
});
