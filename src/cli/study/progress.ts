/** Progress of a study: on a terminal one bar for the whole and one per active run; elsewhere a line per ended run, or JSON lines. */
import cliProgress from 'cli-progress';
import { nameOf, type PlannedRun } from '../../study/index.js';
import type { MetricsLine } from '../../train/events.js';
import { printJson } from '../options.js';
import { duration, layOut, number, painter } from '../progress.js';

/** State of a run when the study is done with it. */
export type RunEnd = 'finished' | 'cached' | 'anomaly' | 'interrupted';

export interface StudyProgress {
  begin(lane: number, run: PlannedRun): void;
  line(lane: number, run: PlannedRun, line: MetricsLine): void;
  /** Called without a previous start for runs from the cache. */
  end(run: PlannedRun, state: RunEnd, loss: number | undefined, lane?: number): void;
  stop(): void;
}

export interface StudyProgressOptions {
  readonly stream: NodeJS.WriteStream;
  readonly json?: boolean;
  readonly runs: readonly PlannedRun[];
  readonly lanes: number;
}

export function createStudyProgress(options: StudyProgressOptions): StudyProgress {
  if (options.json) return jsonProgress();
  const { stream } = options;
  return stream.isTTY && process.env.TERM !== 'dumb' ? barProgress(options) : lineProgress(options);
}

const titleOf = ({ cell, seed }: PlannedRun): string => `${nameOf(cell)}, seed ${seed}`;
const lossOf = (loss: number | undefined) => number(loss ?? null, (x) => x.toFixed(4));

function jsonProgress(): StudyProgress {
  const of = ({ digest, cell, seed, tokens }: PlannedRun) => ({ digest, cell, seed, tokens });
  return {
    begin: (_, run) => printJson({ type: 'run', state: 'started', ...of(run) }),
    line(_, { digest }, line) {
      if (line.type === 'step') printJson({ type: 'progress', digest, step: line.step, loss: line.loss });
      if (line.type === 'eval') printJson({ type: 'progress', digest, step: line.step, val_loss: line.val_loss });
    },
    end: (run, state, loss) => printJson({ type: 'run', state, ...of(run), val_loss: loss }),
    stop: () => undefined,
  };
}

/** Tracks the tokens still to be trained, and estimates the time from the speed of this session. */
class Clock {
  private readonly started = Date.now();
  private readonly total: number;
  private trained = 0;
  private settled = 0;
  ended = 0;
  /** Tokens of active runs, by digest: when this session started or resumed them, and now. */
  private readonly open = new Map<string, { from: number; at: number }>();

  constructor(private readonly runs: readonly PlannedRun[]) {
    this.total = runs.reduce((sum, { tokens }) => sum + tokens, 0);
  }

  at({ digest }: PlannedRun, tokens: number): void {
    const place = this.open.get(digest);
    // The first line of a resumed run tells where it stood.
    if (place) place.at = tokens;
    else this.open.set(digest, { from: tokens, at: tokens });
  }

  end({ digest, tokens }: PlannedRun): void {
    const { from, at } = this.open.get(digest) ?? { from: 0, at: 0 };
    this.open.delete(digest);
    this.trained += at - from;
    this.settled += tokens;
    this.ended++;
  }

  get share(): number {
    const under = [...this.open.values()].reduce((sum, { at }) => sum + at, 0);
    return (this.settled + under) / this.total;
  }

  describe(): string[] {
    const under = [...this.open.values()].reduce((sum, { from, at }) => sum + at - from, 0);
    const trained = this.trained + under;
    const parts = [`${this.ended}/${this.runs.length} runs`];
    const seconds = (Date.now() - this.started) / 1000;
    if (trained > 0 && this.ended < this.runs.length) {
      parts.push(`${duration((seconds / trained) * (1 - this.share) * this.total)} left`);
    }
    return parts;
  }
}

function lineProgress({ stream, runs }: StudyProgressOptions): StudyProgress {
  const clock = new Clock(runs);
  return {
    begin: () => undefined,
    line(_, run, line) {
      if (line.type === 'step') clock.at(run, line.tokens);
    },
    end(run, state, loss) {
      clock.end(run);
      stream.write(`${[titleOf(run), state, `validation loss ${lossOf(loss)}`, ...clock.describe()].join('  ')}\n`);
    },
    stop: () => undefined,
  };
}

function barProgress({ stream, runs, lanes }: StudyProgressOptions): StudyProgress {
  const paint = painter(!process.env.NO_COLOR);
  const clock = new Clock(runs);
  const bars = new cliProgress.MultiBar({
    stream,
    fps: 4,
    forceRedraw: true,
    emptyOnZero: true,
    format: (_options: object, params: cliProgress.Params, { parts }: { parts: string[] }) =>
      layOut(parts, params.progress, (stream.columns || 80) - 1, paint),
  } as cliProgress.Options);
  const whole = bars.create(1, 0, { parts: clock.describe() });
  const each = Array.from({ length: lanes }, () => bars.create(1, 0, { parts: ['waiting'] }));
  const update = () => whole.update(clock.share, { parts: clock.describe() });
  return {
    begin(lane, run) {
      each[lane].setTotal(run.tokens);
      each[lane].update(0, { parts: [titleOf(run)] });
    },
    line(lane, run, line) {
      if (line.type !== 'step') return;
      clock.at(run, line.tokens);
      const speed = `${Math.round(line.tokens_per_sec).toLocaleString('en-US')} tok/s`;
      each[lane].update(line.tokens, { parts: [titleOf(run), `loss ${lossOf(line.loss)}`, speed] });
      update();
    },
    end(run, state, loss, lane) {
      clock.end(run);
      if (lane !== undefined) each[lane].update(0, { parts: ['waiting'] });
      bars.log(`${titleOf(run)}: ${state}, validation loss ${lossOf(loss)}\n`);
      update();
    },
    stop() {
      // Flush: lines logged since the last drawing are written by the next one.
      bars.update();
      bars.stop();
    },
  };
}
