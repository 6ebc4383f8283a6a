/** Generates text from a model directory. */

import type { Runtime } from '../engine/runtime.js';
import type { Store } from '../engine/store.js';
import { checkObject, checkOptions, describe } from '../formats/check.js';
import { SAMPLE_OPTIONS, type SampleOptions, sample } from '../model/sample.js';
import { engineOf, type LoadedModel, loadModelFrom, storeOf } from './model-files.js';

/**
 * Loads a model directory into an engine: a path where there is a file system, or a Store.
 *
 * @throws FileError for files that do not describe a supported model.
 */
export async function loadModel(source: string | Store, options: { engine: Runtime }): Promise<LoadedModel> {
  const store = await storeOf('source', source);
  return loadModelFrom(engineOf(options), store);
}

/**
 * Yields the text after the prompt as it is drawn, in pieces of whole characters. The same seed gives the same text everywhere.
 *
 * @throws TypeError for a model that was disposed, RangeError for an empty prompt or an option outside its range.
 */
export function* generate(loaded: LoadedModel, prompt: string, options: SampleOptions): Generator<string> {
  checkObject('model', loaded);
  if (typeof prompt !== 'string') throw new TypeError(`prompt: expected text, got ${describe(prompt)}`);
  checkOptions(options, SAMPLE_OPTIONS);
  checkLoaded(loaded);
  const { model, casts, tokenizer } = loaded;
  const decoder = tokenizer.streamDecoder();
  for (const id of sample(model, casts, tokenizer.encode(prompt), options)) {
    const text = decoder.push(id);
    if (text) yield text;
    // The caller may have disposed of the model in the meantime.
    checkLoaded(loaded);
  }
  const rest = decoder.end();
  if (rest) yield rest;
}

function checkLoaded(loaded: LoadedModel): void {
  if (loaded.model?.weights.size) return;
  const got = loaded.model ? 'one that was disposed' : describe(loaded);
  throw new TypeError(`model: expected one that loadModel() gave, got ${got}`);
}
