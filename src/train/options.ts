/** Everything that determines a run, checked and complete. Two runs with equal settings, data and seed have equal bits. */
import { type LlamaConfig, type LlamaConfigInput, llamaConfig } from '../model/config.js';
import { type Recipe, recipeOf } from '../ops/recipe.js';

export interface TrainSettings {
  readonly config: LlamaConfig;
  readonly recipe: Recipe;
  /** Optimizer steps of the whole schedule. */
  readonly steps: number;
  readonly seed: number;
  /** Sequences per forward and backward pass. */
  readonly batchSize: number;
  /** Passes per optimizer step; gradients are summed in float32. */
  readonly gradientAccumulation: number;
  /** Tokens per sequence. */
  readonly blockSize: number;
  /** Peak learning rate, reached after warmupSteps, then cosine decay to minLearningRate. */
  readonly learningRate: number;
  readonly minLearningRate: number;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Largest global norm of the gradient; 0 clips nothing. */
  readonly gradClip: number;
  readonly valFraction: number;
}

export type TrainSettingsInput = Partial<Omit<TrainSettings, 'config' | 'recipe'>> & {
  readonly config: LlamaConfigInput;
  readonly recipe?: string | Recipe;
};

type NumberName = {
  [Name in keyof TrainSettings]: TrainSettings[Name] extends number ? Name : never;
}[keyof TrainSettings];

interface Rule {
  readonly fallback: number | ((given: Partial<Record<NumberName, number>>) => number);
  readonly integer?: boolean;
  readonly min: number;
  readonly max?: number;
  /** The bounds themselves are not allowed. */
  readonly open?: boolean;
}

/** Defaults follow the paper's run where it has one (betas, eps, decay, clip) and small byte-level models elsewhere. */
export const SETTINGS: Readonly<Record<NumberName, Rule>> = {
  steps: { fallback: 1000, integer: true, min: 1 },
  seed: { fallback: 1337, integer: true, min: 0, max: Number.MAX_SAFE_INTEGER },
  batchSize: { fallback: 8, integer: true, min: 1 },
  gradientAccumulation: { fallback: 1, integer: true, min: 1 },
  blockSize: { fallback: 256, integer: true, min: 1 },
  learningRate: { fallback: 3e-3, min: 0 },
  minLearningRate: { fallback: (given) => (given.learningRate ?? 3e-3) / 10, min: 0 },
  warmupSteps: { fallback: (given) => Math.min(100, Math.ceil((given.steps ?? 1000) / 20)), integer: true, min: 0 },
  weightDecay: { fallback: 0.1, min: 0 },
  beta1: { fallback: 0.9, min: 0, max: 1, open: true },
  beta2: { fallback: 0.95, min: 0, max: 1, open: true },
  eps: { fallback: 1e-8, min: 0, open: true },
  gradClip: { fallback: 1, min: 0 },
  valFraction: { fallback: 0.1, min: 0, max: 1, open: true },
};

export function trainSettings(input: TrainSettingsInput): TrainSettings {
  const numbers = {} as Record<NumberName, number>;
  for (const name of Object.keys(SETTINGS) as NumberName[]) {
    const rule = SETTINGS[name];
    const value = input[name] ?? (typeof rule.fallback === 'number' ? rule.fallback : rule.fallback(input));
    numbers[name] = check(name, value, rule);
  }
  const config = llamaConfig({ maxPositions: numbers.blockSize, ...input.config });
  if (numbers.blockSize > config.maxPositions) {
    throw new RangeError(
      `blockSize: expected at most the model's ${config.maxPositions} positions, got ${numbers.blockSize}`,
    );
  }
  for (const name of ['hiddenSize', 'intermediateSize'] as const) {
    if (config[name] % 4 !== 0)
      throw new RangeError(`${name}: expected a multiple of 4 for training, got ${config[name]}`);
  }
  return Object.freeze({ ...numbers, config, recipe: recipeOf(input.recipe ?? 'fp8') });
}

function check(name: string, value: unknown, { integer, min, max = Number.POSITIVE_INFINITY, open }: Rule): number {
  const inside =
    typeof value === 'number' &&
    (!integer || Number.isSafeInteger(value)) &&
    (open ? value > min && value < max : value >= min && value <= max) &&
    value < Number.POSITIVE_INFINITY;
  if (inside) return value;
  const kind = integer ? 'an integer' : 'a number';
  const above = open ? `above ${min}` : `of at least ${min}`;
  const below = max === Number.POSITIVE_INFINITY ? '' : open ? ` and below ${max}` : ` and at most ${max}`;
  throw new RangeError(`${name}: expected ${kind} ${above}${below}, got ${String(value)}`);
}
