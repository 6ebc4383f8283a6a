/** The memory that a run is said to need before it starts, against what it took. */
import { expect, it } from 'vitest';
import { init } from '../src/index.js';
import {
  parameterCount,
  RECIPES,
  type TrainSettings,
  train,
  trainingBytes,
  trainSettings,
} from '../src/train/index.js';
import { text } from './helpers/training.js';

/** What a run's memory is made of differs with the shape: deep and narrow, many tokens, wide. */
const SHAPES = {
  deep: {
    config: { vocabSize: 256, hiddenSize: 96, layers: 4, heads: 3, tieWordEmbeddings: true },
    batchSize: 4,
    blockSize: 128,
  },
  'many tokens': {
    config: { vocabSize: 256, hiddenSize: 64, layers: 2, heads: 4, kvHeads: 2 },
    batchSize: 8,
    blockSize: 128,
  },
  wide: { config: { vocabSize: 256, hiddenSize: 256, layers: 2, heads: 4 }, batchSize: 1, blockSize: 64 },
};

it.each(
  Object.keys(RECIPES).flatMap((recipe) =>
    Object.entries(SHAPES).map(([name, shape]) => [recipe, name, shape] as const),
  ),
)('of %s, %s, is within a fifth of the peak', async (recipe, _, shape) => {
  const input = { ...shape, recipe };
  const settings: TrainSettings = trainSettings(input);
  const engine = await init({ threads: 1 });
  for await (const _ of train({ ...input, stopAt: 1, data: text(20_000), engine }));
  const ratio = trainingBytes(settings) / engine.arena.peakBytes;
  engine.dispose();
  // The estimate leaves out scratch and padding; a fifth is far less than what tells a run that fits from one that does not.
  expect(ratio).toBeGreaterThan(0.8);
  expect(ratio).toBeLessThan(1.2);
});

it('of a run of long sequences holds for its evaluations too', async () => {
  const config = { vocabSize: 256, hiddenSize: 64, layers: 4, heads: 2, tieWordEmbeddings: true };
  // Eight sequences at once, or all layers of two, would need more.
  const input = { config, recipe: 'bf16', batchSize: 1, blockSize: 4096, steps: 1 };
  const engine = await init({ threads: 1 });
  for await (const _ of train({ ...input, data: text(300_000), engine }));
  const peak = engine.arena.peakBytes;
  engine.dispose();
  expect(peak).toBeLessThan(1.2 * trainingBytes(trainSettings(input)));
});

it('of rotary tables too large for the model is refused before the run, which could not be loaded', async () => {
  const config = { vocabSize: 256, hiddenSize: 64, layers: 1, heads: 1 };
  const start = (more: object) => train({ config, data: text(100_000), blockSize: 32, ...more }).next();
  const excess = /: expected rotary tables of at most 16777216 bytes for a model of this size, got 33554432/;
  await expect(start({ config: { ...config, maxPositions: 131_072 } })).rejects.toThrow(
    new RegExp(`^config.maxPositions${excess.source}`),
  );
  await expect(start({ blockSize: 131_072, batchSize: 1 })).rejects.toThrow(new RegExp(`^blockSize${excess.source}`));
});

it('sizes are known from what train() takes, which has defaults', () => {
  const config = { vocabSize: 256, hiddenSize: 32, layers: 2, heads: 4 };
  expect(parameterCount(config)).toBe(parameterCount(trainSettings({ config }).config));
  expect(trainingBytes({ config })).toBe(trainingBytes(trainSettings({ config })));
});
