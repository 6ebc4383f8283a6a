/** A pool thread: receives the module and the memory once, then runs ranges of kernels until told to stop. */
import {
  ARGUMENT_COUNT,
  DONE,
  drain,
  FAILURES,
  KERNEL,
  type Kernel,
  kernelNames,
  SEQUENCE,
  STOP,
  viewsOf,
  waitWhile,
} from './command.js';
import { hasNodeModules } from './features.js';
import { instantiateKernels, type Kernels } from './load.js';

export interface WorkerStart {
  module: WebAssembly.Module;
  /** Kernels that replace the module's own. */
  wide?: WebAssembly.Module;
  memory: WebAssembly.Memory;
  command: number;
  /** Address of the word that holds this thread's scratch address. */
  scratchSlot: number;
}

function serve({ module, wide, memory, command, scratchSlot }: WorkerStart, ready: () => void): void {
  const kernels = instantiateKernels(module, memory, wide);
  const names = kernelNames(kernels);
  const { words, values } = viewsOf(memory.buffer, command);
  const scratch = new Uint32Array(memory.buffer, scratchSlot, 1);
  let sequence = 0;
  ready();
  for (;;) {
    sequence = waitWhile(words, SEQUENCE, sequence);
    if (words[KERNEL] === STOP) return;
    try {
      const kernel = kernels[names[words[KERNEL]] as keyof Kernels] as unknown as Kernel;
      drain(words, kernel, scratch[0], Array.from(values.subarray(0, words[ARGUMENT_COUNT])));
    } catch {
      Atomics.add(words, FAILURES, 1);
    }
    Atomics.add(words, DONE, 1);
    Atomics.notify(words, DONE);
  }
}

if (hasNodeModules()) {
  const { parentPort, workerData } = await import('node:worker_threads');
  serve(workerData as WorkerStart, () => parentPort!.postMessage('ready'));
} else {
  const ready = () => (postMessage as (message: string) => void)('ready');
  addEventListener('message', (event: MessageEvent<WorkerStart>) => serve(event.data, ready), { once: true });
}
