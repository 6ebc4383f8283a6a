/** The engine's training step as a child process: node octavo.mjs <folder of the plan> <recipe> <build> <threads>. */
import { openEngine } from '../../dist/cli/options.js';
import { initialState } from '../../dist/train/state.js';
import { trainStep } from '../../dist/train/step.js';
import { serve } from './child.mjs';
import { dataOf, readPlan, settingsOf } from './plan.mjs';

const [folder, recipe, build, threads] = process.argv.slice(2);
const { plan } = readPlan(folder);
const settings = settingsOf(plan.model, recipe);
const engine = await openEngine({
  build: build === 'turbo' ? 'relaxed' : build,
  threads: Number(threads),
  turbo: build === 'turbo',
});
const state = initialState(engine, settings);
const data = dataOf(settings);
const profile = profiled(engine);
await serve(
  recipe,
  () => profile.step(() => trainStep(engine, settings, state, data).loss),
  () => ({ kernels: profile.shares() }),
);
engine.dispose();

/** Shares of the time of all steps by kernel, longest first; 'host' is the time outside kernels. Kernel times include waiting for threads. */
function profiled(rt) {
  const times = new Map();
  const timed = (name, work) => {
    const from = performance.now();
    const result = work();
    times.set(name, (times.get(name) ?? 0) + performance.now() - from);
    return result;
  };
  const parallel = rt.parallel.bind(rt);
  rt.parallel = (name, ...rest) => timed(name, () => parallel(name, ...rest));
  let total = 0;
  return {
    step: (work) => {
      const from = performance.now();
      const result = work();
      total += performance.now() - from;
      return result;
    },
    shares: () => {
      const kernels = [...times].map(([name, time]) => [name, time / total]).sort(([, a], [, b]) => b - a);
      const host = 1 - kernels.reduce((sum, [, share]) => sum + share, 0);
      return Object.fromEntries([...kernels, ['host', host]]);
    },
  };
}
