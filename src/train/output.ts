/** What a run writes to its directory: log, checkpoints, model and summary. Without a directory it writes nothing. */
import type { Store } from '../engine/store.js';
import { PREVIOUS_STATE_FILE, STATE_FILE } from './checkpoint.js';
import type { MetricsLine, Summary } from './events.js';
import { METRICS_FILE, rewindLog } from './log.js';
import { CONFIG_FILE, TOKENIZER_FILE } from './model-files.js';
import type { TrainSettings } from './options.js';
import { isRewindPoint } from './rewind.js';

/** Name of the summary in the directory of a finished run. */
export const SUMMARY_FILE = 'summary.json';
/** Report that the command line writes for a finished run. */
export const REPORT_FILE = 'report.html';
/** Marks a run of a study as ended; its state and model may have been deleted by then. */
export const RESULT_FILE = 'result.json';

/** A file in the directory that a new run would overwrite or be mistaken for. A log alone belongs to a run that never saved. */
export async function fileInTheWay(store: Store): Promise<string | undefined> {
  const others = [CONFIG_FILE, TOKENIZER_FILE, SUMMARY_FILE, REPORT_FILE, RESULT_FILE];
  return (await store.list()).find((name) => /\.safetensors(\.index\.json)?$/.test(name) || others.includes(name));
}

/** A run that cannot go on: a number is not finite, or files cannot be written. Earlier checkpoints stay as they are. */
export class TrainingError extends Error {
  override name = 'TrainingError';
}

export class RunOutput {
  /** Step of the newest checkpoint, and when it was made (initially, when the run began). */
  private step: number | undefined;
  private at = performance.now();
  /** Whether the previous checkpoint is a rewind point. */
  private pointBefore = false;

  constructor(
    private readonly settings: TrainSettings,
    private readonly store: Store | undefined,
  ) {}

  get savedStep(): number | undefined {
    return this.step;
  }

  minutesSinceSaved(): number {
    return (performance.now() - this.at) / 60_000;
  }

  /** Continues from an existing checkpoint. */
  resumed(step: number, pointBefore: boolean): void {
    Object.assign(this, { step, pointBefore });
  }

  async log<Line extends MetricsLine>(line: Line): Promise<Line> {
    await this.written(line.step, this.store?.append(METRICS_FILE, `${JSON.stringify(line)}\n`));
    return line;
  }

  /** Drops the log lines that a run at `step` will write again. */
  async rewindLog(step: number): Promise<void> {
    await this.written(step, this.store && rewindLog(this.store, step, this.settings.steps));
  }

  /** Keeps the two newest checkpoints; once a run that may rewind has a rewind point, one of the two is always a rewind point. */
  async state(step: number, file: Uint8Array): Promise<void> {
    const newestIsPoint = this.step !== undefined && isRewindPoint(this.settings, this.step);
    const keepsNewest = newestIsPoint || !this.pointBefore;
    await this.written(step, this.store?.write(STATE_FILE, file, keepsNewest ? PREVIOUS_STATE_FILE : undefined));
    if (keepsNewest) this.pointBefore = newestIsPoint;
    this.step = step;
    this.at = performance.now();
  }

  async model(step: number, files: ReadonlyMap<string, Uint8Array | string>): Promise<void> {
    for (const [name, content] of files) await this.written(step, this.store?.write(name, content));
  }

  async summary(summary: Summary): Promise<void> {
    await this.written(summary.steps, this.store?.write(SUMMARY_FILE, `${JSON.stringify(summary, null, 2)}\n`));
  }

  /** Where the last checkpoint is, for the message of a failure. */
  lastCheckpoint(): string {
    if (!this.store) return '';
    if (this.step === undefined) return '; no checkpoint was saved before';
    return `; the last checkpoint, of step ${this.step}, is in ${this.store.path}`;
  }

  /** During a run, failing to write a file is a failure of the run. */
  private async written(step: number, outcome: Promise<unknown> | undefined): Promise<void> {
    try {
      await outcome;
    } catch (cause) {
      throw new TrainingError(`step ${step}: ${(cause as Error).message}${this.lastCheckpoint()}`, { cause });
    }
  }
}
