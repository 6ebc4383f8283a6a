/** Everything that determines a run, checked and complete. Two runs with equal settings, data and seed have equal bits. */
import { checkObject } from '../formats/check.js';
import { type LlamaConfig, type LlamaConfigInput, llamaConfig } from '../model/config.js';
import { parametersOf } from '../model/params.js';
import { frozen, MX_BLOCK, type Recipe, recipeOf } from '../ops/recipe.js';
import { type Alignment, alignmentOf } from './alignment.js';
import type { AnomalyPolicy } from './guard.js';
import { INTERVALS, numbersOf, POLICY, SETTINGS } from './settings.js';

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
  /** What to do about a step whose loss or gradient is not finite, or that goes beyond one of the bounds below. */
  readonly onAnomaly: AnomalyPolicy;
  /** Largest loss of a step, in means of the last 50; 0 bounds nothing. */
  readonly lossSpike: number;
  /** Largest shares of an FP8 tensor, 0 to 1, that may saturate, or become zero without being zero. */
  readonly maxSaturated: number;
  readonly maxUnderflowed: number;
  /** Steps between the points that 'rewind' goes back to. */
  readonly rewindInterval: number;
  /** Channels of the feed-forward layers that begin aligned; none without it. */
  readonly alignment?: Alignment;
}

/** Settings that only bear on the steps to come: a resumed run may have others. */
export const GUARD_SETTINGS: readonly (keyof TrainSettings)[] = [
  'onAnomaly',
  'lossSpike',
  'maxSaturated',
  'maxUnderflowed',
  'rewindInterval',
];

export type TrainSettingsInput = Partial<Omit<TrainSettings, 'config' | 'recipe'>> & {
  readonly config: LlamaConfigInput;
  readonly recipe?: string | Recipe;
};

/** Steps between the things a run does beside training. They change the log and never a bit of the state. */
export interface Intervals {
  /** Stop after this step with a checkpoint; the schedule still runs to `steps`. */
  readonly stopAt: number;
  readonly evalInterval: number;
  /** Held-out windows in each evaluation; the last one uses all. */
  readonly evalWindows: number;
  readonly checkpointInterval: number;
  /** Minutes after which the next step is followed by a checkpoint in any case; 0 for never. */
  readonly checkpointMinutes: number;
  /** Steps between FP8 health records in the log. */
  readonly healthInterval: number;
  /** Steps between looks into a step (`monitor` lines in the log), 0 for none. */
  readonly monitorInterval: number;
  /** Steps between samples, 0 for none. */
  readonly sampleInterval: number;
  /** Steps between measurements of sharpness, 0 for none; the last step has one as well. */
  readonly sharpnessInterval: number;
}

export const tokensPerStep = ({ batchSize, gradientAccumulation, blockSize }: TrainSettings): number =>
  batchSize * gradientAccumulation * blockSize;

/** How messages name a setting: its own name, unless the command line puts its flags here. */
export type SettingNames = Readonly<Partial<Record<keyof TrainSettings | keyof Intervals | keyof LlamaConfig, string>>>;

export const runIntervals = (input: Partial<Intervals>, names: SettingNames = {}): Intervals =>
  numbersOf(INTERVALS, input, names);

export function trainSettings(input: TrainSettingsInput, names: SettingNames = {}): TrainSettings {
  checkObject('settings', input);
  checkObject('config', input.config);
  const numbers = numbersOf(SETTINGS, input, names);
  const config = llamaConfig({ maxPositions: numbers.blockSize, ...input.config }, names);
  if (numbers.blockSize > config.maxPositions) {
    throw new RangeError(
      `${names.blockSize ?? 'blockSize'}: expected at most the model's ${config.maxPositions} positions, got ${numbers.blockSize}`,
    );
  }
  for (const name of ['hiddenSize', 'intermediateSize'] as const) {
    if (config[name] % 4 !== 0) {
      throw new RangeError(`${names[name] ?? name}: expected a multiple of 4 for training, got ${config[name]}`);
    }
  }
  // RECIPES.bf61 is undefined: to train fp8 instead would be a wrong figure without a word.
  const recipe = frozen(recipeOf('recipe' in input ? input.recipe! : 'fp8'));
  if (recipe.scaling.mode === 'mx') checkBlocks(config, numbers.batchSize * numbers.blockSize);
  const alignment = input.alignment && { alignment: alignmentOf(input.alignment, config) };
  return Object.freeze({
    ...numbers,
    config,
    recipe,
    onAnomaly: policyOf(input.onAnomaly ?? POLICY.fallback, names),
    ...alignment,
  });
}

/** MX knows whole blocks only, and every side of a linear's operands is summed over in one of its three products. */
function checkBlocks(config: LlamaConfig, tokens: number): void {
  const sides = parametersOf(config).flatMap(({ role, name, shape }) =>
    role === 'linear' ? shape.map((n) => [name, n] as const) : [],
  );
  const [where, got] = [...sides, ['batchSize x blockSize', tokens] as const].find(([, n]) => n % MX_BLOCK !== 0) ?? [];
  if (where) {
    throw new RangeError(
      `recipe.scaling.mode: expected sizes that are multiples of ${MX_BLOCK} for mx, got ${got} in ${where}`,
    );
  }
}

function policyOf(given: unknown, names: SettingNames): AnomalyPolicy {
  const policy = POLICY.choices.find((name) => name === given);
  if (policy) return policy;
  const name = names.onAnomaly ?? 'onAnomaly';
  throw new RangeError(`${name}: expected one of ${POLICY.choices.join(', ')}, got ${String(given)}`);
}
