/** Splits the lines of a log into batches: the page handles each in a separate task, since a long log in a single task would block its frames. */
import type { MetricsLine } from '../../src/train/events.js';

/** Step lines have about 200 bytes each; a `monitor` line has up to 200 kB, and ends its batch. */
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

/** A line as the page keeps it: digests of single parameters, which would add up to millions, stay in the log. */
export function shown(line: MetricsLine): MetricsLine {
  if (line.type !== 'step') return line;
  const { parameters: _, ...rest } = line;
  return rest;
}
