/**
 * The command block in shared memory, through which the host tells the workers which kernel to run.
 *
 *   i32 words: [0] sequence number  [1] next ticket  [2] workers done  [3] units  [4] units per ticket
 *              [5] kernel  [6] number of arguments  [7] failures
 *   f64 words from byte 64: the arguments after (begin, end, scratch)
 */
import type { Kernels } from './load.js';

export const SEQUENCE = 0;
export const TICKET = 1;
export const DONE = 2;
export const UNITS = 3;
export const UNITS_PER_TICKET = 4;
export const KERNEL = 5;
export const ARGUMENT_COUNT = 6;
export const FAILURES = 7;
const ARGUMENTS_AT = 64;
/** More than any kernel has; AdamW has 30. */
const MOST_ARGUMENTS = 32;
export const COMMAND_BYTES = ARGUMENTS_AT + 8 * MOST_ARGUMENTS;
/** Kernel number that tells a worker to stop. */
export const STOP = -1;

/** Polls before sleeping, about 50 microseconds: longer than the gap between two kernels of a step, but short for an idle core. */
const SPINS = 3000;

export type Kernel = (begin: number, end: number, scratch: number, ...args: number[]) => void;

/** The two parts of the block at address `command`. */
export const viewsOf = (buffer: ArrayBufferLike, command: number) => ({
  words: new Int32Array(buffer, command, ARGUMENTS_AT / 4),
  values: new Float64Array(buffer, command + ARGUMENTS_AT, MOST_ARGUMENTS),
});

/** Exported functions in the same order on every thread, so that a number identifies a kernel. */
export function kernelNames(kernels: Kernels): string[] {
  return Object.keys(kernels)
    .filter((name) => typeof kernels[name as keyof Kernels] === 'function')
    .sort();
}

/** Runs the kernel on ranges of units until none are left. It does not matter which thread takes which (docs/architecture.md, "Threads"). */
export function drain(words: Int32Array, kernel: Kernel, scratch: number, args: readonly number[]): void {
  const units = words[UNITS];
  const size = words[UNITS_PER_TICKET];
  for (;;) {
    const begin = Atomics.add(words, TICKET, 1) * size;
    if (begin >= units) return;
    kernel(begin, Math.min(units, begin + size), scratch, ...args);
  }
}

/** Blocks until words[index] differs from `old`, and returns its new value: polls first, then sleeps. */
export function waitWhile(words: Int32Array, index: number, old: number): number {
  for (let i = 0; i < SPINS; i++) {
    const now = Atomics.load(words, index);
    if (now !== old) return now;
  }
  // Wake up at least once a second, so that a lost notification costs a second rather than hanging the run.
  while (Atomics.load(words, index) === old) Atomics.wait(words, index, old, 1000);
  return Atomics.load(words, index);
}
