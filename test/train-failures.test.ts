/** Where a training run ends before its end: numbers that are not finite, files that cannot be written, settings that cannot be. */
import { describe, expect, it, vi } from 'vitest';
import { Arena } from '../src/engine/arena.js';
import { init } from '../src/index.js';
import { Engine } from '../src/ops/engine.js';
import { PREVIOUS_STATE_FILE, STATE_FILE } from '../src/train/checkpoint.js';
import { DataOrder } from '../src/train/data.js';
import { AnomalyError } from '../src/train/guard.js';
import { METRICS_FILE } from '../src/train/log.js';
import { train } from '../src/train/loop.js';
import { MODEL_FILE } from '../src/train/model-files.js';
import { trainSettings } from '../src/train/options.js';
import { SUMMARY_FILE, TrainingError } from '../src/train/output.js';
import type { TrainOptions } from '../src/train/run-options.js';
import { freeState, initialState, stateDigest } from '../src/train/state.js';
import { trainStep } from '../src/train/step.js';
import { withModel } from './helpers/model-directory.js';
import {
  digestOf,
  doneOf,
  events,
  logOf,
  memoryStore,
  QUICK,
  refusalOf,
  SMOOTH_CHANNEL,
  TINY,
  text,
  untimed,
  useEngine,
  VARIANTS,
} from './helpers/training.js';

const engine = useEngine();

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
      await withModel(own, store.files, ({ model }) => expect(model.config.hiddenSize).toBe(32));
      // It is the same run that goes on from there, to the same end.
      const again = await refusalOf(events({ ...absurd, ...options, engine: own, outDir: store, resume: true }));
      expect(again.message).toBe(error.message);
    },
  );

  it('end in the same way whether or not samples are drawn from such a model', async () => {
    const ending = async (sampleInterval: number, onAnomaly: 'stop' | 'rewind') => {
      const store = memoryStore();
      // One step makes weights that are finite and logits that are not.
      const rates = { learningRate: 1e10, minLearningRate: 1e9, warmupSteps: 0, recipe: 'bf16' } as const;
      const options = { ...QUICK, ...rates, sampleInterval, onAnomaly, engine: engine(), outDir: store };
      const { name, message } = await refusalOf(events(options));
      const lines = logOf(store.files.get(METRICS_FILE)).filter(({ type }) => type === 'anomaly');
      return { name, message, anomalies: lines.length };
    };
    for (const policy of ['stop', 'rewind'] as const) {
      const plain = await ending(0, policy);
      expect(plain.name).toBe('TrainingError');
      expect(await ending(1, policy)).toEqual(plain);
    }
  });

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

describe('memory that is refused', () => {
  /** Refuses allocations in every engine, chosen by their number and size. */
  function refusing(chosen: (number: number, bytes: number) => boolean) {
    const alloc = Arena.prototype.alloc;
    let number = 0;
    return vi.spyOn(Arena.prototype, 'alloc').mockImplementation(function (this: Arena, bytes) {
      return alloc.call(this, chosen(++number, bytes) ? 2 ** 33 : bytes);
    });
  }

  it('half-way through the first state, leaves nothing behind', () => {
    const { arena } = engine();
    const settings = trainSettings(QUICK);
    // Once as it should be, for the scratch that stays.
    freeState(engine(), initialState(engine(), settings));
    const before = arena.bytesInUse;
    const refused = refusing((number) => number === 20);
    try {
      expect(() => initialState(engine(), settings)).toThrow(/^memory: expected at most 4 GiB/);
    } finally {
      refused.mockRestore();
    }
    expect(arena.bytesInUse).toBe(before);
  });

  it('before the run, ends the engine that the run opened', async () => {
    const refused = refusing((_, bytes) => bytes >= QUICK.data.length);
    const dispose = vi.spyOn(Engine.prototype, 'dispose');
    try {
      await expect(events({ ...QUICK, engine: undefined })).rejects.toThrow(/^memory: expected at most 4 GiB/);
      expect(dispose).toHaveBeenCalledOnce();
    } finally {
      refused.mockRestore();
      dispose.mockRestore();
    }
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
    [{ recipe: undefined }, /^recipe: expected a name or a record, got nothing$/],
    [{ steps: 0 }, /^steps: expected an integer of at least 1, got 0$/],
    [{ steps: null }, /^steps: expected an integer of at least 1, got null$/],
    [{ steps: 1.5 }, /^steps: expected an integer of at least 1, got 1.5$/],
    [{ seed: -1 }, /^seed: expected an integer of at least 0 and at most 9007199254740991, got -1$/],
    [{ batchSize: Number.NaN }, /^batchSize: expected an integer of at least 1, got NaN$/],
    [{ blockSize: '32' }, /^blockSize: expected an integer of at least 1, got '32'$/],
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
    [{ data: new Uint16Array(9) }, /^data: expected text or a Uint8Array, got Uint16Array$/],
    [{ outDir: 5 }, /^outDir: expected the path of a directory or a Store, got 5$/],
    [{ outDir: {} }, /^outDir: expected the path of a directory or a Store, got Object$/],
    [{ outDir: '' }, /^directory: expected a path, got an empty text$/],
    [{ engine: {} }, /^engine: expected one that init\(\) gave, got Object$/],
    [{ signal: 5 }, /^signal: expected an AbortSignal, got 5$/],
    [{ samplePrompt: 5 }, /^samplePrompt: expected text, got 5$/],
    [
      { config: { ...TINY, hiddenSize: 1 << 16 } },
      /^memory: expected a run that fits into 4 GiB, got settings that need about [\d.]+ GiB$/,
    ],
  ];

  it.each(refused)('is refused by name: %o', async (options, message) => {
    const error = await refusalOf(events({ ...QUICK, engine: engine(), ...(options as Partial<TrainOptions>) }));
    expect(error.message).toMatch(message);
    expect([RangeError, TypeError]).toContain(error.constructor);
  });

  it('no options at all', async () => {
    const error = await refusalOf(events(null as never));
    expect(error.message).toBe('options: expected an object, got null');
  });

  it('an engine that is disposed while a run waits for its reader', async () => {
    const own = await init({ threads: 1 });
    const store = memoryStore();
    const outcome = (async () => {
      for await (const { step } of train({ ...QUICK, checkpointInterval: 1, engine: own, outDir: store })) {
        if (step === 2) own.dispose();
      }
    })();
    expect((await refusalOf(outcome)).message).toBe('engine: expected an open engine, got one that was disposed');
    // What was saved before is whole.
    const rest = await events({ ...QUICK, engine: engine(), outDir: store, resume: true });
    expect(doneOf(rest).digest).toBe(digestOf(await events({ ...QUICK, engine: engine() })));
  });

  it('a directory with a run, or with a model from elsewhere', async () => {
    const shard = 'model-00001-of-00002.safetensors';
    for (const name of [STATE_FILE, MODEL_FILE, shard, 'config.json', 'summary.json', 'report.html', 'result.json']) {
      const store = memoryStore([[name, text(100)]]);
      const error = await refusalOf(events({ ...QUICK, engine: engine(), outDir: store }));
      const expected = [STATE_FILE, MODEL_FILE].includes(name) ? 'a run' : 'files that a run would replace';
      expect(error.message).toMatch(`outDir: expected a directory without ${expected}, got memory, which has `);
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
