/** A pool of threads over one shared memory. The calling thread works too, so a pool of `threads` has threads - 1 workers. */
import type { Arena } from './arena.js';
import {
  ARGUMENT_COUNT,
  COMMAND_BYTES,
  DONE,
  drain,
  FAILURES,
  KERNEL,
  type Kernel,
  kernelNames,
  SEQUENCE,
  STOP,
  TICKET,
  UNITS,
  UNITS_PER_TICKET,
  viewsOf,
  waitWhile,
} from './command.js';
import { hasNodeModules } from './features.js';
import type { Kernels } from './load.js';
import type { WorkerStart } from './worker.js';

/** Tickets per thread and kernel: enough that a thread suspended by the system does not hold up the others for long. */
const TICKETS_PER_THREAD = 6;

interface Thread {
  terminate(): unknown;
}

export class Pool {
  private readonly words: Int32Array;
  private readonly values: Float64Array;
  private readonly numbers: Map<string, number>;

  private constructor(
    private readonly kernels: Kernels,
    private readonly workers: readonly Thread[],
    arena: Arena,
    command: number,
  ) {
    const { words, values } = viewsOf(arena.buffer, command);
    this.words = words;
    this.values = values;
    this.numbers = new Map(kernelNames(kernels).map((name, index) => [name, index]));
  }

  static async start(
    threads: number,
    modules: Pick<WorkerStart, 'module' | 'wide'>,
    kernels: Kernels,
    arena: Arena,
    scratchSlots: number,
  ): Promise<Pool> {
    const command = arena.alloc(COMMAND_BYTES);
    new Uint8Array(arena.buffer, command, COMMAND_BYTES).fill(0);
    const starts = Array.from({ length: threads - 1 }, (_, i) =>
      startWorker({ ...modules, memory: arena.memory, command, scratchSlot: scratchSlots + 4 * (i + 1) }),
    );
    const settled = await Promise.allSettled(starts);
    const workers = settled.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const failed = settled.find((start) => start.status === 'rejected');
    if (failed) {
      for (const worker of workers) worker.terminate();
      throw failed.reason;
    }
    return new Pool(kernels, workers, arena, command);
  }

  /** Runs a kernel over `units` on all threads and returns when every unit is done. */
  run(name: string, units: number, scratch: number, args: readonly number[]): void {
    const { words } = this;
    const number = this.numbers.get(name)!;
    words[TICKET] = 0;
    words[DONE] = 0;
    words[FAILURES] = 0;
    words[UNITS] = units;
    words[UNITS_PER_TICKET] = Math.max(1, Math.floor(units / ((this.workers.length + 1) * TICKETS_PER_THREAD)));
    words[KERNEL] = number;
    words[ARGUMENT_COUNT] = args.length;
    this.values.set(args);
    Atomics.add(words, SEQUENCE, 1);
    Atomics.notify(words, SEQUENCE);
    try {
      drain(words, this.kernels[name as keyof Kernels] as unknown as Kernel, scratch, args);
    } finally {
      // Also after a trap on this thread: the workers are still running this command, which the next one would overwrite.
      for (let done = Atomics.load(words, DONE); done < this.workers.length; ) done = waitWhile(words, DONE, done);
    }
    if (words[FAILURES] > 0) {
      throw new Error(`kernel ${name}: expected it to finish on every thread, got a trap in a worker`);
    }
  }

  dispose(): void {
    this.words[KERNEL] = STOP;
    Atomics.add(this.words, SEQUENCE, 1);
    Atomics.notify(this.words, SEQUENCE);
    for (const worker of this.workers) worker.terminate();
  }
}

/**
 * Resolves once the worker is waiting for commands. Until then nothing may block this thread: it would never learn that a worker failed to start,
 * and browsers start workers from this thread's event loop.
 */
async function startWorker(start: WorkerStart): Promise<Thread> {
  if (hasNodeModules()) {
    const { Worker } = await import('node:worker_threads');
    // Do not inherit the program's own flags: with --input-type the worker would not even start.
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start, execArgv: [] });
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    // Lets a program that forgets dispose() exit.
    worker.unref();
    return worker;
  }
  // Bundlers recognise this form.
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  worker.postMessage(start);
  await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = (event) => reject(new Error(`worker: expected it to start, got ${event.message}`));
  });
  return worker;
}
