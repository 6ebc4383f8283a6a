/** Text from a model directory. */

import type { Runtime } from '../engine/runtime.js';
import { openDirectory, type Store } from '../engine/store.js';
import { type SampleOptions, sample } from '../model/sample.js';
import { type LoadedModel, loadModelFrom } from './model-files.js';

/** Reads a model directory into an engine: a path where there are files, or a Store. */
export async function loadModel(source: string | Store, { engine }: { engine: Runtime }): Promise<LoadedModel> {
  return loadModelFrom(engine, typeof source === 'string' ? await openDirectory(source) : source);
}

/** Yields text after the prompt as it is drawn; pieces end at whole characters. The same seed gives the same text everywhere. */
export function* generate(
  { model, casts, tokenizer }: LoadedModel,
  prompt: string,
  options: SampleOptions,
): Generator<string> {
  const decoder = tokenizer.streamDecoder();
  for (const id of sample(model, casts, tokenizer.encode(prompt), options)) {
    const text = decoder.push(id);
    if (text) yield text;
  }
  const rest = decoder.end();
  if (rest) yield rest;
}
