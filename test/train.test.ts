/** A training run: it learns, says what it does, gives one answer on every build, and stops where numbers end. */
import { describe, expect, it } from 'vitest';
import type { Tensor } from '../src/ops/tensor.js';
import { PREVIOUS_STATE_FILE, STATE_FILE } from '../src/train/checkpoint.js';
import { DataOrder } from '../src/train/data.js';
import { loadModel } from '../src/train/generate.js';
import { AnomalyError } from '../src/train/guard.js';
import { METRICS_FILE } from '../src/train/log.js';
import { type TrainOptions, train } from '../src/train/loop.js';
import { MODEL_FILE } from '../src/train/model-files.js';
import { trainSettings } from '../src/train/options.js';
import { SUMMARY_FILE, TrainingError } from '../src/train/output.js';
import { learningRateAt } from '../src/train/schedule.js';
import { initialState, stateDigest } from '../src/train/state.js';
import { trainStep } from '../src/train/step.js';
import { useBuilds } from './helpers/builds.js';
import {
  digestOf,
  doneOf,
  evalsOf,
  events,
  logOf,
  memoryStore,
  QUICK,
  refusalOf,
  SMOOTH_CHANNEL,
  stepsOf,
  TINY,
  text,
  untimed,
  useEngine,
  VARIANTS,
} from './helpers/training.js';

const engine = useEngine();
const onEveryBuild = useBuilds();
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('learning', () => {
  it.each(VARIANTS)('the loss falls: %s', async (_, options) => {
    const run = await events({ ...QUICK, steps: 40, ...options, engine: engine() });
    const losses = stepsOf(run).map(({ loss }) => loss);
    // Before the first update every byte is about equally likely: logits of variance C std^2 = 2/5 cost about half of that.
    expect(Math.abs(losses[0] - Math.log(256))).toBeLessThan(0.3);
    expect(mean(losses.slice(-5))).toBeLessThan(4);
    expect(evalsOf(run)[0].val_loss).toBeLessThan(4);
  });
});

describe('one answer', () => {
  const shapes = [
    ...VARIANTS,
    [
      'fp8, sizes that are no multiple of a tile',
      {
        config: { ...TINY, hiddenSize: 60, heads: 6, kvHeads: 3, intermediateSize: 100 },
        blockSize: 49,
        batchSize: 3,
      },
    ],
  ] as const;

  it.each(shapes)('the same digests on every build, with 1, 2 and 3 threads: %s', (_, options) => {
    const settings = trainSettings({ ...QUICK, ...options });
    let expected: string[] | undefined;
    onEveryBuild((built, name) => {
      const state = initialState(built, settings);
      const data = new DataOrder(QUICK.data, settings.blockSize, settings.seed);
      const digests = Array.from({ length: 3 }, () => {
        trainStep(built, settings, state, data);
        return stateDigest(built, state);
      });
      expected ??= digests;
      expect(digests, name).toEqual(expected);
    });
    expect(new Set(expected).size).toBe(3);
  });

  it('the same run twice, another with another seed or another text', async () => {
    const run = async (options: Partial<TrainOptions>) =>
      digestOf(await events({ ...QUICK, steps: 2, ...options, engine: engine() }));
    const digest = await run({});
    expect(await run({})).toBe(digest);
    expect(await run({ seed: 8 })).not.toBe(digest);
    // 2^32 + 7: the upper half of a seed counts.
    expect(await run({ seed: 4294967303 })).not.toBe(digest);
    expect(await run({ data: text(12_000, 60_000) })).not.toBe(digest);
  });

  it('what a run only looks at does not change it', async () => {
    const plain = await events({ ...QUICK, engine: engine() });
    const busy = await events({
      ...QUICK,
      engine: engine(),
      outDir: memoryStore(),
      evalInterval: 1,
      sampleInterval: 3,
      checkpointInterval: 2,
    });
    expect(stepsOf(busy).map(({ digest }) => digest)).toEqual(stepsOf(plain).map(({ digest }) => digest));
    expect(doneOf(busy).val_loss).toBe(doneOf(plain).val_loss);
  });
});

describe('events', () => {
  const options = {
    ...QUICK,
    gradientAccumulation: 2,
    batchSize: 2,
    evalInterval: 3,
    evalWindows: 2,
    sampleInterval: 4,
    checkpointInterval: 5,
    healthInterval: 3,
    samplePrompt: 'Call',
  };

  it('come in order, and the log holds the same', async () => {
    const store = memoryStore();
    const run = await events({ ...options, engine: engine(), outDir: store });
    const step = ['step'];
    // biome-ignore format: one step a line
    expect(run.map(({ type }) => type)).toEqual([
      ...step, ...step, ...step, 'eval', ...step, 'sample', ...step, 'checkpoint', ...step, 'eval', ...step, ...step,
      'eval', 'sample', 'checkpoint', 'done',
    ]);
    expect(logOf(store.files.get(METRICS_FILE))).toEqual(run);
    expect(run.find(({ type }) => type === 'checkpoint')).toEqual({ type: 'checkpoint', step: 5, path: 'memory' });
    expect(run.find(({ type }) => type === 'sample')).toMatchObject({
      step: 4,
      prompt: 'Call',
      text: expect.any(String),
    });
  });

  it('a step has its fields', async () => {
    const settings = trainSettings(options);
    const steps = stepsOf(await events({ ...options, engine: engine() }));
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const line of steps) {
      expect(line.tokens).toBe(line.step * 2 * 2 * 32);
      expect(line.lr).toBe(learningRateAt(line.step, settings));
      expect(line.grad_norm).toBeGreaterThan(0);
      expect(line.tokens_per_sec).toBeGreaterThan(0);
      expect(line.elapsed_s).toBeGreaterThan(0);
      expect(line.digest).toMatch(/^[0-9a-f]{16}$/);
    }
    expect(steps.filter(({ fp8 }) => fp8).map(({ step }) => step)).toEqual([1, 3, 6, 8]);
  });

  it('FP8 health covers every operand of every linear', async () => {
    const run = stepsOf(await events({ ...options, steps: 3, engine: engine() }));
    const keys = [0, 1].flatMap((layer) =>
      ['qkv', 'o', 'gate_up', 'down'].flatMap((linear) =>
        ['input', 'weight', 'grad_output'].map((role) => `layers.${layer}.${linear}.${role}`),
      ),
    );
    for (const { fp8 } of run.filter((line) => line.fp8)) {
      expect(Object.keys(fp8!).sort()).toEqual(keys.sort());
      for (const [key, { amax, scale, saturated, underflowed }] of Object.entries(fp8!)) {
        expect(amax, key).toBeGreaterThan(0);
        expect(Number.isInteger(Math.log2(scale)), key).toBe(true);
        for (const share of [saturated, underflowed]) expect(share >= 0 && share <= 1, key).toBe(true);
      }
    }
    const other = await events({ ...options, recipe: 'bf16', steps: 3, engine: engine() });
    expect(stepsOf(other).some((line) => 'fp8' in line)).toBe(false);
  });

  it('FP8 health is that of all passes of a step', () => {
    const own = engine();
    /** What the casts of the first step see, from sequence number `offset` on. */
    const seen = (gradientAccumulation: number, offset: number) =>
      own.scoped(() => {
        const settings = trainSettings({ ...QUICK, batchSize: 1, gradientAccumulation });
        const state = { ...initialState(own, settings), offset };
        return trainStep(own, settings, state, new DataOrder(QUICK.data, 32, 7)).health;
      });
    const [both, first, second] = [seen(2, 0), seen(1, 0), seen(1, 1)];
    // Gradients are those of a mean over twice as many tokens.
    const inputs = [...both.keys()].filter((key) => key.endsWith('.input'));
    expect(inputs.length).toBe(8);
    for (const key of inputs) {
      const passes = [first.get(key)!, second.get(key)!];
      const larger = passes[0].amax >= passes[1].amax ? passes[0] : passes[1];
      expect(both.get(key), key).toEqual({
        amax: larger.amax,
        scale: larger.scale,
        saturated: mean(passes.map(({ saturated }) => saturated)),
        underflowed: mean(passes.map(({ underflowed }) => underflowed)),
      });
    }
    expect(inputs.some((key) => first.get(key)!.amax > second.get(key)!.amax)).toBe(true);
  });

  it('done is the summary', async () => {
    const store = memoryStore();
    const run = await events({ ...options, engine: engine(), outDir: store });
    const { type, step, ...summary } = doneOf(run);
    expect(step).toBe(8);
    expect(JSON.parse(new TextDecoder().decode(store.files.get(SUMMARY_FILE)))).toEqual(summary);
    const losses = stepsOf(run).map(({ loss }) => loss);
    const { val_loss, val_bits_per_byte } = evalsOf(run).at(-1)!;
    expect(summary).toMatchObject({
      recipe: 'fp8',
      parameters: 26784,
      steps: 8,
      tokens: 8 * 128,
      val_loss,
      val_bits_per_byte,
    });
    expect(summary).toMatchObject({
      digest: digestOf(run),
      train_loss: mean(losses),
      threads: 1,
      build: engine().info.build,
    });
    expect(val_bits_per_byte).toBe(val_loss / Math.LN2);
    expect(summary.tokens_per_second).toBeGreaterThan(0);
    expect(summary.peak_memory_bytes).toBeGreaterThan(1e6);
    // 4 bytes of state in matrices, 12 in the few norm gains, which stay in float32.
    expect(summary.state_bytes_per_parameter).toBeGreaterThan(4);
    expect(summary.state_bytes_per_parameter).toBeLessThanOrEqual(4.1);
  });

  it('a run that was stopped ends with its checkpoint, and without a directory there is none', async () => {
    const types = async (more: Partial<TrainOptions>) =>
      (await events({ ...QUICK, ...more, engine: engine() })).map(({ type }) => type);
    expect(await types({ stopAt: 2, outDir: memoryStore() })).toEqual(['step', 'step', 'checkpoint']);
    expect(await types({ stopAt: 2 })).toEqual(['step', 'step']);
    const signal = AbortSignal.abort();
    expect(await types({ signal, outDir: memoryStore() })).toEqual(['checkpoint']);
  });

  it('gives the memory back, also when its reader leaves early', async () => {
    const own = engine();
    await events({ ...QUICK, steps: 1, engine: own });
    const before = own.arena.bytesInUse;
    await events({ ...QUICK, engine: own });
    expect(own.arena.bytesInUse).toBe(before);
    for await (const { step } of train({ ...QUICK, engine: own })) if (step === 2) break;
    expect(own.arena.bytesInUse).toBe(before);
  });

  it('leaves alone what its reader puts into the engine between two events', async () => {
    const own = engine();
    const kept: Tensor[] = [];
    for await (const { step } of train({ ...QUICK, steps: 2, engine: own })) {
      kept.push(own.tensor([step, 2, 3], [3], 'float32'));
    }
    for (const t of kept) {
      expect([...own.read(t)].slice(1)).toEqual([2, 3]);
      own.free(t);
    }
  });
});

describe('numbers that end', () => {
  /** Three steps that change nothing, then one that no number survives. */
  const absurd = {
    ...QUICK,
    learningRate: 0,
    minLearningRate: 1e39,
    warmupSteps: 3,
    weightDecay: 0,
    checkpointInterval: 3,
  };

  it.each(VARIANTS)(
    'stop the run, name the step, and save the state before it beside the last checkpoint: %s',
    async (_, options) => {
      const store = memoryStore();
      const kept: [string, Uint8Array][] = [];
      const seen: string[] = [];
      const own = engine();
      const outcome = (async () => {
        for await (const event of train({ ...absurd, ...options, engine: own, outDir: store })) {
          seen.push(`${event.type} ${event.step}`);
          if (event.type === 'checkpoint' && event.step === 3) kept.push(...store.files);
        }
      })();
      const error = await refusalOf(outcome);
      expect(error).toBeInstanceOf(TrainingError);
      expect(error.message).toMatch(/^step 5: expected a finite loss and gradient, got loss .* and gradient norm /);
      expect(error.message).toMatch(/; the last checkpoint, of step 4, is in memory$/);
      expect(seen).toEqual(['step 1', 'step 2', 'step 3', 'checkpoint 3', 'step 4', 'checkpoint 4', 'anomaly 5']);

      expect(store.files.get(PREVIOUS_STATE_FILE)).toEqual(new Map(kept).get(STATE_FILE));
      const line = { type: 'anomaly', step: 5, kind: 'non_finite', action: 'stop', next: 4 };
      expect(logOf(store.files.get(METRICS_FILE)).at(-1)).toMatchObject(line);
      const { model } = await own.scope(() => loadModel(store, { engine: own }));
      expect(model.config.hiddenSize).toBe(32);
      // It is the same run that goes on from there, to the same end.
      const again = await refusalOf(events({ ...absurd, ...options, engine: own, outDir: store, resume: true }));
      expect(again.message).toBe(error.message);
    },
  );

  it('stop the run at its end too, before anything is saved', async () => {
    const store = memoryStore();
    const error = await refusalOf(events({ ...absurd, steps: 4, engine: engine(), outDir: store }));
    expect(error).toBeInstanceOf(TrainingError);
    expect(error.message).toMatch(
      /^step 4: expected a finite validation loss, got NaN; the last checkpoint, of step 3/,
    );
    expect(store.files.has(SUMMARY_FILE)).toBe(false);
  });

  it('are not saved by a run that is stopped between the step that made them and the one that would meet them', async () => {
    const store = memoryStore();
    const options = { ...absurd, learningRate: 1e39, warmupSteps: 1, engine: engine(), outDir: store };
    const error = await refusalOf(events({ ...options, stopAt: 1 }));
    expect(error).toBeInstanceOf(TrainingError);
    expect(error.message).toBe(
      'step 1: expected finite parameters to save, got others in embed; no checkpoint was saved before',
    );
    expect([...store.files.keys()]).toEqual([METRICS_FILE]);
  });

  it.each(['fp8', SMOOTH_CHANNEL])('leave nothing behind that the next step would see: %o', (recipe) => {
    const own = engine();
    const settings = trainSettings({ ...QUICK, recipe });
    // Something always vanishes; and these gradients are larger, as the model knows less of such a text.
    const strict = trainSettings({ ...QUICK, recipe, maxUnderflowed: 0 });
    const noise = Uint8Array.from({ length: 12_000 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
    const digests = [false, true].map((disturbed) =>
      own.scoped(() => {
        const state = initialState(own, settings);
        const data = new DataOrder(QUICK.data, 32, 7);
        for (let i = 0; i < 3; i++) {
          trainStep(own, settings, state, data);
          if (disturbed) {
            expect(() => trainStep(own, strict, state, new DataOrder(noise, 32, 7))).toThrow(AnomalyError);
          }
        }
        return stateDigest(own, state);
      }),
    );
    expect(digests[1]).toBe(digests[0]);
  });

  it('leave the state as it was', () => {
    const own = engine();
    const settings = trainSettings(absurd);
    own.scoped(() => {
      const state = initialState(own, settings);
      const data = new DataOrder(QUICK.data, 32, 7);
      for (let i = 0; i < 4; i++) trainStep(own, settings, state, data);
      const digest = stateDigest(own, state);
      expect(() => trainStep(own, settings, state, data)).toThrow(AnomalyError);
      expect(stateDigest(own, state)).toBe(digest);
      expect(state.step).toBe(4);
    });
  });
});

describe('files that cannot be written', () => {
  it('end the run as a failure, with the checkpoint before named', async () => {
    const store = memoryStore();
    const outcome = (async () => {
      for await (const event of train({ ...QUICK, checkpointInterval: 2, engine: engine(), outDir: store })) {
        if (event.type === 'checkpoint') store.refusal = 'no space left';
      }
    })();
    const error = await refusalOf(outcome);
    expect(error).toBeInstanceOf(TrainingError);
    expect(error.message).toBe('step 3: no space left; the last checkpoint, of step 2, is in memory');
  });

  it('are found out before the first step', async () => {
    const store = memoryStore();
    store.refusal = 'read-only';
    const error = await refusalOf(events({ ...QUICK, engine: engine(), outDir: store }));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toBe('read-only');
  });
});

describe('what cannot be', () => {
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [{ recipe: 'fp9' }, /^recipe: expected one of fp8, fp8-plain, .*, f32, got "fp9"$/],
    [{ steps: 0 }, /^steps: expected an integer of at least 1, got 0$/],
    [{ steps: 1.5 }, /^steps: expected an integer of at least 1, got 1.5$/],
    [{ seed: -1 }, /^seed: expected an integer of at least 0 and at most 9007199254740991, got -1$/],
    [{ batchSize: Number.NaN }, /^batchSize: expected an integer of at least 1, got NaN$/],
    [{ blockSize: '32' }, /^blockSize: expected an integer of at least 1, got 32$/],
    [
      { blockSize: 64, config: { ...TINY, maxPositions: 32 } },
      /^blockSize: expected at most the model's 32 positions, got 64$/,
    ],
    [{ gradientAccumulation: 0 }, /^gradientAccumulation: /],
    [{ learningRate: Number.POSITIVE_INFINITY }, /^learningRate: expected a number of at least 0, got Infinity$/],
    [{ beta1: 1 }, /^beta1: expected a number above 0 and below 1, got 1$/],
    [{ eps: 0 }, /^eps: expected a number above 0, got 0$/],
    [{ valFraction: 1 }, /^valFraction: expected a number above 0 and below 1, got 1$/],
    [{ evalInterval: 0 }, /^evalInterval: expected an integer of at least 1, got 0$/],
    [{ evalWindows: 0.5 }, /^evalWindows: expected an integer of at least 1, got 0.5$/],
    [{ checkpointInterval: -1 }, /^checkpointInterval: /],
    [{ healthInterval: 0 }, /^healthInterval: /],
    [{ sampleInterval: -1 }, /^sampleInterval: expected an integer of at least 0, got -1$/],
    [{ stopAt: 0 }, /^stopAt: expected an integer of at least 1, got 0$/],
    [{ samplePrompt: '' }, /^samplePrompt: expected at least one character, got none$/],
    [
      { data: new Uint8Array(0) },
      /^data: expected at least 65 tokens in the train part for block size 32, got 0 of 0$/,
    ],
    [{ data: 'Call me' }, /^data: expected at least 65 tokens in the train part for block size 32, got 6 of 7$/],
    [{ data: undefined }, /^data: expected text or a Uint8Array, got undefined$/],
    [{ config: { ...TINY, hiddenSize: 30 } }, /^hiddenSize: expected a multiple of heads = 4, got 30$/],
    [{ config: { ...TINY, kvHeads: 3 } }, /^kvHeads: expected a divisor of heads = 4, got 3$/],
    [
      { config: { ...TINY, intermediateSize: 30 } },
      /^intermediateSize: expected a multiple of 4 for training, got 30$/,
    ],
    [{ config: { ...TINY, vocabSize: 300 } }, /^vocabSize: expected 256, the byte tokenizer's, got 300$/],
    [{ resume: true }, /^outDir: expected the directory of the run to resume, got none$/],
  ];

  it.each(refused)('is refused by name: %o', async (options, message) => {
    const error = await refusalOf(events({ ...QUICK, engine: engine(), ...(options as Partial<TrainOptions>) }));
    expect(error.message).toMatch(message);
    expect([RangeError, TypeError]).toContain(error.constructor);
  });

  it('a directory with a run, or with a model from elsewhere', async () => {
    for (const name of [STATE_FILE, MODEL_FILE]) {
      const store = memoryStore([[name, text(100)]]);
      const error = await refusalOf(events({ ...QUICK, engine: engine(), outDir: store }));
      expect(error.message).toMatch(/^outDir: expected a directory without a run, got memory, which has /);
      expect(error.message).toContain(name);
      expect([...store.files]).toEqual([[name, text(100)]]);
    }
  });

  it('a log alone is no run: one that was killed before its first checkpoint can be started again', async () => {
    const store = memoryStore([[METRICS_FILE, new TextEncoder().encode('{"type":"step","step":1}\n{"ty')]]);
    const run = await events({ ...QUICK, steps: 1, engine: engine(), outDir: store });
    expect(untimed(logOf(store.files.get(METRICS_FILE)))).toEqual(untimed(run));
  });
});
