/** Training, checkpoints, evaluation and generation. */
export type { Store } from '../engine/store.js';
export { openDirectory } from '../engine/store.js';
export { FileError } from '../interop/errors.js';
export type { LlamaConfig, LlamaConfigInput } from '../model/config.js';
export { llamaConfig } from '../model/config.js';
export { parameterCount } from '../model/params.js';
export type { SampleOptions } from '../model/sample.js';
export { RECIPES, type Recipe, type RecipeName, recipeOf } from '../ops/recipe.js';
export type * from './events.js';
export { generate, loadModel } from './generate.js';
export { METRICS_FILE } from './log.js';
export { type TrainOptions, train } from './loop.js';
export { trainingBytes } from './memory.js';
export type { LoadedModel } from './model-files.js';
export { type TrainSettings, trainSettings } from './options.js';
export { SUMMARY_FILE, TrainingError } from './output.js';
export { SETTINGS } from './settings.js';
export { meanLoss } from './step.js';
