/** What a run writes to its directory: log, checkpoints, model and summary. Without a directory, nothing. */
import type { Store } from '../engine/store.js';
import { PREVIOUS_STATE_FILE, STATE_FILE } from './checkpoint.js';
import type { MetricsLine, Summary } from './events.js';
import { METRICS_FILE, rewindLog } from './log.js';
import { CONFIG_FILE, TOKENIZER_FILE } from './model-files.js';
import type { TrainSettings } from './options.js';
import { isRewindPoint } from './rewind.js';

export const SUMMARY_FILE = 'summary.json';
/** What the command line makes of a finished run. */
export const REPORT_FILE = 'report.html';
/** Says that a study's run ended: its state and model may be gone by then. */
export const RESULT_FILE = 'result.json';

/** Of the files in a directory, one that a new run there would replace, or be taken for. A log alone is of a run that never saved. */
export async function fileInTheWay(store: Store): Promise<string | undefined> {
  const others = [CONFIG_FILE, TOKENIZER_FILE, SUMMARY_FILE, REPORT_FILE, RESULT_FILE];
  return (await store.list()).find((name) => /\.safetensors(\.index\.json)?$/.test(name) || others.includes(name));
}

/** A run that could not go on: a number that is not finite, or files that cannot be written. What was saved before stays as it is. */
export class TrainingError extends Error {
  override name = 'TrainingError';
}

export class RunOutput {
  /** Step of the newest checkpoint, and when it was made (of a run without one, when that began). */
  private step: number | undefined;
  private at = performance.now();
  /** The checkpoint before it is a point to rewind to. */
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

  /** Goes on from a checkpoint that is there. */
  resumed(step: number, pointBefore: boolean): void {
    Object.assign(this, { step, pointBefore });
  }

  async log<Line extends MetricsLine>(line: Line): Promise<Line> {
    await this.written(line.step, this.store?.append(METRICS_FILE, `${JSON.stringify(line)}\n`));
    return line;
  }

  /** Drops what a run at `step` will do again. */
  async rewindLog(step: number): Promise<void> {
    await this.written(step, this.store && rewindLog(this.store, step, this.settings.steps));
  }

  /** The two newest are kept; of a run that may rewind one of them is, once there is one, a point to rewind to. */
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

  /** Where to go on from, for the message of a failure. */
  lastCheckpoint(): string {
    if (!this.store) return '';
    if (this.step === undefined) return '; no checkpoint was saved before';
    return `; the last checkpoint, of step ${this.step}, is in ${this.store.path}`;
  }

  /** In the midst of a run, a file that cannot be written is a failure of the run. */
  private async written(step: number, outcome: Promise<unknown> | undefined): Promise<void> {
    try {
      await outcome;
    } catch (cause) {
      throw new TrainingError(`step ${step}: ${(cause as Error).message}${this.lastCheckpoint()}`, { cause });
    }
  }
}
