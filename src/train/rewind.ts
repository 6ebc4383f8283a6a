/** Where the policy 'rewind' returns to: states at multiples of an interval, so that a resumed run rewinds exactly as far as an uninterrupted one. */
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
 * The state file that a resumed run rewinds to: the one it was resumed from, unless only the previous one is a rewind point. Before the first
 * rewind point it is undefined, and the run rewinds to its beginning, as an uninterrupted one does.
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
 * The state at the rewind point, or at the beginning if there is none, set to skip the batches up to and including that of the step that `failed`
 * was about to take.
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
