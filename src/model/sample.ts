/**
 * Autoregressive generation: one token at a time over a cache of keys and values. Random numbers depend on seed and position, not on generator
 * state.
 */

import type { Recording } from '../engine/runtime.js';
import { describe, namesOf } from '../formats/check.js';
import { philoxWord } from '../formats/index.js';
import { TWO_32 } from '../formats/philox.js';
import { exp } from '../ops/math.js';
import { canPrepack, prepack } from '../ops/matmul.js';
import { read } from '../ops/quantize.js';
import { int32At, sizeOf, upload } from '../ops/tensor.js';
import type { Casts, Operand } from './casts.js';
import { SAMPLE_STREAM } from './init.js';
import { infer, type KvCache, type Model, newKvCache } from './transformer.js';

/** Options of sampling. */
export interface SampleOptions {
  /** 0 or more. */
  readonly maxNewTokens: number;
  /** 0 always takes the likeliest token; 1 (default) samples from the model's own distribution. */
  readonly temperature?: number;
  /** Sample only from the k likeliest tokens, 1 or more; default: all. */
  readonly topK?: number;
  /** Sample only from the likeliest tokens that together reach this probability, above 0 to 1 (default). */
  readonly topP?: number;
  /** A non-negative safe integer; default 0. */
  readonly seed?: number;
}

export const SAMPLE_OPTIONS = namesOf<SampleOptions>({
  maxNewTokens: true,
  temperature: true,
  topK: true,
  topP: true,
  seed: true,
});

export function checkSampleOptions({ maxNewTokens, temperature, topK, topP, seed }: SampleOptions): void {
  const fail = (name: string, expected: string, got: unknown) => {
    const Refusal = typeof got === 'number' ? RangeError : TypeError;
    throw new Refusal(`${name}: expected ${expected}, got ${describe(got)}`);
  };
  const isNumber = (value: unknown) => typeof value === 'number';
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 0))
    fail('maxNewTokens', 'an integer of 0 or more', maxNewTokens);
  if (temperature !== undefined && !(isNumber(temperature) && temperature >= 0 && temperature < Infinity)) {
    fail('temperature', 'a number of 0 or more', temperature);
  }
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) fail('topK', 'an integer of 1 or more', topK);
  if (topP !== undefined && !(isNumber(topP) && topP > 0 && topP <= 1))
    fail('topP', 'a number above 0 and at most 1', topP);
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
    fail('seed', 'a non-negative safe integer', seed);
  }
}

/** A new token, and the logits (V) it was drawn from. */
export interface Draw {
  readonly id: number;
  readonly logits: Float32Array;
}

/** The model's own probability of each token: the softmax of its logits at temperature 1, with no top-k or top-p cut. */
export function probabilities(logits: Float32Array): Float64Array {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const weights = Float64Array.from(logits, (logit) => exp(logit - top));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/** Yields the ids of new tokens after the prompt. */
export function* sample(
  model: Model,
  casts: Casts,
  prompt: ArrayLike<number>,
  options: SampleOptions,
): Generator<number, void> {
  for (const { id } of draws(model, casts, prompt, options)) yield id;
}

/** Like `sample`, with logits. When the model's positions run out, the oldest half of the text is dropped and the cache rebuilt. */
export function* draws(
  model: Model,
  casts: Casts,
  prompt: ArrayLike<number>,
  options: SampleOptions,
): Generator<Draw, void> {
  checkSampleOptions(options);
  const { config, rt } = model;
  const text = Array.from(prompt);
  if (text.length === 0) throw new RangeError('prompt: expected at least one token, got none');
  const bad = text.find((id) => !(Number.isInteger(id) && id >= 0 && id < config.vocabSize));
  if (bad !== undefined) throw new RangeError(`prompt: expected token ids below ${config.vocabSize}, got ${bad}`);
  const cache = newKvCache(model, Math.min(config.maxPositions, text.length + options.maxNewTokens));
  // The reader's scope may end before the text does.
  for (const ptr of cache.blocks) rt.arena.keep(ptr);
  const prepacked = new Prepacked(model);
  const steps = new Steps();
  try {
    let pending = text.slice(-config.maxPositions);
    for (let i = 0; i < options.maxNewTokens; i++) {
      if (cache.length + pending.length > config.maxPositions) {
        pending = text.slice(-Math.ceil(config.maxPositions / 2));
        cache.length = 0;
      }
      const { length } = cache;
      const logits = prepacked.use((packed) => {
        cache.length = length;
        if (pending.length === 1) return steps.logits(packed, casts, pending[0], cache);
        // What is recorded may use copies of weights that are freed where memory for this is refused.
        steps.free();
        return lastLogits(packed, casts, pending, cache);
      });
      const id = choose(logits, options, i);
      text.push(id);
      pending = [id];
      yield { id, logits };
    }
  } finally {
    steps.free();
    for (const ptr of cache.blocks) rt.arena.free(ptr);
    prepacked.free();
  }
}

/**
 * A model with its weights prepacked, because generation multiplies each by one row per token. Takes about as long as one token, and as much
 * memory again; where there is not as much, the model as it is gives the same bits.
 */
class Prepacked {
  private readonly model: Model;
  private readonly plain: Model['weights'];
  private readonly weights: Map<string, Operand>;

  constructor(model: Model) {
    this.plain = model.weights;
    this.weights = new Map(model.weights);
    this.model = { ...model, weights: this.weights };
    try {
      for (const [name, { forward, backward }] of this.plain) {
        // Rows of the embedding are looked up.
        if (name === 'embed' || !canPrepack(forward)) continue;
        const packed = prepack(model.rt, forward);
        this.weights.set(name, { forward: packed, backward });
        model.rt.arena.keep(packed.ptr);
      }
    } catch (error) {
      this.free();
      if (!(error instanceof RangeError)) throw error;
    }
  }

  /** Calls `run` with the model, and again without copies if memory is refused, as they may be what takes it. */
  use<T>(run: (model: Model) => T): T {
    try {
      return run(this.model);
    } catch (error) {
      if (!(error instanceof RangeError) || this.free() === 0) throw error;
      return run(this.model);
    }
  }

  /** Frees the copies, whose places the weights themselves take, and returns how many there were. */
  free(): number {
    const copies = [...this.weights].filter(([, { forward }]) => forward.prepacked);
    for (const [name, { forward }] of copies) {
      this.model.rt.arena.free(forward.ptr);
      this.weights.set(name, this.plain.get(name)!);
    }
    return copies.length;
  }
}

/** The logits after the last of the new tokens, which are added to the cache. */
export function lastLogits(model: Model, casts: Casts, tokens: readonly number[], cache: KvCache): Float32Array {
  const { rt } = model;
  return rt.scoped(() => {
    const logits = inferred(model, casts, tokens, cache).logits;
    return read(rt, logits).slice(sizeOf(logits.shape) - model.config.vocabSize);
  });
}

function inferred(model: Model, casts: Casts, tokens: readonly number[], cache: KvCache) {
  const ids = upload(model.rt, Int32Array.from(tokens));
  return { ids, logits: infer(model, casts, { ids, batch: 1, time: tokens.length }, cache) };
}

/**
 * Steps by a single token, which differ in its id and in the length of the cache only: the first is recorded, for the others its kernel calls
 * are made again. The host's work that this leaves out took 20 % of the time with 10.7 M parameters and half of it with 1 M.
 */
class Steps {
  /** Undefined before the first step; null if memory for it was refused, as it takes that of all intermediate results at once. */
  private recording: Recording<ReturnType<typeof inferred>> | null | undefined;

  /** `lastLogits` of one token. The model, casts and cache are the same each time. */
  logits(model: Model, casts: Casts, id: number, cache: KvCache): Float32Array {
    const { rt } = model;
    try {
      if (this.recording) {
        int32At(rt, this.recording.result.ids)[0] = id;
        this.recording.again();
        cache.length++;
      } else if (this.recording === undefined) {
        this.recording = recorded(model, casts, id, cache);
      }
      return this.recording ? read(rt, this.recording.result.logits) : lastLogits(model, casts, [id], cache);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  free(): void {
    this.recording?.free();
    this.recording = undefined;
  }
}

function recorded(model: Model, casts: Casts, id: number, cache: KvCache) {
  const { length } = cache;
  try {
    return model.rt.record(() => inferred(model, casts, [id], cache));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    cache.length = length;
    return null;
  }
}

/** Thrown where a model has diverged: no token can be drawn from its logits. */
export class LogitsError extends RangeError {}

/** Draws token number `index` of the run. Of equal logits the smaller id counts as likelier, so the result is the same everywhere. */
function choose(
  logits: Float32Array,
  { temperature = 1, topK = logits.length, topP = 1, seed = 0 }: SampleOptions,
  index: number,
): number {
  const top = logits.reduce((a, b) => Math.max(a, b));
  if (!Number.isFinite(top)) throw new LogitsError(`model: expected one with finite logits, got ${top}`);
  if (temperature === 0) return logits.indexOf(top);
  let kept = Array.from(logits.keys());
  // Sorting is most of the work here, and only these two need it.
  if (topK < logits.length || topP < 1) {
    kept = kept.sort((a, b) => logits[b] - logits[a] || a - b).slice(0, topK);
  }
  const weights = kept.map((id) => exp((logits[id] - top) / temperature));
  const nucleus = weights.reduce((a, b) => a + b, 0) * topP;
  let count = 0;
  let total = 0;
  while (count < kept.length && (count === 0 || total < nucleus)) total += weights[count++];
  let left = (philoxWord(index, SAMPLE_STREAM, 0, seed) / TWO_32) * total;
  for (let i = 0; i < count; i++) {
    left -= weights[i];
    if (left < 0) return kept[i];
  }
  return kept[count - 1];
}
