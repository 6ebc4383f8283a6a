/** Runs in every runtime: each recipe trains a small model, whose files are kept in memory, loaded again and asked for a text. */
import { digest, numbers } from './bits.mjs';

/** Grouped queries, two layers, a block that is not a multiple of 8: all that a step is made of, in a few milliseconds. */
const SETTINGS = {
  config: { vocabSize: 256, hiddenSize: 64, layers: 2, heads: 4, kvHeads: 2 },
  steps: 50,
  blockSize: 50,
  batchSize: 2,
  learningRate: 0.005,
  seed: 3,
};
/** MX wants whole blocks of 32 tokens. */
const blockSizeOf = (recipe) => (recipe === 'mxfp8' ? 48 : SETTINGS.blockSize);
const WORDS = 'a an and at by captain deck in island of on sail sea ship storm the to under wave whale wind with';
/** What a run writes that holds times. */
const TIMED = ['metrics.jsonl', 'summary.json'];

/** Words in a fixed order that is no pattern. */
function text(count) {
  const words = WORDS.split(' ');
  const next = numbers(1);
  return Array.from({ length: count }, () => words[Math.floor((next() + 0.5) * words.length)]).join(' ');
}

/** A place for files that every runtime has. */
function memoryStore() {
  const files = new Map();
  const bytesOf = (content) => (typeof content === 'string' ? new TextEncoder().encode(content) : content.slice());
  return {
    path: 'memory',
    files,
    read: async (name) => files.get(name),
    write: async (name, content) => void files.set(name, bytesOf(content)),
    append: async () => undefined,
    list: async () => [...files.keys()],
    lock: async () => async () => undefined,
  };
}

/**
 * The first `steps` steps of a run of 50 with every recipe: the digest of each one's state as the library gives it, one of all files, and one
 * of all texts.
 */
export async function trained(engine, steps) {
  const { RECIPES, generate, loadModel, train } = await import('../../dist/train/index.js');
  const data = text(2000);
  const recipes = {};
  const files = [];
  const texts = [];
  for (const recipe of Object.keys(RECIPES)) {
    const store = memoryStore();
    for await (const event of train({
      ...{ ...SETTINGS, blockSize: blockSizeOf(recipe), recipe },
      ...{ data, engine, outDir: store, stopAt: steps },
    })) {
      if (event.type === 'step') recipes[recipe] = event.digest;
    }
    const names = [...store.files.keys()].filter((name) => !TIMED.includes(name)).sort();
    files.push(...names.map((name) => store.files.get(name)));
    const model = await loadModel(store, { engine });
    const written = [...generate(model, 'the whale ', { maxNewTokens: 100, temperature: 0.8, topK: 40, seed: 5 })];
    texts.push(new TextEncoder().encode(written.join('')));
  }
  return { recipes, files: digest(files), text: digest(texts) };
}
