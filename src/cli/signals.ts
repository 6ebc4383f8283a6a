/** Ctrl-C and SIGTERM, as a wish to end. */

/** The first signal asks for an end, with this word to the reader. A second one finds nobody listening, and ends the process at once. */
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
