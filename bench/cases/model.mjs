/**
 * Whole optimizer steps and generation with the demo model, in the recipes. Checked twice: every bit against the strict build on one
 * thread, whose kernels the tests hold against their mirrors, and loss and tokens against the model in float64.
 */
import { parameterCount } from '../../dist/model/params.js';
import { sample } from '../../dist/model/sample.js';
import { read } from '../../dist/ops/quantize.js';
import { DataOrder } from '../../dist/train/data.js';
import { trainSettings } from '../../dist/train/options.js';
import { inferenceCasts, inferenceModel, initialState, stateDigest } from '../../dist/train/state.js';
import { trainStep } from '../../dist/train/step.js';
import { logits64, loss64 } from '../llama64.mjs';
import { tokens } from '../work.mjs';

const RECIPES = ['f32', 'bf16', 'fp8'];
/**
 * How far a loss, and a logit, may lie from float64. Of the format's relative error (2^-24, 2^-9, 2^-4 and less) what is left after sums
 * of hundreds of terms of either sign; losses are about 5, logits below 2.
 */
const LOSS_WITHIN = { f32: 1e-5, bf16: 2e-3, fp8: 2e-2 };
const LOGIT_WITHIN = { f32: 1e-5, bf16: 2e-2, fp8: 1e-1 };
const PROMPT = new TextEncoder().encode('Call me');

export function modelCases({ model, text }) {
  const { config, batchSize, blockSize, newTokens } = model;
  const parameters = parameterCount(trainSettings({ config, blockSize }).config);
  const contenders = (make) => (context) => RECIPES.map((recipe) => make(context, settingsOf(model, recipe), text));
  return [
    {
      name: `training step, ${parameters} parameters, ${batchSize} x ${blockSize} tokens`,
      prepare: contenders(stepper),
    },
    { name: `generation, ${parameters} parameters, ${newTokens} tokens`, prepare: contenders(generator(newTokens)) },
  ];
}

/** A schedule so long that no benchmark ends it. */
const settingsOf = ({ config, batchSize, blockSize }, recipe) =>
  trainSettings({ config, batchSize, blockSize, recipe, steps: 1_000_000 });

const operandOf = (settings) => settings.recipe.forward.input;

/** State after the first step: from the second on the scales of FP8 are the delayed ones. */
function warmState(engine, settings, data) {
  const state = initialState(engine, settings);
  trainStep(engine, settings, state, data);
  return state;
}

const weightsOf = (engine, { parameters }) =>
  new Map([...parameters].map(([name, { master }]) => [name, read(engine, master)]));

/** Operations: 6 for each parameter and token, as is the custom; attention's own are not counted. */
function stepper({ engine, baseline }, settings, text) {
  const { config, recipe, batchSize, blockSize, seed } = settings;
  const data = new DataOrder(text, blockSize, seed);
  const state = warmState(engine, settings, data);
  const weights = weightsOf(engine, state);
  const count = batchSize * blockSize;
  return {
    name: recipe.name,
    ...tokens(count, 6 * parameterCount(config) * count, operandOf(settings)),
    run: () => trainStep(engine, settings, state, data),
    seen: ({ loss, gradNorm }) => ({ digest: stateDigest(engine, state), loss, gradNorm, distance: loss }),
    expected: () => {
      const { inputs, targets } = data.batch(batchSize, batchSize);
      const near = loss64(config, weights, inputs, targets, batchSize);
      return baseline.scoped(() => {
        const other = warmState(baseline, settings, data);
        const { loss, gradNorm } = trainStep(baseline, settings, other, data);
        const digest = stateDigest(baseline, other);
        return { digest, loss, gradNorm, distance: { near, within: LOSS_WITHIN[recipe.name] } };
      });
    },
  };
}

/** Operations: 2 for each parameter and token, of the prompt too. */
const generator = (newTokens) => (context, settings, text) => {
  const { config, recipe } = settings;
  const options = { maxNewTokens: newTokens, temperature: 0 };
  const draw = (engine) => {
    const state = warmState(engine, settings, new DataOrder(text, settings.blockSize, settings.seed));
    const model = inferenceModel(engine, settings, state);
    const casts = inferenceCasts(engine, recipe);
    return { state, run: () => Int32Array.from(sample(model, casts, PROMPT, options)) };
  };
  const { state, run } = draw(context.engine);
  const weights = weightsOf(context.engine, state);
  const work = 2 * parameterCount(config) * (PROMPT.length + newTokens - 1);
  return {
    name: recipe.name,
    ...tokens(newTokens, work, operandOf(settings)),
    run,
    seen: (ids) => ({ ids, regret: regret(config, weights, ids) }),
    expected: () => ({
      ids: context.baseline.scoped(() => draw(context.baseline).run()),
      regret: { near: 0, within: LOGIT_WITHIN[recipe.name] },
    }),
  };
};

/** How far the logits of greedily drawn tokens lie, at most, below the largest in float64. */
function regret(config, weights, ids) {
  const all = Int32Array.of(...PROMPT, ...ids);
  const logits = logits64(config, weights, all);
  const { vocabSize } = config;
  let worst = 0;
  ids.forEach((id, i) => {
    const at = (PROMPT.length + i - 1) * vocabSize;
    const line = logits.subarray(at, at + vocabSize);
    worst = Math.max(worst, line.reduce((a, b) => Math.max(a, b)) - line[id]);
  });
  return worst;
}
