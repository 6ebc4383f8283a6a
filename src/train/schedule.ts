/** Learning rate as a function of the step: linear warm-up, then cosine decay, using our own cosine. */
import { cos } from '../ops/math.js';
import type { TrainSettings } from './options.js';

/** Learning rate of a step from 1 to steps. */
export function learningRateAt(step: number, settings: TrainSettings): number {
  const { learningRate, minLearningRate, warmupSteps, steps } = settings;
  if (step <= warmupSteps) return (learningRate * step) / warmupSteps;
  const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps);
  return minLearningRate + (learningRate - minLearningRate) * 0.5 * (1 + cos(Math.PI * progress));
}
