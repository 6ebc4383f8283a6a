/** The names of flags: their spelling, the settings they belong to, and their use in error messages. */
import type { Option } from 'commander';
import type { SettingNames } from '../train/options.js';

/** Training settings and their flags. Names follow nanoGPT and Megatron. */
export const NUMBERS = {
  steps: '--max-iters',
  seed: '--seed',
  batchSize: '--batch-size',
  gradientAccumulation: '--gradient-accumulation-steps',
  blockSize: '--block-size',
  learningRate: '--learning-rate',
  minLearningRate: '--min-lr',
  warmupSteps: '--warmup-iters',
  weightDecay: '--weight-decay',
  beta1: '--beta1',
  beta2: '--beta2',
  gradClip: '--grad-clip',
  valFraction: '--val-fraction',
  lossSpike: '--loss-spike',
  maxSaturated: '--max-saturated',
  maxUnderflowed: '--max-underflowed',
  rewindInterval: '--rewind-interval',
} as const;
export const MODEL = {
  layers: '--n-layer',
  heads: '--n-head',
  kvHeads: '--n-kv-head',
  hiddenSize: '--n-embd',
  intermediateSize: '--n-ff',
} as const;
export const LOOKS = {
  stopAt: '--stop-at',
  evalInterval: '--eval-interval',
  evalWindows: '--eval-iters',
  checkpointInterval: '--checkpoint-interval',
  checkpointMinutes: '--checkpoint-minutes',
  monitorInterval: '--monitor-interval',
  sampleInterval: '--sample-interval',
  sharpnessInterval: '--sharpness-interval',
} as const;
export const FLAG_OF: SettingNames = {
  ...NUMBERS,
  ...MODEL,
  ...LOOKS,
  onAnomaly: '--on-anomaly',
  tieWordEmbeddings: '--no-tie',
};

/** Treats `--batch_size=4` and `--batch-size=4` as the same flag. Values are left alone, even those that begin with dashes. */
export function withDashes(argv: readonly string[], options: readonly Option[]): string[] {
  let [isValue, isOver] = [false, false];
  return argv.map((word) => {
    isOver ||= word === '--' && !isValue;
    if (isOver || isValue || !word.startsWith('--')) {
      isValue = false;
      return word;
    }
    const [name, ...value] = word.split('=');
    const flag = name.replaceAll('_', '-');
    isValue = value.length === 0 && options.some(({ long, required }) => required && long === flag);
    return [flag, ...value].join('=');
  });
}

/**
 * The message of an error, with a flag in place of the library option it begins with. Errors with a cause come from the file system and begin
 * with a path, which may look like an option's name: they are left alone.
 */
export function inFlags(error: Error, options: readonly Option[]): string {
  const { message, cause } = error;
  const refused = error instanceof RangeError || error instanceof TypeError;
  const path = refused && cause === undefined ? (/^([a-z][\w.]*): /i.exec(message)?.[1] ?? '') : '';
  const flags = path.split('.').map((name) => flagOf(name, options));
  const flag = flags.findLast((each) => each !== undefined);
  return flag === undefined ? message : flag + message.slice(path.length);
}

function flagOf(name: string, options: readonly Option[]): string | undefined {
  const setting = (FLAG_OF as Readonly<Record<string, string>>)[name];
  return options.find((option) => option.long === setting || option.attributeName() === name)?.long;
}
