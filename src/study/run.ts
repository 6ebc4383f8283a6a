/** Executes one run of a study: reads its result if it has already ended in its directory, or else trains or resumes it. */
import type { Store } from '../engine/store.js';
import { FileError } from '../interop/errors.js';
import { parseJsonObject } from '../interop/json.js';
import type { Engine } from '../ops/engine.js';
import { fileOfRun } from '../train/checkpoint.js';
import type { MetricsLine } from '../train/events.js';
import { train } from '../train/loop.js';
import { RESULT_FILE, TrainingError } from '../train/output.js';
import type { PlannedRun } from './plan.js';

/** Written beside the log of an ended run. The outcome is in the log; this file records that the run ended, and how long it took. */
export interface RunResult {
  readonly digest: string;
  /** Whether the run took all its steps, or was ended by an anomaly, which is also a result. */
  readonly ended: 'finished' | 'anomaly';
  /** Running time, across resumes. */
  readonly seconds: number;
}

export interface RunOptions {
  readonly data: Uint8Array;
  readonly engine: Engine;
  /** The run's own directory. */
  readonly store: Store;
  readonly signal?: AbortSignal;
  readonly watch?: (line: MetricsLine) => void;
}

/** The result in a run's directory; undefined if the run has not ended. */
export async function resultIn(store: Store): Promise<RunResult | undefined> {
  const file = await store.read(RESULT_FILE);
  if (!file) return undefined;
  const record = parseJsonObject(file, `${store.path}/${RESULT_FILE}`);
  const [digest, ended, seconds] = ['digest', 'ended', 'seconds'].map((name) => record.get(name));
  const whole =
    typeof digest === 'string' && (ended === 'finished' || ended === 'anomaly') && typeof seconds === 'number';
  if (!whole) throw new FileError(`${store.path}/${RESULT_FILE}: expected the result of a run, got another record`);
  return { digest, ended, seconds };
}

/** Runs to the end and returns the result; undefined if the signal came first. */
export async function execute(run: PlannedRun, options: RunOptions): Promise<RunResult | undefined> {
  const { store, engine, data, signal, watch } = options;
  const known = await resultIn(store);
  if (known) return known;
  const resume = (await fileOfRun(store)) !== undefined;
  const { settings, intervals, evaluateTraining } = run;
  const events = train({ ...settings, ...intervals, evaluateTraining, data, engine, outDir: store, resume, signal });
  let last: MetricsLine | undefined;
  let seconds = 0;
  try {
    for await (const line of events) {
      last = line;
      if (line.type === 'step') seconds = line.elapsed_s;
      watch?.(line);
    }
  } catch (error) {
    if (!(error instanceof TrainingError && last?.type === 'anomaly')) throw error;
  }
  if (last?.type !== 'done' && last?.type !== 'anomaly') return undefined;
  if (last.type === 'done') seconds = last.elapsed_seconds;
  const result: RunResult = { digest: run.digest, ended: last.type === 'done' ? 'finished' : 'anomaly', seconds };
  await store.write(RESULT_FILE, `${JSON.stringify(result)}\n`);
  return result;
}
