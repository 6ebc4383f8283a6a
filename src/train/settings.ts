/**
 * The settings of a run, one row each: name, description and permitted values. The checks, the flags of `octavo train` with their help and their
 * table in docs/training.md, and the form of the web page are all generated from these rows.
 */
import { describe } from '../formats/check.js';
import type { LlamaConfig } from '../model/config.js';
import { ANOMALY_POLICIES } from './guard.js';
import type { Intervals, TrainSettings } from './options.js';

export interface Words {
  /** Label in a form. */
  readonly label: string;
  /** Description, as a phrase. */
  readonly about: string;
  /** Description of the default, if it is not a fixed number. */
  readonly otherwise?: string;
}

export interface Rule {
  readonly fallback: number | ((given: Partial<Record<NumberName, number>>) => number);
  readonly integer?: boolean;
  readonly min: number;
  readonly max?: number;
  /** Whether the bounds themselves are excluded. */
  readonly open?: boolean;
}

export type NumberName = {
  [Name in keyof TrainSettings]-?: TrainSettings[Name] extends number ? Name : never;
}[keyof TrainSettings];

/** Sizes of the model. Their rules depend on each other and are checked by `llamaConfig`. */
export type SizeName = keyof Pick<LlamaConfig, 'layers' | 'hiddenSize' | 'heads' | 'kvHeads' | 'intermediateSize'>;

/** Defaults follow the paper's run where it specifies one (betas, eps, decay, clip), and otherwise suit small byte-level models. */
export const SETTINGS: Readonly<Record<NumberName, Rule & Words>> = {
  steps: {
    label: 'Steps',
    about: 'updates of the weights; the learning rate is planned over all of them',
    fallback: 1000,
    integer: true,
    min: 1,
  },
  seed: {
    label: 'Seed',
    about: 'decides initial weights, order of the text and rounding; the same seed gives the same bits',
    fallback: 1337,
    integer: true,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
  },
  batchSize: {
    label: 'Batch size',
    about: 'sequences read at once; more take memory and make steps steadier',
    fallback: 8,
    integer: true,
    min: 1,
  },
  gradientAccumulation: {
    label: 'Passes per step',
    about: 'batches whose gradients are summed for a step: a larger batch without more memory',
    fallback: 1,
    integer: true,
    min: 1,
  },
  blockSize: {
    label: 'Block size',
    about: 'bytes (tokens) in a sequence: how far back the model can look',
    fallback: 256,
    integer: true,
    min: 1,
  },
  learningRate: {
    label: 'Learning rate',
    about: 'size of the steps at its peak; too large, and the loss jumps',
    fallback: 2e-3,
    min: 0,
  },
  minLearningRate: {
    label: 'Final learning rate',
    about: 'what the rate falls to at the end',
    otherwise: 'a tenth of the peak',
    fallback: (given) => (given.learningRate ?? 2e-3) / 10,
    min: 0,
  },
  warmupSteps: {
    label: 'Warm-up steps',
    about: 'steps over which the rate rises to its peak',
    otherwise: 'a twentieth of the run, at most 100',
    fallback: (given) => Math.min(100, Math.ceil((given.steps ?? 1000) / 20)),
    integer: true,
    min: 0,
  },
  weightDecay: {
    label: 'Weight decay',
    about: 'how hard the weights of matrices are pulled towards zero',
    fallback: 0.1,
    min: 0,
  },
  beta1: {
    label: 'Beta 1',
    about: 'decay rate of the first moment, the mean gradient',
    fallback: 0.9,
    min: 0,
    max: 1,
    open: true,
  },
  beta2: {
    label: 'Beta 2',
    about: 'decay rate of the second moment, the mean squared gradient',
    fallback: 0.95,
    min: 0,
    max: 1,
    open: true,
  },
  eps: {
    label: 'Epsilon',
    about: 'keeps an update finite where the second moment is zero',
    fallback: 1e-8,
    min: 0,
    open: true,
  },
  gradClip: {
    label: 'Gradient clip',
    about: 'largest norm of the gradient of all parameters; a larger gradient is scaled down to it; 0 for any',
    fallback: 1,
    min: 0,
  },
  valFraction: {
    label: 'Held out',
    about: 'share of the text, at its end, held out for validation',
    fallback: 0.1,
    min: 0,
    max: 1,
    open: true,
  },
  lossSpike: {
    label: 'Largest loss',
    about: 'largest loss of a step, as a multiple of the mean of the last 50 losses; 0 for any',
    // Off by default: in 26 minutes of Moby-Dick one batch of a single sequence had 3.3 times the mean of the last 50 losses.
    fallback: 0,
    min: 0,
  },
  maxSaturated: {
    label: 'Most saturated',
    about: 'largest share of an FP8 tensor that may be clipped',
    // With half of its values clipped, a tensor carries no useful information.
    fallback: 0.5,
    min: 0,
    max: 1,
  },
  maxUnderflowed: {
    label: 'Most underflowed',
    about: 'largest share of an FP8 tensor that may become zero',
    fallback: 1,
    min: 0,
    max: 1,
  },
  rewindInterval: {
    label: 'Rewind interval',
    about: 'steps between points to rewind to',
    fallback: 100,
    integer: true,
    min: 1,
  },
};

export const SIZES: Readonly<Record<SizeName, Words & { readonly integer: true }>> = {
  layers: { label: 'Layers', about: 'blocks of attention and feed-forward, one after the other', integer: true },
  hiddenSize: {
    label: 'Width',
    about: 'width of the model: numbers that stand for a byte between layers; a multiple of the heads',
    integer: true,
  },
  heads: {
    label: 'Heads',
    about: 'attention heads of a layer; each looks at the earlier bytes in its own way',
    integer: true,
  },
  kvHeads: {
    label: 'Key and value heads',
    about: 'fewer than heads share keys and values',
    otherwise: 'as many as heads',
    integer: true,
  },
  intermediateSize: {
    label: 'Feed-forward width',
    about: 'width of the feed-forward layers',
    otherwise: '8/3 of the width, rounded up to 32',
    integer: true,
  },
};

export const POLICY = {
  label: 'On an anomaly',
  about:
    'what is done about a step that is not finite or beyond a bound: stop, skip it, or rewind and pass over its batches',
  choices: ANOMALY_POLICIES,
  fallback: 'stop',
} as const;

export const INTERVALS: Readonly<Record<keyof Intervals, Rule & Words>> = {
  stopAt: {
    label: 'Stop at',
    about: 'stop after this step with a checkpoint; the schedule stays',
    otherwise: 'the last step',
    fallback: Number.MAX_SAFE_INTEGER,
    integer: true,
    min: 1,
  },
  evalInterval: {
    label: 'Evaluate every',
    about: 'steps between evaluations on the text held out',
    fallback: 100,
    integer: true,
    min: 1,
  },
  evalWindows: {
    label: 'Evaluation windows',
    about: 'held-out windows in each evaluation; the last uses all',
    fallback: 32,
    integer: true,
    min: 1,
  },
  checkpointInterval: {
    label: 'Checkpoint every',
    about: 'steps between checkpoints',
    fallback: 250,
    integer: true,
    min: 1,
  },
  checkpointMinutes: {
    label: 'Minutes to a checkpoint',
    about: 'save at least every so many minutes, whatever the interval; 0 for never',
    fallback: 10,
    min: 0,
  },
  healthInterval: {
    label: 'FP8 health every',
    about: 'steps between records in the log of how many FP8 values saturate or underflow',
    fallback: 10,
    integer: true,
    min: 1,
  },
  monitorInterval: {
    label: 'Look inside every',
    about: 'steps between looks inside FP8, written to the log, 0 for none',
    fallback: 0,
    integer: true,
    min: 0,
  },
  sampleInterval: {
    label: 'Sample every',
    about: 'steps between samples of what the model writes, 0 for none',
    fallback: 0,
    integer: true,
    min: 0,
  },
  sharpnessInterval: {
    label: 'Sharpness every',
    about: 'steps between measurements of sharpness, 0 for none',
    fallback: 0,
    integer: true,
    min: 0,
  },
};

/** Takes each number of a table as given, or its fallback, and checks it. */
export function numbersOf<Name extends string>(
  rules: Readonly<Record<Name, Rule>>,
  input: Partial<Record<Name, number>>,
  names: Readonly<Partial<Record<Name, string>>>,
): Record<Name, number> {
  const numbers = {} as Record<Name, number>;
  for (const name of Object.keys(rules) as Name[]) {
    const rule = rules[name];
    const given = input[name];
    const value =
      given !== undefined ? given : typeof rule.fallback === 'number' ? rule.fallback : rule.fallback(input);
    numbers[name] = check(names[name] ?? name, value, rule);
  }
  return numbers;
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
  const Refusal = typeof value === 'number' ? RangeError : TypeError;
  throw new Refusal(`${name}: expected ${kind} ${above}${below}, got ${describe(value)}`);
}
