/** The suite of damaged files, short or long. */
import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { SAFETENSORS_DTYPES, serializeSafetensors } from '../../src/interop/safetensors.js';
import { CONFIG_FILE, TOKENIZER_FILE } from '../../src/train/model-files.js';
import { configCase, headerCase, type Source, sourceOf, tokenizerCase } from './fuzz.js';
import { modelCase, stateCase, type Target, targetOf } from './fuzz-directory.js';
import { memoryInUse, runCases, Tally } from './tally.js';
import { MINUTE, QUICK, SMOOTH_CHANNEL, text, useEngine } from './training.js';

export interface FuzzCounts {
  readonly headers: number;
  readonly configs: number;
  readonly tokenizers: number;
  /** State files and model directories, as many of each. */
  readonly checkpoints: number;
}

/** Cases between two lines of progress, and between two looks at the memory. */
const BATCH = 50_000;
/** Garbage-free memory may be this much larger at the end than after the first batch: compiled code, not files. */
const GROWTH = 32 << 20;

const options = { ...QUICK, data: text(2000), steps: 2, batchSize: 1, blockSize: 16 };
const VARIANTS = [
  { ...options, config: MINUTE },
  { ...options, config: MINUTE, seed: 8 },
  { ...options, config: { ...MINUTE, tieWordEmbeddings: false }, recipe: SMOOTH_CHANNEL },
  { ...options, config: { ...MINUTE, layers: 2 }, recipe: 'bf16' },
];

/** Scalars, tensors without elements, every type, and names that need escapes. */
const everyType = (): Uint8Array =>
  serializeSafetensors(
    [...SAFETENSORS_DTYPES].map(([dtype, size], i) => {
      const shape = i % 4 === 0 ? [] : [i % 3, 2];
      return { name: `层.${i}"`, dtype, shape, data: new Uint8Array(size * shape.reduce((a, b) => a * b, 1)) };
    }),
    { format: 'pt', ['__proto__']: 'x' },
  );

export function fuzzSuite(counts: FuzzCounts, say: (line: string) => void): void {
  const engine = useEngine();
  const targets: Target[] = [];
  const headers: Source[] = [];

  beforeAll(async () => {
    for (const variant of VARIANTS) targets.push(await targetOf(engine(), variant));
    const vector = (name: string) => readFileSync(new URL(`../vectors/${name}.safetensors`, import.meta.url));
    headers.push(...targets.flatMap(({ model, state }) => [model, state]), sourceOf(everyType()));
    headers.push(sourceOf(vector('llama-tiny-tied')));
  });

  /** All cases, in batches; both outcomes happen, and the process is as large after them as before. */
  async function run(
    name: string,
    total: number,
    tallies: Tally[],
    each: Parameters<typeof runCases>[3],
  ): Promise<void> {
    let early = 0;
    for (let done = 0; done < total; done += BATCH) {
      const end = Math.min(total, done + BATCH);
      await runCases(name, done, end, each);
      early ||= memoryInUse();
      say(`${name}: ${end} of ${total}, ${tallies[0].accepted} accepted, worst ${tallies[0].worst.toFixed(1)} ms`);
    }
    expect(memoryInUse() - early).toBeLessThan(GROWTH);
    for (const tally of tallies) {
      say(tally.table());
      expect(tally.accepted).toBeGreaterThan(0);
      expect(tally.refused).toBeGreaterThan(0);
    }
  }

  it('safetensors headers: accepted and read as another reader does, or refused as by it', async () => {
    const tally = new Tally('safetensors headers');
    await run(tally.name, counts.headers, [tally], (random) => headerCase(tally, random, headers));
    expect(tally.cases).toBe(counts.headers);
  });

  it('config.json', async () => {
    const tally = new Tally('config.json');
    await run(tally.name, counts.configs, [tally], (random) => {
      const { files, config } = random.pick(targets);
      configCase(tally, random, files.get(CONFIG_FILE)!, files.get(TOKENIZER_FILE)!, config);
    });
  });

  it('tokenizer.json', async () => {
    const tally = new Tally('tokenizer.json');
    const { files, tokenizer } = targets[0];
    await run(tally.name, counts.tokenizers, [tally], (random) =>
      tokenizerCase(tally, random, files.get(TOKENIZER_FILE)!, files.get(CONFIG_FILE)!, tokenizer),
    );
  });

  it('model directories: loaded as the files say, and never another model than was saved', async () => {
    const tally = new Tally('model directories');
    await run(tally.name, counts.checkpoints, [tally], (random) =>
      modelCase(tally, random, engine(), random.pick(targets), random.pick(targets)),
    );
    expect(tally.cases).toBe(counts.checkpoints);
  });

  it('training states: resumed as they were saved, or refused', async () => {
    const tallies = { resume: new Tally('training states'), settings: new Tally('settings of a state') };
    await run(tallies.resume.name, counts.checkpoints, [tallies.resume, tallies.settings], (random) =>
      stateCase(tallies, random, engine(), random.pick(targets), random.pick(targets)),
    );
    expect(tallies.resume.cases).toBe(counts.checkpoints);
  });
}
