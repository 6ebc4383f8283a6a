/** `metrics.jsonl`, the log of a run, one JSON object per line (events.ts), and which lines survive when a run continues from an earlier step. */
import type { Store } from '../engine/store.js';
import type { MetricsLine } from './events.js';

/** Name of the log in a run's directory. */
export const METRICS_FILE = 'metrics.jsonl';

/** Reads the log; empty if there is none. A line whose writing was interrupted is left out. */
export async function readLog(store: Store): Promise<MetricsLine[]> {
  return (await parsedLines(store)).map(({ line }) => line);
}

/** Drops the lines that a run at `step` of `steps` will write again, and returns the rest. */
export async function rewindLog(store: Store, step: number, steps: number): Promise<MetricsLine[]> {
  const kept = (await parsedLines(store)).filter(({ line }) => isKept(line, step, steps));
  const content = new Uint8Array(kept.reduce((sum, { json }) => sum + json.length + 1, 0));
  let at = 0;
  for (const { json } of kept) {
    content.set(json, at);
    content[at + json.length] = NEWLINE;
    at += json.length + 1;
  }
  await store.write(METRICS_FILE, content);
  return kept.map(({ line }) => line);
}

/** The end of a run happens again, and so does a step that stopped it. */
function isKept(line: MetricsLine, step: number, steps: number): boolean {
  if (line.type === 'anomaly') return line.action !== 'stop' && line.next <= step;
  const ofStep = line.type === 'step' || line.type === 'monitor' || line.type === 'sharpness';
  return line.step < step || (line.step === step && (ofStep || step < steps));
}

const NEWLINE = 10;

/** Line by line, because a long run's log does not fit into one string (512 MiB in V8). */
async function parsedLines(store: Store): Promise<{ json: Uint8Array; line: MetricsLine }[]> {
  const content = (await store.read(METRICS_FILE)) ?? new Uint8Array();
  const decoder = new TextDecoder();
  const found: { json: Uint8Array; line: MetricsLine }[] = [];
  for (let from = 0; from < content.length; ) {
    const end = content.indexOf(NEWLINE, from);
    const json = content.subarray(from, end < 0 ? content.length : end);
    const line = parsed(decoder.decode(json));
    if (line) found.push({ json, line });
    from += json.length + 1;
  }
  return found;
}

function parsed(json: string): MetricsLine | undefined {
  try {
    return JSON.parse(json) ?? undefined;
  } catch {
    return undefined;
  }
}
