/** Counts of fuzzing, and the conditions that hold for every case: it ends soon, and a refusal is one line of the right class. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FileError } from '../../src/interop/errors.js';
import { Random } from './rng.js';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** Longest that a case may take, in milliseconds. */
const TIME_LIMIT = 1000;

/** A state file that is well but of other settings is no FileError, as `resume` documents. */
const isOtherRun = (error: unknown): error is RangeError =>
  error instanceof RangeError && /^[\w.]+: expected .*with which the run to resume began/.test(error.message);

/** Counts of one kind of case. */
export class Tally {
  cases = 0;
  accepted = 0;
  worst = 0;
  private readonly refusals = new Map<string, number>();

  constructor(readonly name: string) {}

  get refused(): number {
    return this.cases - this.accepted;
  }

  /** Runs a reader; what it throws must be a refusal. Undefined then. */
  read<T>(use: () => T): T | undefined {
    const start = performance.now();
    try {
      const result = use();
      this.accepted++;
      return result;
    } catch (error) {
      this.refuse(error);
      return undefined;
    } finally {
      this.end(start);
    }
  }

  /** `orOther`: the file may also be well, and of another run. */
  async readLater<T>(use: () => Promise<T>, orOther = false): Promise<T | undefined> {
    const start = performance.now();
    try {
      const result = await use();
      this.accepted++;
      return result;
    } catch (error) {
      this.refuse(error, orOther);
      return undefined;
    } finally {
      this.end(start);
    }
  }

  private end(start: number): void {
    const time = performance.now() - start;
    this.cases++;
    this.worst = Math.max(this.worst, time);
    if (!(time < TIME_LIMIT)) throw new Error(`expected less than ${TIME_LIMIT} ms, got ${time}`);
  }

  private refuse(error: unknown, orOther = false): void {
    if (!(error instanceof FileError) && !(orOther && isOtherRun(error))) throw error;
    if (/\p{Cc}/u.test(error.message)) throw new Error(`expected a message of one line, got ${error.message}`);
    if (error.message.length > 2000)
      throw new Error(`expected a short message, got ${error.message.length} characters`);
    // What is common to messages of one kind: their words up to what was got, without names and numbers.
    const reason = error.message.replace(/,? got .*$/, '').replace(/"(?:[^"\\]|\\.)*"(?:\.{3})?|\[.*?\]|\d+/g, '_');
    const short = reason.replace(/^memory(?:\/[\w.]+)?: /, '').slice(0, 72);
    this.refusals.set(short, (this.refusals.get(short) ?? 0) + 1);
  }

  /** A line, and below it the commonest refusals. */
  table(reasons = 12): string {
    const counts = [...this.refusals].sort(([, a], [, b]) => b - a);
    const head = `${this.name}: ${this.cases} cases, ${this.accepted} accepted, ${this.refused} refused for ${counts.length} reasons, worst ${this.worst.toFixed(1)} ms`;
    return [head, ...counts.slice(0, reasons).map(([reason, n]) => `${String(n).padStart(9)}  ${reason}`)].join('\n');
  }
}

/** Runs cases `from` to `to`; what fails names its index. Each has its own seed, so that it can be run alone. */
export async function runCases(
  name: string,
  from: number,
  to: number,
  each: (random: Random, index: number) => void | Promise<void>,
): Promise<void> {
  for (let i = from; i < to; i++) {
    try {
      const pending = each(new Random(i), i);
      if (pending) await pending;
    } catch (error) {
      throw new Error(`${name}: case ${i}: ${(error as Error).stack}`, { cause: error });
    }
  }
}

/** Bytes of the process that are in use, garbage left out. */
export function memoryInUse(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
