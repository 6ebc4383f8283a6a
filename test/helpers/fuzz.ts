/** Damaged headers, configs and tokenizers against their readers: what is accepted is what the file says by another reader. */
import { fromHuggingFaceConfig } from '../../src/interop/config.js';
import { parseSafetensorsHeader, type SafetensorsHeader } from '../../src/interop/safetensors.js';
import { parseTokenizer } from '../../src/interop/tokenizer.js';
import type { LlamaConfig } from '../../src/model/config.js';
import { oracleHeader } from './header-oracle.js';
import {
  framed,
  mutateBytes,
  mutateJson,
  mutateLength,
  mutateSize,
  mutateTensors,
  type Tree,
  treeOf,
} from './mutate.js';
import type { Random } from './rng.js';
import type { Tally } from './tally.js';

/** A safetensors file in pieces, ready to be damaged. */
export interface Source {
  readonly file: Uint8Array;
  /** Its header alone, 8 bytes of length included. */
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  readonly tree: Tree;
}

export function sourceOf(file: Uint8Array): Source {
  const dataStart = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const tree = treeOf(JSON.parse(new TextDecoder().decode(file.subarray(8, dataStart))));
  return { file, header: file.subarray(0, dataStart), data: file.subarray(dataStart), tree };
}

/** A header without data, and how long its file is. */
function mutantHeader(random: Random, source: Source, donor: Source): [header: Uint8Array, fileLength: number] {
  const { data, tree } = source;
  let header: Uint8Array;
  const kind = random.integer(0, 9);
  if (kind < 2) header = mutateBytes(random, source.header, donor.header);
  else if (kind < 4) header = framed(mutateBytes(random, source.header.subarray(8), donor.header), undefined, false);
  else header = framed(kind < 5 ? mutateJson(random, tree) : mutateTensors(random, tree));
  if (random.integer(0, 19) === 0) header = mutateLength(random, header);
  const cut = random.integer(0, 19) === 0 ? random.pick([1, -1, 8, -header.length, data.length]) : 0;
  return [header, Math.max(0, header.length + data.length - cut)];
}

/** The reader of headers and the oracle say the same, whatever it is. */
export function headerCase(tally: Tally, random: Random, sources: readonly Source[]): void {
  const [header, fileLength] = mutantHeader(random, random.pick(sources), random.pick(sources));
  // A header that says it is longer than what is here asks for more, as documented; here that is a file cut short.
  const length = header.length >= 8 ? 8 + Number(new DataView(header.buffer).getBigUint64(0, true)) : 0;
  const whole = length > header.length ? Math.min(fileLength, header.length) : fileLength;
  const got = tally.read(() => parseSafetensorsHeader(header, whole));
  expectSameHeader(got, oracleHeader(header, whole), header);
}

/** In the order of the text, and no matter how a record's own keys are ordered. */
const plainHeader = ({ entries, metadata, dataStart }: SafetensorsHeader): string =>
  JSON.stringify([
    dataStart,
    Object.keys(metadata)
      .sort()
      .map((key) => [key, metadata[key]]),
    Array.from(entries, ([name, { dtype, shape, begin, end }]) => [name, dtype, shape, begin, end]),
  ]);

function expectSameHeader(
  got: SafetensorsHeader | undefined,
  expected: SafetensorsHeader | undefined,
  header: Uint8Array,
): void {
  const [one, two] = [got && plainHeader(got), expected && plainHeader(expected)];
  if (one === two) return;
  const text = JSON.stringify(new TextDecoder().decode(header.subarray(0, 2000)));
  throw new Error(`expected ${two ?? 'a refusal'}, got ${one ?? 'a refusal'}, of ${text}`);
}

const jsonOf = (file: Uint8Array): Record<string, unknown> => JSON.parse(new TextDecoder().decode(file));
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Damage to a JSON file: to its bytes or to its tree. */
export function mutantJson(random: Random, file: Uint8Array, tree: Tree, donor: Uint8Array): Uint8Array {
  const kind = random.integer(0, 5);
  if (kind < 2) return mutateBytes(random, file, donor);
  return encode(kind < 4 ? mutateJson(random, tree) : mutateSize(random, tree));
}

/** No number in it is past float64. */
function allFinite(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).every(allFinite);
  return typeof value !== 'number' || Number.isFinite(value);
}

/** What a config.json that was accepted says, read without a word of its reader. */
export function expectConfig(config: LlamaConfig, file: Uint8Array): void {
  const json = jsonOf(file);
  const rope = (json.rope_parameters ?? {}) as Record<string, unknown>;
  const expected: LlamaConfig = {
    vocabSize: json.vocab_size as number,
    hiddenSize: json.hidden_size as number,
    intermediateSize: json.intermediate_size as number,
    layers: json.num_hidden_layers as number,
    heads: json.num_attention_heads as number,
    kvHeads: (json.num_key_value_heads ?? json.num_attention_heads) as number,
    headDim: (json.hidden_size as number) / (json.num_attention_heads as number),
    maxPositions: json.max_position_embeddings as number,
    ropeTheta: (rope.rope_theta ?? json.rope_theta ?? 10000) as number,
    rmsNormEps: (json.rms_norm_eps ?? 1e-6) as number,
    tieWordEmbeddings: (json.tie_word_embeddings ?? false) as boolean,
  };
  expectEqual('config', JSON.stringify(config), JSON.stringify(expected));
  const meant = [
    json.model_type === 'llama',
    ['silu', undefined].includes(json.hidden_act as string),
    ![json.attention_bias, json.mlp_bias].some((value) => value !== false && value !== undefined),
    ![json.rope_scaling, json.sliding_window, json.attention_dropout || null].some((value) => (value ?? null) !== null),
    [1, null, undefined].includes(json.partial_rotary_factor as number),
    [undefined, null, 'fp8'].includes((json.quantization_config as { quant_method: string } | null)?.quant_method),
  ];
  expectEqual('a model that we compute', meant.every(Boolean), true);
  expectEqual('finite numbers', allFinite(json), true);
}

export function expectEqual(what: string, got: unknown, expected: unknown): void {
  if (!Object.is(got, expected)) throw new Error(`${what}: expected ${String(expected)}, got ${String(got)}`);
}

export function configCase(tally: Tally, random: Random, file: Uint8Array, donor: Uint8Array, tree: Tree): void {
  const mutant = mutantJson(random, file, tree, donor);
  const got = tally.read(() => fromHuggingFaceConfig(mutant));
  if (got) expectConfig(got.config, mutant);
}

/** An accepted tokenizer gives the ids of the original: its table, nothing merged, nothing put in front or split. */
export function tokenizerCase(tally: Tally, random: Random, file: Uint8Array, donor: Uint8Array, tree: Tree): void {
  const mutant = mutantJson(random, file, tree, donor);
  if (tally.read(() => parseTokenizer(mutant))) expectEqual('tokenizer', idsOf(mutant), idsOf(file));
}

function idsOf(file: Uint8Array): string {
  const { model, normalizer, added_tokens, pre_tokenizer } = jsonOf(file) as Record<string, Record<string, unknown>>;
  const { type, add_prefix_space, use_regex } = pre_tokenizer;
  const vocab = Object.entries(model.vocab as Record<string, number>).sort();
  const added = [normalizer ?? null, added_tokens ?? [], model.dropout ?? null, model.merges];
  return JSON.stringify([vocab, added, type, add_prefix_space, use_regex]);
}

/** A safetensors file with data, damaged somewhere. */
export function mutantFile(random: Random, source: Source, donor: Source): Uint8Array {
  const kind = random.integer(0, 9);
  if (kind < 2) return mutateBytes(random, source.file, donor.file);
  if (kind < 4) return framed(mutateTensors(random, source.tree), source.data);
  if (kind < 5) return framed(mutateJson(random, source.tree), source.data);
  if (kind < 6) return framed(mutateBytes(random, source.header.subarray(8), donor.header), source.data, false);
  if (kind < 7) return mutateLength(random, source.file);
  // The frame stays, the numbers change.
  const out = new Uint8Array(source.file);
  const at = random.integer(source.header.length, out.length - 1);
  if (kind < 8) out[at] ^= 1 << random.integer(0, 7);
  else if (kind < 9) out.copyWithin(at, random.integer(source.header.length, out.length - 1));
  else out.set(donor.file.subarray(at, random.integer(at, out.length)).subarray(0, out.length - at), at);
  return out;
}
