/** Every case, in two sizes: `full` is what is reported, `quick` shows within seconds that everything runs. */
import { readFileSync } from 'node:fs';
import { blockingCases } from './cases/blocking.mjs';
import { stepCases } from './cases/step.mjs';
import { casesAnywhere } from './families.mjs';
import { readShapes } from './shapes.mjs';
import { TEXT } from './step/plan.mjs';

const { config, batchSize, blockSize } = JSON.parse(
  readFileSync(new URL('../scripts/demo.json', import.meta.url), 'utf8'),
);
const demo = { config, batchSize, blockSize };

/** Llamas by width, feed-forward width, layers and heads, with tied embeddings. */
const llama = (hiddenSize, intermediateSize, layers, heads, more) => ({
  config: { vocabSize: 256, hiddenSize, intermediateSize, layers, heads, tieWordEmbeddings: true },
  batchSize: 8,
  blockSize: 256,
  ...more,
});
/** 10.7 M parameters: the model on which rivals are measured. */
const MIDDLE = llama(384, 1024, 6, 6);
const STEPS = [
  llama(128, 448, 2, 4, { alone: true, long: true }),
  llama(192, 512, 4, 3, { alone: true, long: true }),
  llama(256, 704, 6, 4, { alone: true, long: true }),
  MIDDLE,
  llama(512, 1376, 7, 8, { alone: true, long: true }),
  llama(640, 1728, 10, 10, { alone: true, long: true }),
];

/** The demo's shapes: 4 x 256 tokens through the model of scripts/demo.json. Arrays of 2^20 elements correspond to a larger model. */
const FULL = {
  elements: 1 << 20,
  blocking: { shape: { m: 1024, n: 1024, k: 1024 }, slices: [128, 256, 512, 1024, 2048] },
  scaled: { m: 1024, n: 1024, k: 1024 },
  swiglu: { rows: 1024, width: 384 },
  attention: { batch: 4, time: 256, heads: 5, kvHeads: 1, headDim: 32 },
  cached: { batch: 1, time: 1024, heads: 6, kvHeads: 6, headDim: 64 },
  adamw: 1 << 20,
  // Checking a whole batch of the larger model would take a minute.
  models: [demo, { ...MIDDLE, batchSize: 1 }],
  generations: [demo, MIDDLE].map((model) => ({ ...model, newTokens: 64 })),
  steps: STEPS,
};

const tiny = {
  config: { ...demo.config, hiddenSize: 32, intermediateSize: 64, layers: 1, heads: 2 },
  batchSize: 2,
  blockSize: 16,
};

/** Odd sizes, to exercise edges, and more than one unit of work where units are small. */
const QUICK = {
  elements: 4099,
  shapes: [
    { name: 'tiny Y', m: 13, n: 19, k: 31, layout: 'nt' },
    { name: 'tiny dX', m: 7, n: 30, k: 300, layout: 'nn' },
    { name: 'tiny dW', m: 25, n: 9, k: 17, layout: 'tn' },
  ],
  blocking: { shape: { m: 13, n: 19, k: 40 }, slices: [16] },
  scaled: { m: 13, n: 128, k: 256 },
  swiglu: { rows: 11, width: 20 },
  attention: { batch: 2, time: 50, heads: 2, kvHeads: 1, headDim: 8 },
  cached: { batch: 1, time: 37, heads: 4, kvHeads: 2, headDim: 20 },
  adamw: 4099,
  models: [tiny],
  generations: [{ ...tiny, newTokens: 6 }],
  steps: [{ ...llama(32, 64, 1, 2), batchSize: 2, blockSize: 16 }],
};

/** The sizes that cases are built from; shapes and text are read from files. */
export const sizesOf = ({ quick } = {}) => ({
  ...(quick ? QUICK : { ...FULL, shapes: readShapes() }),
  text: new Uint8Array(readFileSync(TEXT)),
});

export function allCases({ quick, long } = {}) {
  const sizes = sizesOf({ quick });
  const cases = [...casesAnywhere(sizes), ...blockingCases(sizes), ...stepCases(sizes)];
  return cases.filter((each) => long || !each.long);
}
