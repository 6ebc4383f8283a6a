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
  await store.write(METRICS_FILE, kept.map(({ json }) => `${json}\n`).join(''));
  return kept.map(({ line }) => line);
}

/** The end of a run happens again, and so does a step that stopped it. */
function isKept(line: MetricsLine, step: number, steps: number): boolean {
  if (line.type === 'anomaly') return line.action !== 'stop' && line.next <= step;
  const ofStep = line.type === 'step' || line.type === 'monitor';
  return line.step < step || (line.step === step && (ofStep || step < steps));
}

async function parsedLines(store: Store): Promise<{ json: string; line: MetricsLine }[]> {
  const text = new TextDecoder().decode((await store.read(METRICS_FILE)) ?? new Uint8Array());
  return text.split('\n').flatMap((json) => {
    const line = parsed(json);
    return line ? [{ json, line }] : [];
  });
}

function parsed(json: string): MetricsLine | undefined {
  try {
    return JSON.parse(json) ?? undefined;
  } catch {
    return undefined;
  }
}
