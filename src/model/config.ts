/**
 * The shape of a Llama-style transformer: pre-norm blocks of RMSNorm, rotary grouped-query attention and SwiGLU, without biases.
 * Every size in the model comes from this record; `interop/config.ts` reads and writes it as a Hugging Face `config.json`.
 */

import { checkObject } from '../formats/check.js';

/** Letters as in docs/architecture.md: V = vocabSize, C = hiddenSize, F = intermediateSize, H = heads, D = headDim. */
export interface LlamaConfig {
  /** V: token ids are 0 ... V - 1. */
  readonly vocabSize: number;
  /** C: width of the residual stream. */
  readonly hiddenSize: number;
  /** F: width of the feed-forward layer, for both the gate and the up projection. */
  readonly intermediateSize: number;
  readonly layers: number;
  /** H: query heads. */
  readonly heads: number;
  /** Key and value heads; each serves heads / kvHeads query heads. */
  readonly kvHeads: number;
  /** D = hiddenSize / heads; even, because rotary embedding rotates pairs (i, i + D/2). */
  readonly headDim: number;
  /** Longest sequence, in tokens. */
  readonly maxPositions: number;
  /** Rotary base: pair i rotates by position x ropeTheta^(-2i/D) radians. */
  readonly ropeTheta: number;
  /** Added to the mean square inside RMSNorm. */
  readonly rmsNormEps: number;
  /** Whether the head uses the embedding matrix instead of its own. */
  readonly tieWordEmbeddings: boolean;
}

/** The required fields; the rest have defaults. */
export type LlamaConfigInput = Pick<LlamaConfig, 'vocabSize' | 'hiddenSize' | 'layers' | 'heads'> &
  Partial<LlamaConfig>;

/** The name of each field in messages: its own, unless a reader of files or flags supplies another. */
export type LlamaConfigNames = Readonly<Record<keyof LlamaConfig, string>>;

/**
 * Bounds on the integers, far above any model that fits into 4 GiB of wasm memory. They keep products of two sizes exact, and stop a foreign file
 * from causing endless loops.
 */
const MAX_SIZE = 1 << 24;
const MAX_LAYERS = 4096;

const OWN_NAMES: LlamaConfigNames = {
  vocabSize: 'vocabSize',
  hiddenSize: 'hiddenSize',
  intermediateSize: 'intermediateSize',
  layers: 'layers',
  heads: 'heads',
  kvHeads: 'kvHeads',
  headDim: 'headDim',
  maxPositions: 'maxPositions',
  ropeTheta: 'ropeTheta',
  rmsNormEps: 'rmsNormEps',
  tieWordEmbeddings: 'tieWordEmbeddings',
};

/**
 * Returns a checked, complete, frozen record.
 *
 * Defaults: kvHeads = heads; headDim = hiddenSize / heads; intermediateSize = 8/3 hiddenSize, rounded up to a multiple of 32 (Llama's rule with a
 * smaller step); maxPositions 2048, ropeTheta 10000, rmsNormEps 1e-5 (Llama 2); tieWordEmbeddings false.
 *
 * @throws TypeError for the wrong kind or an unknown field, RangeError for the wrong value: field, expected, got.
 */
export function llamaConfig(input: LlamaConfigInput, otherNames: Partial<LlamaConfigNames> = {}): LlamaConfig {
  checkObject('config', input);
  const names = { ...OWN_NAMES, ...otherNames };
  for (const key of Object.keys(input)) {
    if (!Object.hasOwn(OWN_NAMES, key)) {
      throw new TypeError(`${key}: expected a field of LlamaConfig (${Object.keys(OWN_NAMES).join(', ')})`);
    }
  }
  const size = (field: keyof LlamaConfig, value: unknown, max = MAX_SIZE): number => {
    if (typeof value !== 'number') throw new TypeError(`${names[field]}: expected an integer, got ${show(value)}`);
    if (!(Number.isInteger(value) && value >= 1 && value <= max)) {
      throw new RangeError(`${names[field]}: expected an integer from 1 to ${max}, got ${value}`);
    }
    return value;
  };
  const positive = (field: keyof LlamaConfig, value: unknown): number => {
    if (typeof value !== 'number') throw new TypeError(`${names[field]}: expected a number, got ${show(value)}`);
    const single = Math.fround(value);
    if (!(single > 0 && single < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`${names[field]}: expected a positive number within float32, got ${value}`);
    }
    return value;
  };

  const vocabSize = size('vocabSize', input.vocabSize);
  const hiddenSize = size('hiddenSize', input.hiddenSize);
  const layers = size('layers', input.layers, MAX_LAYERS);
  const heads = size('heads', input.heads);
  const kvHeads = size('kvHeads', input.kvHeads ?? heads);
  if (hiddenSize % heads !== 0) {
    throw new RangeError(`${names.hiddenSize}: expected a multiple of ${names.heads} = ${heads}, got ${hiddenSize}`);
  }
  if (heads % kvHeads !== 0) {
    throw new RangeError(`${names.kvHeads}: expected a divisor of ${names.heads} = ${heads}, got ${kvHeads}`);
  }
  const headDim = size('headDim', input.headDim ?? hiddenSize / heads);
  if (headDim !== hiddenSize / heads) {
    const rule = `${names.hiddenSize} / ${names.heads} = ${hiddenSize / heads}`;
    throw new RangeError(`${names.headDim}: expected ${rule}, got ${headDim}`);
  }
  if (headDim % 2 !== 0) {
    const rule = `${names.headDim} = ${names.hiddenSize} / ${names.heads}`;
    throw new RangeError(`${rule}: expected an even number, for rotary pairs, got ${headDim}`);
  }
  const tieWordEmbeddings = input.tieWordEmbeddings ?? false;
  if (typeof tieWordEmbeddings !== 'boolean') {
    throw new TypeError(`${names.tieWordEmbeddings}: expected true or false, got ${show(tieWordEmbeddings)}`);
  }

  return Object.freeze({
    vocabSize,
    hiddenSize,
    intermediateSize: size('intermediateSize', input.intermediateSize ?? Math.ceil(hiddenSize / 12) * 32),
    layers,
    heads,
    kvHeads,
    headDim,
    maxPositions: size('maxPositions', input.maxPositions ?? 2048),
    ropeTheta: positive('ropeTheta', input.ropeTheta ?? 10000),
    rmsNormEps: positive('rmsNormEps', input.rmsNormEps ?? 1e-5),
    tieWordEmbeddings,
  });
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : value === null ? 'null' : typeof value;
}
