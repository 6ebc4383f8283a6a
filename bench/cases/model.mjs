/**
 * Whole optimizer steps and generation with the demo model, in the recipes. Checked twice: every bit against the strict build on one
 * thread, whose kernels the tests compare with their mirrors, and losses and logits against the model in float64.
 */
import { parameterCount } from '../../dist/model/params.js';
import { lastLogits, sample } from '../../dist/model/sample.js';
import { newKvCache } from '../../dist/model/transformer.js';
import { read } from '../../dist/ops/quantize.js';
import { RECIPES } from '../../dist/ops/recipe.js';
import { DataOrder } from '../../dist/train/data.js';
import { trainSettings } from '../../dist/train/options.js';
import { inferenceCasts, inferenceModel, initialState, stateDigest } from '../../dist/train/state.js';
import { trainStep } from '../../dist/train/step.js';
import { logits64, loss64 } from '../llama64.mjs';
import { COSTED } from '../recipes.mjs';
import { tokens } from '../work.mjs';

/** f32 is the reference for the others. Generation does not depend on how scales were chosen in training. */
const GENERATORS = ['f32', 'bf16', 'fp8'];
/**
 * Permitted distance from float64 of a loss, and of the logits (root mean square, relative to their own). Measured on the demo's second step:
 * losses 2e-8, 8e-4 and 2e-3 of 5.5, logits 7e-7, 1e-2 and 1e-1; the bounds leave room for other initial weights.
 */
const LOSS_WITHIN = { float32: 1e-6, bfloat16: 1e-2, float8_e4m3fn: 3e-2 };
/** Reduced operands have the bits of E4M3, truncated. */
const lossWithin = ({ forward, reduce }) => LOSS_WITHIN[reduce ? 'float8_e4m3fn' : forward.input];
const LOGITS_WITHIN = { f32: 1e-5, bf16: 5e-2, fp8: 3e-1 };
const PROMPT = new TextEncoder().encode('Call me');

export const modelCases = ({ models, generations, text }) => {
  const contenders = (model, make, recipes) => (context) =>
    recipes.map((recipe) => make(context, settingsOf(model, recipe), text));
  const parametersOf = ({ config, blockSize }) => parameterCount(trainSettings({ config, blockSize }).config);
  return [
    ...models.map((model, i) => ({
      name: `training step, ${parametersOf(model)} parameters, ${model.batchSize} x ${model.blockSize} tokens`,
      detail: { kind: 'demo step', parameters: parametersOf(model), tokens: model.batchSize * model.blockSize },
      // The first model is the one in docs/recipes.md.
      prepare: contenders(model, stepper, [
        RECIPES.f32,
        ...(i === 0 ? COSTED : Object.values(RECIPES)).filter(({ name }) => name !== 'f32'),
      ]),
    })),
    ...generations.map(({ newTokens, ...model }) => ({
      name: `generation, ${parametersOf(model)} parameters, ${newTokens} tokens`,
      detail: { kind: 'generation', parameters: parametersOf(model), tokens: newTokens },
      prepare: contenders(model, generator(newTokens), GENERATORS),
    })),
  ];
};

/** Settings with a schedule too long for any benchmark to finish. */
const settingsOf = ({ config, batchSize, blockSize }, recipe) =>
  trainSettings({ config, batchSize, blockSize, recipe, steps: 1_000_000 });

const operandOf = (settings) => settings.recipe.forward.input;

/** The state after the first step: from the second step on, FP8 uses delayed scales. */
function warmState(engine, settings, data) {
  const state = initialState(engine, settings);
  trainStep(engine, settings, state, data);
  return state;
}

const weightsOf = (engine, { parameters }) =>
  new Map([...parameters].map(([name, { master }]) => [name, read(engine, master)]));

/** Operations counted: 6 per parameter and token, as is customary; attention's own are not counted. */
function stepper({ engine, baseline }, settings, text) {
  const { config, recipe, batchSize, blockSize, seed } = settings;
  const data = new DataOrder(text, blockSize, seed);
  const state = warmState(engine, settings, data);
  const weights = weightsOf(engine, state);
  const count = batchSize * blockSize;
  return {
    name: recipe.name,
    detail: { recipe: recipe.name },
    ...tokens(count, 6 * parameterCount(config) * count, operandOf(settings)),
    run: () => trainStep(engine, settings, state, data),
    seen: ({ loss, gradNorm }) => ({ digest: stateDigest(engine, state), loss, gradNorm, distance: loss }),
    expected: () => {
      const { inputs, targets } = data.batch(batchSize, batchSize);
      const near = loss64(config, weights, inputs, targets, blockSize);
      return baseline.scoped(() => {
        const other = warmState(baseline, settings, data);
        const { loss, gradNorm } = trainStep(baseline, settings, other, data);
        const digest = stateDigest(baseline, other);
        return { digest, loss, gradNorm, distance: { near, within: lossWithin(recipe) } };
      });
    },
  };
}

/** Operations counted: 2 per parameter and token, including the prompt. */
const generator = (newTokens) => (context, settings, text) => {
  const { config, recipe } = settings;
  const options = { maxNewTokens: newTokens, temperature: 0 };
  const prepared = (engine) => {
    const state = warmState(engine, settings, new DataOrder(text, settings.blockSize, settings.seed));
    const model = inferenceModel(engine, settings, state);
    const casts = inferenceCasts(engine, recipe);
    const run = () => Int32Array.from(sample(model, casts, PROMPT, options));
    return { state, run, logits: (ids) => lastLogits(model, casts, ids, newKvCache(model, ids.length)) };
  };
  const { state, run, logits } = prepared(context.engine);
  const weights = weightsOf(context.engine, state);
  const work = 2 * parameterCount(config) * (PROMPT.length + newTokens - 1);
  return {
    name: recipe.name,
    detail: { recipe: recipe.name },
    ...tokens(newTokens, work, operandOf(settings)),
    run,
    seen: (ids) => {
      const all = [...PROMPT, ...ids];
      return { ids, error: relativeError(logits(all), logits64(config, weights, all).slice(-config.vocabSize)) };
    },
    expected: () => ({
      ids: context.baseline.scoped(() => prepared(context.baseline).run()),
      error: { near: 0, within: LOGITS_WITHIN[recipe.name] },
    }),
  };
};

/** Root mean square of a - b, relative to that of b. */
function relativeError(a, b) {
  const squares = (f) => b.reduce((sum, x, i) => sum + f(x, a[i]) ** 2, 0);
  return Math.sqrt(squares((x, y) => x - y) / squares((x) => x));
}
