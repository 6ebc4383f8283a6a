/** What a run will need on this machine, or why it cannot start. */
import { parameterCount } from '../../src/model/params.js';
import { MEMORY_BYTES, mayFit, trainingBytes } from '../../src/train/memory.js';
import type { TrainSettings } from '../../src/train/options.js';
import { count, duration, size } from '../ui/words.js';
import type { Probe } from './probe.js';

interface Props {
  readonly settings: TrainSettings;
  readonly probe: Probe | undefined;
  /** Whether a run is training, in which case a probe would only measure the remaining capacity. */
  readonly busy: boolean;
}

export function Estimate({ settings, probe, busy }: Props) {
  const needed = size(trainingBytes(settings));
  const memory = size(MEMORY_BYTES);
  if (!mayFit(settings)) {
    return (
      <strong class="wrong">
        Does not fit: this run needs {needed} of memory, and a page has {memory}. Choose a smaller model, batch size or
        block size.
      </strong>
    );
  }
  return (
    <>
      {count(parameterCount(settings.config))} parameters.{' '}
      <strong>
        {trainingBytes(settings) <= MEMORY_BYTES ? 'Fits' : 'May just fit'}: {needed} of {memory}
      </strong>
      {time(settings.steps, probe, busy)}
    </>
  );
}

function time(steps: number, probe: Probe | undefined, busy: boolean): string {
  if (busy) return '. Its speed can be measured when no other run trains.';
  if (!probe) return '. Trying a few steps on this machine …';
  if (probe.refused) return `, but it does not run here: ${probe.refused}.`;
  const { secondsPerStep = 0 } = probe;
  return `; about ${duration(100 * secondsPerStep)} per 100 steps on this machine, ${duration(secondsPerStep * steps)} for all ${count(steps)}.`;
}
