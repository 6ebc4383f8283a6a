/** A training run learns, and gives one answer on every build. */
import { describe, expect, it } from 'vitest';
import { DataOrder } from '../src/train/data.js';
import type { MetricsLine } from '../src/train/events.js';
import { train } from '../src/train/loop.js';
import { trainSettings } from '../src/train/options.js';
import type { TrainOptions } from '../src/train/run-options.js';
import { initialState, stateDigest } from '../src/train/state.js';
import { trainStep } from '../src/train/step.js';
import { useBuilds } from './helpers/builds.js';
import {
  digestOf,
  doneOf,
  evalsOf,
  events,
  mean,
  memoryStore,
  QUICK,
  stepsOf,
  TINY,
  text,
  useEngine,
  VARIANTS,
} from './helpers/training.js';

const engine = useEngine();
const onEveryBuild = useBuilds();

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

it('a gradient is clipped where its norm is above the bound, and only there', () => {
  const own = engine();
  const stepWith = (gradClip: number) =>
    own.scoped(() => {
      const settings = trainSettings({ ...QUICK, gradClip });
      const state = initialState(own, settings);
      const { gradNorm } = trainStep(own, settings, state, new DataOrder(QUICK.data, 32, 7));
      return { gradNorm, digest: stateDigest(own, state) };
    });
  const free = stepWith(0);
  expect(stepWith(free.gradNorm)).toEqual(free);
  const clipped = stepWith(0.9 * free.gradNorm);
  // What is told is the norm before.
  expect(clipped.gradNorm).toBe(free.gradNorm);
  expect(clipped.digest).not.toBe(free.digest);
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

  it('the text as it was when the run began, whatever becomes of the array', async () => {
    const expected = digestOf(await events({ ...QUICK, engine: engine() }));
    // The slice of a Buffer is a view.
    for (const data of [new Uint8Array(QUICK.data), Buffer.from(QUICK.data)]) {
      const lines: MetricsLine[] = [];
      for await (const line of train({ ...QUICK, data, engine: engine() })) {
        lines.push(line);
        data.fill(0);
      }
      expect(digestOf(lines), data.constructor.name).toBe(expected);
    }
  });

  it('two runs at once on one engine, each as alone', async () => {
    const runs = [1, 2].map((seed) => ({ ...QUICK, seed, engine: engine() }));
    const alone = [digestOf(await events(runs[0])), digestOf(await events(runs[1]))];
    expect((await Promise.all(runs.map(events))).map(digestOf)).toEqual(alone);
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
