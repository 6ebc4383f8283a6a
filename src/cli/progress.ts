/**
 * Progress of a long run: a bar on a terminal, plain lines elsewhere (files, pipes, CI).
 * Test: `test/progress.test.ts`.
 */
import cliProgress from 'cli-progress';
import type { StepLine } from '../train/events.js';

export interface ProgressOptions {
  stream: NodeJS.WriteStream;
  /** The step at which the run ends. */
  totalSteps: number;
  /** The step the run starts after: 0, or the checkpoint's when it resumes. */
  startStep: number;
}

export interface Progress {
  step(line: StepLine): void;
  /** Print a line above the bar. Control characters are replaced: a young model's sample may hold any byte. */
  note(text: string): void;
  /** Finish; may be called twice. Later steps are ignored and later notes are plain lines. */
  stop(): void;
}

/** Steps from which the remaining time is estimated: few enough to follow a change of speed, enough to average out an evaluation. */
const ETA_STEPS = 50;
const PLAIN_INTERVAL_MS = 10_000;

export function createProgress(options: ProgressOptions): Progress {
  const { stream } = options;
  return stream.isTTY && process.env.TERM !== 'dumb' ? barProgress(options) : lineProgress(options);
}

function lineProgress({ stream, totalSteps, startStep }: ProgressOptions): Progress {
  const timeLeft = remainingTime(totalSteps, startStep);
  let printedAt = Number.NEGATIVE_INFINITY;
  let pending: string | undefined;
  let stopped = false;

  const flush = () => {
    if (pending === undefined) return;
    stream.write(`${pending}\n`);
    printedAt = Date.now();
    pending = undefined;
  };
  return {
    step(line) {
      if (stopped) return;
      pending = describe(line, totalSteps, timeLeft(line.step)).join('  ');
      if (line.step >= totalSteps || Date.now() - printedAt >= PLAIN_INTERVAL_MS) flush();
    },
    note: (text) => void stream.write(`${withoutControls(text.trimEnd())}\n`),
    stop() {
      if (stopped) return;
      stopped = true;
      flush(); // the last step of a run that ended early
    },
  };
}

function barProgress({ stream, totalSteps, startStep }: ProgressOptions): Progress {
  const paint = painter(!process.env.NO_COLOR);
  const timeLeft = remainingTime(totalSteps, startStep);
  let parts = [`step ${startStep}/${totalSteps}`];
  let stopped = false;

  const bar = new cliProgress.SingleBar({
    stream,
    fps: 8,
    format: (_options, params) => layOut(parts, params.progress, params.maxWidth - 1, paint),
    // A note overwrites the bar, so the bar must be redrawn even if its text has not changed.
    forceRedraw: true,
    terminal: quietTerminal(stream),
  } as cliProgress.Options);
  bar.start(totalSteps, startStep);

  return {
    step(line) {
      if (stopped) return;
      parts = describe(line, totalSteps, timeLeft(line.step));
      bar.update(line.step);
    },
    note(text) {
      stream.write(stopped ? `${withoutControls(text.trimEnd())}\n` : `\r\x1b[K${withoutControls(text.trimEnd())}\n`);
      if (!stopped) bar.render();
    },
    stop() {
      if (stopped) return;
      stopped = true;
      bar.stop();
    },
  };
}

/**
 * A terminal adapter for cli-progress. Its own one saves the cursor's absolute position at the start and returns to it at the end, by when notes
 * may have scrolled that line away, and it truncates long notes by turning line wrapping off. This one does neither.
 */
function quietTerminal(stream: NodeJS.WriteStream) {
  const nothing = () => {};
  return {
    isTTY: () => true,
    getWidth: () => stream.columns || 80,
    write: (text: string) => stream.write(text),
    newline: () => stream.write('\n'),
    cursorTo: () => stream.write('\r'),
    clearRight: () => stream.write('\x1b[K'),
    cursorSave: nothing,
    cursorRestore: nothing,
    cursor: nothing,
    lineWrapping: nothing,
    clearLine: nothing,
  };
}

/** `step 12/1000`, loss, learning rate, speed, time left; a narrow terminal drops parts from the end. */
function describe(line: StepLine, totalSteps: number, left: number | null): string[] {
  const parts = [
    `step ${line.step}/${totalSteps}`,
    `loss ${number(line.loss, (x) => x.toFixed(4))}`,
    `lr ${number(line.lr, (x) => (x === 0 ? '0' : x.toExponential(2)))}`,
    `${number(line.tokens_per_sec, (x) => Math.round(x).toLocaleString('en-US'))} tok/s`,
  ];
  if (left !== null) parts.push(`${duration(left)} left`);
  return parts;
}

/** JSON has no NaN, so a diverged run may have null where the type says number. */
export function number(value: number | null, format: (x: number) => string): string {
  return typeof value === 'number' && Number.isFinite(value) ? format(value) : 'n/a';
}

/** Lays out bar and parts in one line of at most `width` columns: the bar shrinks first, then the last parts are dropped. */
export function layOut(parts: string[], progress: number, width: number, paint: ReturnType<typeof painter>): string {
  let text = parts.join('  ');
  for (let n = parts.length; text.length > width && n > 1; ) text = parts.slice(0, --n).join('  ');
  if (text.length > width) return text.slice(0, Math.max(0, width));

  const percent = `${Math.floor(progress * 100)}%`.padStart(4);
  const cells = Math.min(30, width - text.length - percent.length - 3);
  if (cells < 6) return text;
  const full = Math.round(progress * cells);
  return `${paint.full('█'.repeat(full))}${paint.dim('░'.repeat(cells - full))}${percent}  ${text}`;
}

export function painter(colour: boolean) {
  const wrap = (code: number) => (text: string) => (colour && text ? `\x1b[${code}m${text}\x1b[0m` : text);
  return { full: wrap(36), dim: wrap(2) };
}

/** Estimates the seconds left from the speed of the last steps; null before it is known. */
function remainingTime(totalSteps: number, startStep: number): (step: number) => number | null {
  const seen = [{ step: startStep, at: Date.now() }];
  return (step) => {
    seen.push({ step, at: Date.now() });
    if (seen.length > ETA_STEPS + 1) seen.shift();
    const steps = step - seen[0].step;
    const ms = Date.now() - seen[0].at;
    if (steps <= 0 || ms <= 0 || step >= totalSteps) return null;
    return ((totalSteps - step) * ms) / steps / 1000;
  };
}

export function duration(seconds: number): string {
  const s = Math.ceil(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3600)}h`;
}

/** Writes a text that comes in pieces to a terminal; the end of a line may be cut in two. */
export function terminalWriter(write: (text: string) => unknown): (piece: string) => void {
  let held = '';
  return (piece) => {
    const text = held + piece;
    held = text.endsWith('\r') ? '\r' : '';
    write(withoutControls(text.slice(0, text.length - held.length)));
  };
}

/** A model's text without the characters that would control a terminal; lines and tabs stay. */
export function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach the terminal
  return text.replaceAll('\r\n', '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}
