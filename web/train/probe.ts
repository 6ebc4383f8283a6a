/** Measures how long a step takes here: runs a few real steps in a separate worker, shortly after the last change. */
import { useEffect, useState } from 'preact/hooks';
import type { TrainSettingsInput } from '../../src/train/options.js';
import type { TrainerEvent, TrainerRequest } from '../worker/protocol.js';

const DELAY_MS = 600;

export interface Probe {
  readonly secondsPerStep?: number;
  readonly refused?: string;
}

/** Undefined until known. Without settings nothing is measured. */
export function useProbe(input: TrainSettingsInput | undefined, threads: number): Probe | undefined {
  const [probe, setProbe] = useState<Probe>();
  const key = JSON.stringify(input);
  useEffect(() => {
    setProbe(undefined);
    if (!key) return;
    let worker: Worker | undefined;
    const timer = setTimeout(() => {
      worker = new Worker(new URL('../worker/trainer.ts', import.meta.url), { type: 'module' });
      const end = (found: Probe) => {
        setProbe(found);
        worker?.terminate();
      };
      worker.onmessage = ({ data }: MessageEvent<TrainerEvent>) => {
        if (data.type === 'probed') end(data);
        if (data.type === 'failed') end({ refused: data.message });
      };
      worker.onerror = ({ message }) => end({ refused: message || 'the training worker could not be started' });
      const settings = JSON.parse(key) as TrainSettingsInput;
      worker.postMessage({ type: 'probe', settings, threads } satisfies TrainerRequest);
    }, DELAY_MS);
    return () => {
      clearTimeout(timer);
      worker?.terminate();
    };
  }, [key, threads]);
  return probe;
}
