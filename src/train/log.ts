/** `metrics.jsonl`: what a run said about itself, a line each (events.ts), and what of it a run that goes on from an earlier step keeps. */
import type { Store } from '../engine/store.js';
import type { MetricsLine } from './events.js';

export const METRICS_FILE = 'metrics.jsonl';

/** The lines there are; none where there is no log. What was cut off as it was written is left out. */
export async function readLog(store: Store): Promise<MetricsLine[]> {
  return (await parsedLines(store)).map(({ line }) => line);
}

/** Drops what a run at `step` of `steps` will do again, and gives what stays. */
export async function rewindLog(store: Store, step: number, steps: number): Promise<MetricsLine[]> {
  const kept = (await parsedLines(store)).filter(({ line }) => isKept(line, step, steps));
  await store.write(METRICS_FILE, kept.map(({ json }) => `${json}\n`).join(''));
  return kept.map(({ line }) => line);
}

/** A run's end is done again, and so is a step that stopped it. */
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
