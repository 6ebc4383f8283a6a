/** Lines of a log in batches: the page takes each in a task of its own, and a long log in one would keep it from its frames. */
import type { MetricsLine } from '../../src/train/events.js';

/** Step lines have some 200 bytes each; a look inside up to 200 kB, and is the last of its batch. */
const MOST_LINES = 250;

export function batchesOf(lines: readonly MetricsLine[]): MetricsLine[][] {
  const batches: MetricsLine[][] = [];
  let batch: MetricsLine[] = [];
  for (const line of lines) {
    batch.push(line);
    if (line.type !== 'monitor' && batch.length < MOST_LINES) continue;
    batches.push(batch);
    batch = [];
  }
  return batch.length > 0 ? [...batches, batch] : batches;
}

/** As the page keeps it: digests of single parameters, of which it would come to hold millions, stay in the log. */
export function shown(line: MetricsLine): MetricsLine {
  if (line.type !== 'step') return line;
  const { parameters: _, ...rest } = line;
  return rest;
}
