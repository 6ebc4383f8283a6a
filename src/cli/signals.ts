/** Turns Ctrl-C and SIGTERM into a request to stop. */

/** The first signal aborts `signal` and prints `word`. A second one has no listener and so ends the process at once. */
export function stopOnSignals(word: string): { signal: AbortSignal; restore: () => void } {
  const controller = new AbortController();
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const restore = () => {
    for (const name of signals) process.off(name, stop);
  };
  const stop = () => {
    restore();
    process.stderr.write(`\n${word}\n`);
    controller.abort();
  };
  for (const name of signals) process.on(name, stop);
  return { signal: controller.signal, restore };
}
