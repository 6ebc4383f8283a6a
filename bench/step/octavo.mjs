/** The engine's training step as a child process: node octavo.mjs <folder of the plan> <recipe> <build>. */
import { openEngine } from '../../dist/cli/options.js';
import { initialState } from '../../dist/train/state.js';
import { trainStep } from '../../dist/train/step.js';
import { serve } from './child.mjs';
import { dataOf, readPlan, settingsOf } from './plan.mjs';

const [folder, recipe, build] = process.argv.slice(2);
const { plan } = readPlan(folder);
const settings = settingsOf(plan.model, recipe);
const engine = await openEngine({
  build: build === 'turbo' ? 'relaxed' : build,
  threads: plan.threads,
  turbo: build === 'turbo',
});
const state = initialState(engine, settings);
const data = dataOf(settings);
await serve(recipe, () => trainStep(engine, settings, state, data).loss);
engine.dispose();
