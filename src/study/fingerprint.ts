/**
 * Identifies the code as far as it determines a run's log: by the bits that it computes in a few steps of a tiny model. A change of the code
 * that alters them invalidates finished runs; any other change leaves them valid.
 */
import type { Runtime } from '../engine/runtime.js';
import { DataOrder } from '../train/data.js';
import { AnomalyError } from '../train/guard.js';
import type { TrainSettings } from '../train/options.js';
import { freeState, initialState, stateDigest } from '../train/state.js';
import { evaluate, evaluateTraining, trainStep } from '../train/step.js';

/** Version of the files that a run leaves and of how a study reads them. */
const VERSION = 1;

const STEPS = 3;
const PROBE = { blockSize: 32, batchSize: 2, gradientAccumulation: 2, warmupSteps: 1, steps: STEPS, seed: 1 };
/** Multiples of 128 and 32, for the recipes that scale by whole blocks. */
const SIZES = {
  hiddenSize: 128,
  intermediateSize: 256,
  layers: 1,
  heads: 4,
  kvHeads: 2,
  headDim: 32,
  maxPositions: 32,
};

/** Uses the recipe and hyperparameters of the run, so that code a run does not use cannot change its key. */
export function fingerprint(rt: Runtime, settings: TrainSettings): string {
  const probe = { ...settings, ...PROBE, config: { ...settings.config, ...SIZES } };
  const text = Uint8Array.from({ length: 512 }, (_, i) => (i * i * 7 + i * 13) % settings.config.vocabSize);
  const state = initialState(rt, probe);
  try {
    const data = new DataOrder(text, probe.blockSize, probe.seed);
    for (let step = 0; step < STEPS; step++) trainStep(rt, probe, state, data);
    const losses = [evaluate, evaluateTraining].map((loss) => loss(rt, probe, state, text));
    return `${VERSION} ${stateDigest(rt, state)} ${losses.join(' ')}`;
  } catch (error) {
    if (error instanceof AnomalyError) return `${VERSION} ${error.message}`;
    throw error;
  } finally {
    freeState(rt, state);
  }
}
