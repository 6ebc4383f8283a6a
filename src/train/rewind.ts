/** Where the policy 'rewind' goes back to: states at multiples of an interval, so that a resumed run goes back as far as a whole one. */
import type { Runtime } from '../engine/runtime.js';
import type { Store } from '../engine/store.js';
import {
  PREVIOUS_STATE_FILE,
  previousState,
  type Restored,
  type Resumed,
  type RunIdentity,
  restoreState,
  stepOfState,
} from './checkpoint.js';
import { inFile } from './model-files.js';
import type { TrainSettings } from './options.js';
import { initialState, type TrainingState } from './state.js';

export const isRewindPoint = ({ onAnomaly, rewindInterval }: TrainSettings, step: number): boolean =>
  onAnomaly === 'rewind' && step % rewindInterval === 0;

/**
 * The state file to go back to in a resumed run: the one resumed from, unless only the one before it is a point to rewind to. Before the first
 * point it is none: the run goes back to its beginning, as a whole one does.
 */
export async function rewindPointOf(
  rt: Runtime,
  settings: TrainSettings,
  store: Store,
  { state, file }: Resumed,
): Promise<Uint8Array | undefined> {
  if (isRewindPoint(settings, state.step)) return file;
  const previous = await previousState(store);
  const step = previous && inFile(`${store.path}/${PREVIOUS_STATE_FILE}`, () => stepOfState(rt, previous));
  if (previous && step !== undefined && isRewindPoint(settings, step)) return previous;
  return state.step < settings.rewindInterval ? undefined : file;
}

/**
 * The state of the point, or without one that of the beginning, set to go on past the batches up to that of the step which `failed` was about
 * to take.
 */
export function rewound(
  rt: Runtime,
  identity: RunIdentity,
  point: Uint8Array | undefined,
  failed: TrainingState,
): Restored {
  const { settings } = identity;
  const restored = point ? restoreState(rt, identity, point) : { state: initialState(rt, settings), losses: [] };
  restored.state.offset = failed.step + 1 + failed.offset - restored.state.step;
  restored.state.failures = failed.failures + 1;
  return restored;
}
