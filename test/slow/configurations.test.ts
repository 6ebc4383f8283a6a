/** A thousand models and batches drawn at random: each takes a step with the same bits on one, two and three threads, or is refused in words. */
import { expect, it } from 'vitest';
import { type Engine, init } from '../../src/index.js';
import { RECIPES, type Recipe } from '../../src/ops/recipe.js';
import { DataOrder, splitTokens } from '../../src/train/data.js';
import { type TrainSettingsInput, trainSettings } from '../../src/train/options.js';
import { freeState, initialState, stateDigest } from '../../src/train/state.js';
import { trainStep } from '../../src/train/step.js';
import { Random } from '../helpers/rng.js';
import { SMOOTH_CHANNEL, text } from '../helpers/training.js';

const COUNT = 1000;
const TEXT = text(6000);
const recipes: readonly Recipe[] = [...Object.values(RECIPES), SMOOTH_CHANNEL];

function draw(random: Random): TrainSettingsInput {
  const pick = <T>(list: readonly T[]): T => list[random.integer(0, list.length - 1)];
  const heads = random.integer(1, 6);
  const recipe = pick(recipes);
  return {
    config: {
      vocabSize: 256,
      // Mostly a multiple of twice the heads and of 4, as it must be.
      hiddenSize: random.uniform() < 0.9 ? 4 * heads * random.integer(1, 8) : random.integer(1, 80),
      intermediateSize: random.uniform() < 0.9 ? 4 * random.integer(1, 40) : random.integer(1, 160),
      layers: random.integer(1, 3),
      heads,
      kvHeads:
        random.uniform() < 0.9 ? pick([1, heads, ...[2, 3].filter((n) => heads % n === 0)]) : random.integer(1, 7),
      ropeTheta: pick([100, 10000, 500000]),
      tieWordEmbeddings: random.uniform() < 0.5,
    },
    recipe,
    batchSize: random.integer(1, 5),
    gradientAccumulation: random.integer(1, 2),
    blockSize: random.integer(1, 70),
    learningRate: 10 ** -random.integer(2, 5),
    gradClip: pick([0, 0.5, 1]),
    weightDecay: pick([0, 0.1]),
    seed: random.word(),
    // A bound of any would be met by some model of width 4.
    lossSpike: 0,
    maxSaturated: 1,
  };
}

it('a step of each', async () => {
  const engines: Engine[] = [];
  for (const threads of [1, 2, 3]) engines.push(await init({ threads }));
  const random = new Random(5);
  let refused = 0;
  for (let i = 0; i < COUNT; i++) {
    const input = draw(random);
    const label = JSON.stringify(input);
    let settings: ReturnType<typeof trainSettings>;
    try {
      settings = trainSettings(input);
    } catch (error) {
      expect(error, label).toBeInstanceOf(RangeError);
      expect((error as Error).message, label).toMatch(/^\w+.*: expected .*, got /);
      refused++;
      continue;
    }
    const { train } = splitTokens(TEXT, 0.1, settings.blockSize);
    const outcomes = engines.map((engine) => {
      const state = initialState(engine, settings);
      // A loss or gradient that is not finite throws.
      const { loss, gradNorm } = trainStep(
        engine,
        settings,
        state,
        new DataOrder(train, settings.blockSize, settings.seed),
      );
      expect(loss, label).toBeLessThan(9);
      expect(gradNorm, label).toBeGreaterThan(0);
      const digest = stateDigest(engine, state);
      freeState(engine, state);
      return { loss, gradNorm, digest };
    });
    for (const outcome of outcomes) expect(outcome, label).toEqual(outcomes[0]);
  }
  for (const engine of engines) engine.dispose();
  console.log(`${COUNT - refused} took a step on 1, 2 and 3 threads, ${refused} were refused`);
  expect(refused).toBeGreaterThan(COUNT / 20);
  expect(refused).toBeLessThan(COUNT / 2);
});
