/** Everything that determines a run, checked and complete. Two runs with equal settings, data and seed are bit-identical. */
import { checkObject, describe } from '../formats/check.js';
import { type LlamaConfig, type LlamaConfigInput, llamaConfig } from '../model/config.js';
import { parametersOf } from '../model/params.js';
import { frozen, MX_BLOCK, type Recipe, recipeOf } from '../ops/recipe.js';
import { type Alignment, alignmentOf } from './alignment.js';
import type { AnomalyPolicy } from './guard.js';
import { INTERVALS, numbersOf, POLICY, SETTINGS } from './settings.js';

/** Settings of a run; see SETTINGS for defaults and permitted values. */
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
  /** Peak learning rate, reached after warmupSteps and followed by cosine decay to minLearningRate. */
  readonly learningRate: number;
  readonly minLearningRate: number;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Maximum global norm of the gradient; 0 disables clipping. */
  readonly gradClip: number;
  readonly valFraction: number;
  /** What to do if the loss or gradient of a step is not finite, or exceeds one of the bounds below. */
  readonly onAnomaly: AnomalyPolicy;
  /** Maximum loss of a step, as a multiple of the mean of the last 50; 0 for no bound. */
  readonly lossSpike: number;
  /** Maximum shares of an FP8 tensor, 0 to 1, that may saturate, and that may become zero without being zero. */
  readonly maxSaturated: number;
  readonly maxUnderflowed: number;
  /** Steps between the points that 'rewind' goes back to. */
  readonly rewindInterval: number;
  /** Feed-forward channels that start aligned; none if absent. */
  readonly alignment?: Alignment;
}

/** Settings that only affect future steps, so that a resumed run may change them. */
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

/** Intervals, in steps, between what a run does besides training. They change the log, but never a bit of the state. */
export interface Intervals {
  /** Stop after this step with a checkpoint; the learning-rate schedule still runs to `steps`. */
  readonly stopAt: number;
  readonly evalInterval: number;
  /** Held-out windows per evaluation; the last evaluation uses all. */
  readonly evalWindows: number;
  readonly checkpointInterval: number;
  /** Minutes after which the next step is always followed by a checkpoint; 0 for never. */
  readonly checkpointMinutes: number;
  /** Steps between FP8 health records in the log. */
  readonly healthInterval: number;
  /** Steps between monitored steps (`monitor` lines in the log); 0 for none. */
  readonly monitorInterval: number;
  /** Steps between samples; 0 for none. */
  readonly sampleInterval: number;
  /** Steps between measurements of sharpness; 0 for none. If enabled, the last step is measured too. */
  readonly sharpnessInterval: number;
}

export const tokensPerStep = ({ batchSize, gradientAccumulation, blockSize }: TrainSettings): number =>
  batchSize * gradientAccumulation * blockSize;

/** Names of settings in messages, where they differ from the setting's own name: the command line uses its flags. */
export type SettingNames = Readonly<Partial<Record<keyof TrainSettings | keyof Intervals | keyof LlamaConfig, string>>>;

export const runIntervals = (input: Partial<Intervals>, names: SettingNames = {}): Intervals =>
  numbersOf(INTERVALS, input, names);

/**
 * Completes the settings with their defaults and checks them.
 *
 * @throws TypeError for the wrong kind or an unknown field of `config` or `recipe`, RangeError for the wrong value; messages use `names`.
 */
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
  // RECIPES.bf61 is undefined: falling back to fp8 would silently produce results for the wrong recipe.
  const recipe = frozen(recipeOf('recipe' in input ? input.recipe! : 'fp8'));
  if (recipe.scaling.mode === 'mx') checkBlocks(config, numbers.batchSize * numbers.blockSize, names);
  const alignment = input.alignment && { alignment: alignmentOf(input.alignment, config) };
  return Object.freeze({
    ...numbers,
    config,
    recipe,
    onAnomaly: policyOf(input.onAnomaly ?? POLICY.fallback, names),
    ...alignment,
  });
}

/** MX allows whole blocks only, and each dimension of a linear's operands is summed over in one of its three products. */
function checkBlocks(config: LlamaConfig, tokens: number, names: SettingNames): void {
  const { batchSize = 'batchSize', blockSize = 'blockSize' } = names;
  const sides = parametersOf(config).flatMap(({ role, name, shape }) =>
    role === 'linear' ? shape.map((n) => [name, n] as const) : [],
  );
  const [where, got] =
    [...sides, [`${batchSize} x ${blockSize}`, tokens] as const].find(([, n]) => n % MX_BLOCK !== 0) ?? [];
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
  throw new RangeError(`${name}: expected one of ${POLICY.choices.join(', ')}, got ${describe(given)}`);
}
