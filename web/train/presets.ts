/** Models to start from. All work on bytes, with the head tied to the embedding. */
import { parameterCount } from '../../src/model/params.js';
import { trainSettings } from '../../src/train/options.js';
import { type Values, valuesOf } from './form.js';

export interface Preset {
  readonly name: string;
  readonly about: string;
  readonly parameters: number;
  /** Values of the fields that it sets; all others are empty and left to the engine. */
  readonly values: Values;
}

const preset = (
  [name, about]: readonly [string, string],
  [hiddenSize, layers, heads]: readonly [number, number, number],
  rest: { readonly steps: number; readonly batchSize: number; readonly blockSize: number },
): Preset => {
  const input = { config: { vocabSize: 256, hiddenSize, layers, heads, tieWordEmbeddings: true }, ...rest };
  const parameters = parameterCount(trainSettings(input).config);
  return { name, about, parameters, values: { ...valuesOf(input), recipe: 'fp8' } };
};

export const PRESETS: readonly Preset[] = [
  preset(['Tiny', 'words appear within a minute'], [64, 2, 4], { steps: 1000, batchSize: 4, blockSize: 128 }),
  preset(['Small', 'spelling and some grammar'], [128, 3, 4], { steps: 1500, batchSize: 4, blockSize: 192 }),
  preset(['Medium', 'the default of octavo train'], [160, 4, 5], { steps: 2000, batchSize: 4, blockSize: 256 }),
  preset(['Large', 'hours; sentences that hold together'], [320, 6, 8], { steps: 4000, batchSize: 8, blockSize: 256 }),
];

export const isChosen = (preset: Preset, values: Values): boolean =>
  Object.entries(preset.values).every(([name, value]) => name === 'recipe' || !value || value === values[name]);

/** The values with those of the preset substituted. */
export const chosen = (preset: Preset, values: Values): Values => ({
  ...values,
  ...Object.fromEntries(Object.entries(preset.values).filter(([name, value]) => name !== 'recipe' && value)),
});
