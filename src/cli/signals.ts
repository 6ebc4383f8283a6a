/** Turns Ctrl-C and SIGTERM into a request to stop. */

let stopping = false;

/** Whether a first signal has been acknowledged, so that the program saves and then ends by itself. */
export const isStopping = (): boolean => stopping;

/** The first signal aborts `signal` and prints `word`. A second one has no listener and so ends the process at once. */
export function stopOnSignals(word: string): { signal: AbortSignal; restore: () => void } {
  const controller = new AbortController();
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const restore = () => {
    for (const name of signals) process.off(name, stop);
  };
  const stop = () => {
    restore();
    stopping = true;
    process.stderr.write(`\n${word}\n`);
    controller.abort();
  };
  for (const name of signals) process.on(name, stop);
  return { signal: controller.signal, restore };
}
