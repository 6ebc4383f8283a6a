/** The parent's side of the processes that run a study: one per lane, started with its first run. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { FileError } from '../../interop/errors.js';
import type { PlannedRun, RunResult } from '../../study/index.js';
import type { MetricsLine } from '../../train/events.js';
import { TrainingError } from '../../train/index.js';
import type { TextSource } from './corpus.js';

export type ToJob =
  | { readonly type: 'open'; readonly source: TextSource; readonly build: string; readonly turbo?: boolean }
  | { readonly type: 'run'; readonly run: PlannedRun; readonly directory: string }
  | { readonly type: 'stop' };

export type FromJob =
  | { readonly type: 'line'; readonly line: MetricsLine }
  | { readonly type: 'ended'; readonly result: RunResult | undefined }
  | { readonly type: 'failed'; readonly name: string; readonly message: string; readonly stack: string };

/** Error classes that determine the exit code, preserved across the process boundary. */
const KINDS: Readonly<Record<string, new (message: string) => Error>> = {
  RangeError,
  TypeError,
  FileError,
  TrainingError,
};

export class Jobs {
  private readonly lanes = new Map<number, ChildProcess>();

  constructor(
    private readonly opening: Extract<ToJob, { type: 'open' }>,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', () => {
      for (const child of this.lanes.values()) if (child.connected) child.send({ type: 'stop' } satisfies ToJob);
    });
  }

  /** Executes a run in the process of a lane, until it ends or the signal comes. */
  run(
    lane: number,
    run: PlannedRun,
    directory: string,
    watch: (line: MetricsLine) => void,
  ): Promise<RunResult | undefined> {
    const child = this.childOf(lane);
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        child.off('message', hear);
        child.off('exit', exit);
        act();
      };
      const hear = (message: FromJob) => {
        if (message.type === 'line') watch(message.line);
        if (message.type === 'ended') settle(() => resolve(message.result ?? undefined));
        if (message.type === 'failed') settle(() => reject(errorOf(message, run)));
      };
      const exit = (code: number | null, name: string | null) =>
        settle(() => reject(new Error(`run ${run.digest}: its process ended with ${name ?? `code ${code}`}`)));
      child.on('message', hear);
      child.on('exit', exit);
      child.send({ type: 'run', run, directory } satisfies ToJob);
    });
  }

  dispose(): void {
    for (const child of this.lanes.values()) if (child.connected) child.disconnect();
    this.lanes.clear();
  }

  private childOf(lane: number): ChildProcess {
    let child = this.lanes.get(lane);
    if (!child) {
      child = fork(fileURLToPath(new URL('./job.js', import.meta.url)), {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      child.send(this.opening);
      if (this.signal.aborted) child.send({ type: 'stop' } satisfies ToJob);
      this.lanes.set(lane, child);
    }
    return child;
  }
}

function errorOf({ name, message, stack }: Extract<FromJob, { type: 'failed' }>, { digest }: PlannedRun): Error {
  const error = new (KINDS[name] ?? Error)(`run ${digest}: ${message}`);
  if (!KINDS[name]) error.stack = stack;
  return error;
}
