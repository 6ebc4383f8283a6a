/**
 * A child process of a study: executes the runs it is sent, one after the other on one thread, and reports progress to its parent. Started by
 * jobs.ts.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openDirectory } from '../../engine/store.js';
import type { Engine } from '../../ops/engine.js';
import { execute, type PlannedRun } from '../../study/index.js';
import { PREVIOUS_STATE_FILE, STATE_FILE } from '../../train/checkpoint.js';
import type { MetricsLine } from '../../train/events.js';
import { MODEL_FILE } from '../../train/model-files.js';
import { openEngine } from '../options.js';
import { type TextSource, textOf } from './corpus.js';
import type { FromJob, ToJob } from './jobs.js';

/** Minimum interval between reported steps; evaluations are always reported. */
const TELL_MS = 250;

const stop = new AbortController();
let engine: Engine | undefined;
let data: Uint8Array | undefined;

const tell = (message: FromJob) => process.send?.(message);

async function open(source: TextSource, build: string, turbo: boolean | undefined): Promise<void> {
  data = await textOf(source);
  engine = await openEngine({ threads: 1, build, turbo });
}

async function run(planned: PlannedRun, directory: string): Promise<void> {
  let told = 0;
  const watch = (line: MetricsLine) => {
    const now = Date.now();
    if (line.type !== 'eval' && !(line.type === 'step' && now - told >= TELL_MS)) return;
    told = now;
    tell({ type: 'line', line: line.type === 'eval' ? line : { ...line, parameters: undefined, fp8: undefined } });
  };
  const store = await openDirectory(directory);
  const result = await execute(planned, { data: data!, engine: engine!, store, signal: stop.signal, watch });
  // A study reads only the log; the states and models of all its runs would take gigabytes.
  if (result) {
    for (const name of [STATE_FILE, PREVIOUS_STATE_FILE, MODEL_FILE]) await rm(join(directory, name), { force: true });
  }
  tell({ type: 'ended', result });
}

async function take(message: ToJob): Promise<void> {
  try {
    if (message.type === 'open') await open(message.source, message.build, message.turbo);
    if (message.type === 'run') await run(message.run, message.directory);
  } catch (error) {
    const { name, message: what, stack = '' } = error as Error;
    tell({ type: 'failed', name, message: what, stack });
  }
}

let work = Promise.resolve();
process.on('message', (message: ToJob) => {
  if (message.type === 'stop') stop.abort();
  else work = work.then(() => take(message));
});
// The terminal sends Ctrl-C to every process, but the parent decides; if the parent is gone, there is nobody to run for.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => undefined);
process.on('disconnect', () => {
  stop.abort();
  void work.then(() => process.exit());
});
