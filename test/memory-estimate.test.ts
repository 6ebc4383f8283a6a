/** The memory that a run is said to need before it starts, against what it took. */
import { expect, it } from 'vitest';
import { init } from '../src/index.js';
import { RECIPES, type TrainSettings, train, trainingBytes, trainSettings } from '../src/train/index.js';
import { text } from './helpers/training.js';

const CONFIGS = [
  {
    config: { vocabSize: 256, hiddenSize: 160, layers: 4, heads: 5, tieWordEmbeddings: true },
    batchSize: 4,
    blockSize: 256,
  },
  { config: { vocabSize: 256, hiddenSize: 64, layers: 2, heads: 4, kvHeads: 2 }, batchSize: 16, blockSize: 128 },
  { config: { vocabSize: 256, hiddenSize: 384, layers: 2, heads: 6 }, batchSize: 1, blockSize: 64 },
];

it.each(Object.keys(RECIPES))('of %s is within a fifth of the peak', async (recipe) => {
  for (const each of CONFIGS) {
    const input = { ...each, recipe };
    const settings: TrainSettings = trainSettings(input);
    const engine = await init({ threads: 1 });
    for await (const _ of train({ ...input, stopAt: 1, data: text(40_000), engine }));
    const ratio = trainingBytes(settings) / engine.arena.peakBytes;
    engine.dispose();
    // The estimate leaves out scratch and padding; a fifth is far less than what tells a run that fits from one that does not.
    expect(ratio, JSON.stringify(each.config)).toBeGreaterThan(0.8);
    expect(ratio, JSON.stringify(each.config)).toBeLessThan(1.2);
  }
});
