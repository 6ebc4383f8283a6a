/** Decides which steps must not be taken, and what a run does about them. Every decision depends on the settings and the state alone. */
import type { RoleHealth } from '../model/casts.js';
import type { TrainSettings } from './options.js';

export const ANOMALY_POLICIES = ['stop', 'skip', 'rewind'] as const;
/**
 * Policies for an anomaly:
 *
 *   stop    saves the state before the step and ends the run
 *   skip    passes over the step: its batch and its place in the schedule are used up, nothing else changes
 *   rewind  returns to the last checkpoint at a multiple of the interval and continues with the batches after the one that failed
 */
export type AnomalyPolicy = (typeof ANOMALY_POLICIES)[number];

/** After this many anomalies without a good step (skip) or another checkpoint (rewind) in between, the next one ends the run. */
export const MAX_FAILURES = 10;
/** Number of previous losses whose mean a step's loss is compared with. */
export const LOSS_WINDOW = 50;

export interface Anomaly {
  readonly kind: 'non_finite' | 'loss_spike' | 'saturation' | 'underflow';
  /** Message with the step, the tensor, what was expected and what was got. */
  readonly what: string;
}

/** Thrown for a step that was not taken. The state is unchanged. */
export class AnomalyError extends Error {
  override name = 'AnomalyError';
  constructor(readonly anomaly: Anomaly) {
    super(anomaly.what);
  }
}

/** What is known of a step before it changes the state. */
export interface Outcome {
  readonly step: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly health: ReadonlyMap<string, RoleHealth>;
}

/** The first anomaly found in a step. `losses` are those of the previous steps; `culprit` says, for messages, which gradient went wrong first. */
export function findAnomaly(
  settings: TrainSettings,
  losses: readonly number[],
  { step, loss, gradNorm, health }: Outcome,
  culprit: () => string,
): Anomaly | undefined {
  if (!(Number.isFinite(loss) && Number.isFinite(gradNorm))) {
    const got = `loss ${loss} and gradient norm ${gradNorm}${culprit()}`;
    return { kind: 'non_finite', what: `step ${step}: expected a finite loss and gradient, got ${got}` };
  }
  const { lossSpike, maxSaturated, maxUnderflowed } = settings;
  const mean = losses.reduce((a, b) => a + b, 0) / losses.length;
  if (lossSpike > 0 && losses.length >= LOSS_WINDOW && loss > lossSpike * mean) {
    const most = `a loss of at most ${(lossSpike * mean).toFixed(4)}, ${lossSpike} times the mean of the last ${LOSS_WINDOW}`;
    return { kind: 'loss_spike', what: `step ${step}: expected ${most}, got ${loss.toFixed(4)}` };
  }
  for (const [tensor, { saturated, underflowed }] of health) {
    if (saturated > maxSaturated) return beyond('saturation', 'saturated', step, tensor, saturated, maxSaturated);
    if (underflowed > maxUnderflowed) {
      return beyond('underflow', 'underflowed', step, tensor, underflowed, maxUnderflowed);
    }
  }
  return undefined;
}

function beyond(kind: Anomaly['kind'], how: string, step: number, tensor: string, got: number, most: number): Anomaly {
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const what = `step ${step}: expected at most ${percent(most)} of ${tensor} ${how}, got ${percent(got)}`;
  return { kind, what };
}
