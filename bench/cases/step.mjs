/**
 * Optimizer steps of Llamas by size, each recipe and each rival in its own process (bench/step). Operations counted: 6 per parameter and
 * token, as is customary; attention's own are not counted. Checked by the losses of the first two steps, from the same weights on the same
 * tokens: the recipe `f32` comes first and must begin near log(V), the loss of an untrained model, and fall; the others are compared with
 * it. The bits of a step are checked in cases/model.mjs.
 */
import { fileURLToPath } from 'node:url';
import { parameterCount } from '../../dist/model/params.js';
import { startChild } from '../step/child.mjs';
import { removePlan, settingsOf, writePlan } from '../step/plan.mjs';
import { tokens } from '../work.mjs';

const OPERANDS = { f32: 'float32', bf16: 'bfloat16', fp8: 'float8_e4m3fn' };
/**
 * Other float32 programs differ in the order of their sums, for which 1e-5 was measured. The rest is due to the formats: 3e-3 and 2e-2 with 10.7
 * M parameters; with 50 M, whose first step at this rate takes the loss from 5.6 to 4.5, 8e-2 in FP8.
 */
const WITHIN = { f32: 1e-3, bf16: 4e-2, fp8: 0.15 };
const path = (file) => fileURLToPath(new URL(file, import.meta.url));

export const stepCases = ({ steps }) =>
  steps.map(({ long, ...model }) => {
    const { config } = settingsOf(model, 'f32');
    const parameters = parameterCount(config);
    const { hiddenSize, layers } = config;
    return {
      name: `step of ${(parameters / 1e6).toFixed(1)} M parameters (${layers} x ${hiddenSize}), ${model.batchSize} x ${model.blockSize} tokens`,
      detail: { kind: 'step', parameters, tokens: model.batchSize * model.blockSize },
      long,
      prepare: (context) => contenders(model, parameters, context),
    };
  });

async function contenders(model, parameters, { rivals, threads, build }) {
  const folder = writePlan(model, threads);
  const children = [];
  try {
    const start = (recipe, count) =>
      startChild(process.execPath, [path('../step/octavo.mjs'), folder, recipe, build, `${count}`]);
    for (const recipe of Object.keys(OPERANDS)) {
      children.push({ child: await start(recipe, threads), recipe, name: recipe, detail: { recipe } });
    }
    if (threads > 1) {
      const detail = { recipe: 'fp8', threads: 1 };
      children.push({ child: await start('fp8', 1), recipe: 'fp8', name: 'fp8, one thread', detail });
    }
    // A rival's first step may take a minute and gigabytes.
    for (const rival of rivals.length > 0 && !model.alone ? [jax, torch, torchAvx2] : []) {
      const child = await rival(folder);
      if (child.unavailable) console.log(`  without ${child.unavailable}`);
      else if (children.some(({ name }) => name.startsWith(child.name))) await child.end();
      else children.push({ child, recipe: 'f32', name: `${child.name}, float32`, detail: { rival: child.name } });
    }
    const count = model.batchSize * model.blockSize;
    const state = { open: children.length, folder };
    const first = [];
    for (const { child } of children) first.push(await child.step());
    let reference;
    return children.map(({ child, recipe, name, detail }, i) => ({
      name,
      detail,
      ...tokens(count, 6 * parameters * count, OPERANDS[recipe]),
      deferred: true,
      run: () => child.step(),
      seen: (loss) => {
        reference ??= loss;
        return { first: first[i], second: loss };
      },
      expected: () => expected(i, recipe, first[0], reference, model.config.vocabSize),
      close: () => close(child, state),
    }));
  } catch (error) {
    for (const { child } of children) child.kill();
    removePlan(folder);
    throw error;
  }
}

/** The first contender's `seen` has provided the reference by the time this is called. */
function expected(i, recipe, first, second, vocabulary) {
  if (i > 0)
    return { first: { near: first, within: WITHIN[recipe] }, second: { near: second, within: WITHIN[recipe] } };
  // Accepts a second loss from 0 to just below the first.
  return { first: { near: Math.log(vocabulary), within: 0.5 }, second: { near: first / 2, within: 0.499 * first } };
}

async function close(child, state) {
  try {
    return await child.end();
  } finally {
    if (--state.open === 0) removePlan(state.folder);
  }
}

const jax = (folder) => startChild(process.execPath, [path('../rivals/jax-step.mjs'), folder]);

/** PyTorch without AVX-512, which many processors lack: its vectors then have 256 bits, as those of `turbo` have. */
const torchAvx2 = (folder) => torch(folder, { OPENBLAS_CORETYPE: 'Haswell', ATEN_CPU_CAPABILITY: 'avx2' });

/** Tries Debian's Python first, because that has Debian's PyTorch. BLAS settings from the environment are not passed on. */
async function torch(folder, settings = {}) {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(OPENBLAS|OMP|MKL)_/.test(name));
  const env = { ...Object.fromEntries(inherited), ...settings };
  let last;
  for (const python of ['/usr/bin/python3', 'python3']) {
    try {
      last = await startChild(python, [path('../rivals/torch_step.py'), folder], env);
    } catch (error) {
      last = { unavailable: `PyTorch: ${error.message}` };
    }
    if (!last.unavailable) return last;
  }
  return last;
}
