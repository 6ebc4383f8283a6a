/** A run that was saved, for the tests of its state file. */
import { beforeAll } from 'vitest';
import type { Engine } from '../../src/index.js';
import { digestOfContent } from '../../src/ops/reduce.js';
import { type RunIdentity, STATE_FILE } from '../../src/train/checkpoint.js';
import { trainSettings } from '../../src/train/options.js';
import { events, type MemoryStore, MINUTE, memoryStore, QUICK, SMOOTH_CHANNEL, stepsOf, text } from './training.js';

/** Six steps with checkpoints at 2, 4 and 6, of a model with every kind of state there is. */
export const OPTIONS = {
  ...QUICK,
  config: { ...MINUTE, tieWordEmbeddings: false },
  recipe: SMOOTH_CHANNEL,
  data: text(2000),
  steps: 6,
  batchSize: 1,
  blockSize: 16,
  checkpointInterval: 2,
};

export interface SavedRun {
  /** After each step. */
  readonly digests: readonly string[];
  readonly files: MemoryStore['files'];
  /** The state after the last step. */
  readonly file: Uint8Array;
  readonly identity: RunIdentity;
}

/** The run of {@link OPTIONS}, made before the tests of a file. */
export function useSavedRun(engine: () => Engine): SavedRun {
  const run = {} as { -readonly [Key in keyof SavedRun]: SavedRun[Key] };
  beforeAll(async () => {
    const store = memoryStore();
    run.digests = stepsOf(await events({ ...OPTIONS, engine: engine(), outDir: store })).map(({ digest }) => digest);
    run.files = new Map(store.files);
    run.file = run.files.get(STATE_FILE)!;
    run.identity = { settings: trainSettings(OPTIONS), data: digestOfContent(engine(), OPTIONS.data) };
  });
  return run;
}
