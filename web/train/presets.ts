/** Models to begin with. All are over bytes. */
import type { TrainSettingsInput } from '../../src/train/options.js';

export interface Preset {
  readonly name: string;
  readonly about: string;
  readonly settings: TrainSettingsInput;
}

const preset = (
  [name, about]: readonly [string, string],
  [hiddenSize, layers, heads]: readonly [number, number, number],
  rest: Partial<TrainSettingsInput>,
): Preset => ({
  name,
  about,
  settings: { config: { vocabSize: 256, hiddenSize, layers, heads, tieWordEmbeddings: true }, recipe: 'fp8', ...rest },
});

export const PRESETS: readonly Preset[] = [
  preset(['Tiny', 'words appear within a minute'], [64, 2, 4], { steps: 1000, batchSize: 4, blockSize: 128 }),
  preset(['Small', 'spelling and some grammar'], [128, 3, 4], { steps: 1500, batchSize: 4, blockSize: 192 }),
  preset(['Medium', "npm start's size: a million parameters"], [160, 4, 5], {
    steps: 2000,
    batchSize: 4,
    blockSize: 256,
  }),
  preset(['Large', 'hours; sentences that hold together'], [320, 6, 8], { steps: 4000, batchSize: 8, blockSize: 256 }),
];
