/**
 * Converts our {@link LlamaConfig} to and from the `config.json` of a Hugging Face `LlamaForCausalLM`.
 *
 * Reading checks every field that changes what the model computes, and refuses values we do not support; other fields
 * (`initializer_range`, `use_cache`, `transformers_version` ...) are ignored.
 * Sources: transformers 5.18, `models/llama/configuration_llama.py` (defaults), `modeling_rope_utils.py`, `utils/quantization_config.py`;
 * vLLM, `layers/quantization/fp8.py`.
 */
import { type LlamaConfig, type LlamaConfigNames, llamaConfig } from '../model/config.js';
import { FileError } from './errors.js';
import { describeJson, type JsonObject, type JsonValue, parseJsonObject } from './json.js';

/** torch's names of the types in which weights other than FP8 may be stored. */
export type TorchDtype = 'float32' | 'float16' | 'bfloat16';

/** Weights in float8_e4m3fn, each with one float32 `<name>.weight_scale_inv`; activations are quantized dynamically. */
export interface Fp8QuantizationConfig {
  quant_method: 'fp8';
  activation_scheme: 'dynamic';
  /** Written explicitly, because transformers reads an absent field as [128, 128]; vLLM treats absent and null alike. */
  weight_block_size: null;
}

/** The object to write as `config.json`, with keys in file order. */
export interface HuggingFaceConfig {
  architectures: ['LlamaForCausalLM'];
  model_type: 'llama';
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  max_position_embeddings: number;
  rope_theta: number;
  rope_scaling: null;
  rms_norm_eps: number;
  hidden_act: 'silu';
  attention_bias: false;
  attention_dropout: 0;
  mlp_bias: false;
  tie_word_embeddings: boolean;
  bos_token_id: null;
  eos_token_id: null;
  torch_dtype: TorchDtype;
  quantization_config?: Fp8QuantizationConfig;
}

export interface HuggingFaceConfigOptions {
  /** Type of the weights that are not FP8. Default `'float32'`. */
  torchDtype?: TorchDtype;
  /** `'fp8'` adds `quantization_config`. Default null. */
  quantization?: 'fp8' | null;
}

/** The content of a `config.json`. */
export interface ParsedHuggingFaceConfig {
  config: LlamaConfig;
  /** `torch_dtype`, or `dtype` as transformers 5 calls it; null if the file has neither. */
  torchDtype: TorchDtype | null;
  quantization: 'fp8' | null;
}

const WHAT = 'config.json';
const TORCH_DTYPES: readonly JsonValue[] = ['float32', 'float16', 'bfloat16'];
const NAMES: LlamaConfigNames = {
  vocabSize: 'vocab_size',
  hiddenSize: 'hidden_size',
  intermediateSize: 'intermediate_size',
  layers: 'num_hidden_layers',
  heads: 'num_attention_heads',
  kvHeads: 'num_key_value_heads',
  headDim: 'head_dim',
  maxPositions: 'max_position_embeddings',
  ropeTheta: 'rope_theta',
  rmsNormEps: 'rms_norm_eps',
  tieWordEmbeddings: 'tie_word_embeddings',
};

/** Returns the record for `config.json`; write it with `JSON.stringify(record, null, 2)`. The byte tokenizer has no bos or eos token. */
export function toHuggingFaceConfig(c: LlamaConfig, options: HuggingFaceConfigOptions = {}): HuggingFaceConfig {
  const { torchDtype = 'float32', quantization = null } = options;
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    num_key_value_heads: c.kvHeads,
    head_dim: c.headDim,
    max_position_embeddings: c.maxPositions,
    rope_theta: c.ropeTheta,
    rope_scaling: null,
    rms_norm_eps: c.rmsNormEps,
    hidden_act: 'silu',
    attention_bias: false,
    attention_dropout: 0,
    mlp_bias: false,
    tie_word_embeddings: c.tieWordEmbeddings,
    bos_token_id: null,
    eos_token_id: null,
    torch_dtype: torchDtype,
    ...(quantization === 'fp8' && {
      quantization_config: { quant_method: 'fp8', activation_scheme: 'dynamic', weight_block_size: null },
    }),
  };
}

/**
 * Reads and checks a `config.json`. Sizes are required; other absent fields take transformers' defaults (`num_key_value_heads` = heads,
 * `rms_norm_eps` 1e-6, `rope_theta` 10000, `tie_word_embeddings` false).
 *
 * @throws FileError naming the field, what was expected and what was got.
 */
export function fromHuggingFaceConfig(jsonBytes: Uint8Array): ParsedHuggingFaceConfig {
  const file = parseJsonObject(jsonBytes, WHAT);
  checkArchitecture(file);
  checkArithmetic(file);
  const config = readSizes(file);
  checkTokenId(file, 'bos_token_id', config.vocabSize);
  checkTokenId(file, 'eos_token_id', config.vocabSize);
  return { config, torchDtype: readTorchDtype(file), quantization: readQuantization(file) };
}

function refuse(field: string, expected: string, got: JsonValue | undefined): never {
  throw new FileError(`${WHAT}: ${field}: expected ${expected}, got ${describeJson(got)}`);
}

/** Throws unless the field has one of the accepted values; if `undefined` is among them, it may be absent. */
function checkField(object: JsonObject, key: string, accepted: readonly (JsonValue | undefined)[], prefix = ''): void {
  const value = object.get(key);
  if (!accepted.includes(value)) refuse(prefix + key, accepted.map(describeJson).join(' or '), value);
}

function checkArchitecture(file: JsonObject): void {
  checkField(file, 'model_type', ['llama']);
  const architectures = file.get('architectures');
  const accepted = architectures === undefined || architectures === null;
  const isLlama = Array.isArray(architectures) && architectures.length === 1 && architectures[0] === 'LlamaForCausalLM';
  if (!accepted && !isLlama) refuse('architectures', '["LlamaForCausalLM"]', architectures);
}

/** Throws unless fields that would change the computation have the only value we support. */
function checkArithmetic(file: JsonObject): void {
  checkField(file, 'hidden_act', ['silu', undefined]);
  checkField(file, 'attention_bias', [false, undefined]);
  checkField(file, 'mlp_bias', [false, undefined]);
  checkField(file, 'attention_dropout', [0, null, undefined]);
  checkField(file, 'rope_scaling', [null, undefined]);
  checkField(file, 'partial_rotary_factor', [1, null, undefined]);
  checkField(file, 'sliding_window', [null, undefined]);
}

function readSizes(file: JsonObject): LlamaConfig {
  // In these files null means absent. A field still absent after the defaults fails below as the wrong kind.
  const integer = (key: string): number => {
    const value = file.get(key);
    return typeof value === 'number' ? value : refuse(key, 'an integer', value);
  };
  const optional = (key: string, otherwise: number): number => {
    const value = file.get(key) ?? otherwise;
    return typeof value === 'number' ? value : refuse(key, 'a number', value);
  };
  const tie = file.get('tie_word_embeddings') ?? false;
  if (typeof tie !== 'boolean') refuse('tie_word_embeddings', 'true or false', tie);

  const heads = integer('num_attention_heads');
  const hiddenSize = integer('hidden_size');
  const input = {
    vocabSize: integer('vocab_size'),
    hiddenSize,
    intermediateSize: integer('intermediate_size'),
    layers: integer('num_hidden_layers'),
    heads,
    kvHeads: optional('num_key_value_heads', heads),
    headDim: optional('head_dim', hiddenSize / heads),
    maxPositions: integer('max_position_embeddings'),
    ropeTheta: readRopeTheta(file),
    rmsNormEps: optional('rms_norm_eps', 1e-6),
    tieWordEmbeddings: tie,
  };
  try {
    return llamaConfig(input, NAMES);
  } catch (error) {
    // llamaConfig makes the checks; its errors become FileError because the values come from a file.
    if (error instanceof RangeError || error instanceof TypeError) throw new FileError(`${WHAT}: ${error.message}`);
    throw error;
  }
}

/** Reads `rope_theta`, which transformers 5 writes inside `rope_parameters`. If both are present they must agree. */
function readRopeTheta(file: JsonObject): number {
  const outer = file.get('rope_theta') ?? undefined;
  if (outer !== undefined && typeof outer !== 'number') refuse('rope_theta', 'a number', outer);
  const parameters = file.get('rope_parameters') ?? undefined;
  if (parameters === undefined) return outer ?? 10000;
  if (!(parameters instanceof Map)) refuse('rope_parameters', 'an object or null', parameters);
  checkField(parameters, 'rope_type', ['default', undefined], 'rope_parameters.');
  checkField(parameters, 'partial_rotary_factor', [1, null, undefined], 'rope_parameters.');
  const inner = parameters.get('rope_theta') ?? undefined;
  if (inner !== undefined && typeof inner !== 'number') refuse('rope_parameters.rope_theta', 'a number', inner);
  if (inner !== undefined && outer !== undefined && inner !== outer) {
    refuse('rope_parameters.rope_theta', `${outer}, as rope_theta`, inner);
  }
  return inner ?? outer ?? 10000;
}

/** Checked although unused: special tokens outside the vocabulary mean that the file is inconsistent. */
function checkTokenId(file: JsonObject, key: string, vocabSize: number): void {
  const value = file.get(key) ?? [];
  for (const id of Array.isArray(value) ? value : [value]) {
    if (!(typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize)) {
      refuse(key, `null or token ids below vocab_size = ${vocabSize}`, value);
    }
  }
}

function readTorchDtype(file: JsonObject): TorchDtype | null {
  const key = file.has('dtype') ? 'dtype' : 'torch_dtype';
  const value = file.get(key) ?? null;
  if (value !== null && !TORCH_DTYPES.includes(value)) refuse(key, TORCH_DTYPES.map(describeJson).join(' or '), value);
  return value as TorchDtype | null;
}

function readQuantization(file: JsonObject): 'fp8' | null {
  const value = file.get('quantization_config') ?? null;
  if (value === null) return null;
  if (!(value instanceof Map)) refuse('quantization_config', 'an object or null', value);
  const prefix = 'quantization_config.';
  checkField(value, 'quant_method', ['fp8'], prefix);
  checkField(value, 'activation_scheme', ['dynamic', undefined], prefix);
  checkField(value, 'weight_block_size', [null, undefined], prefix);
  checkField(value, 'scale_fmt', ['float', null, undefined], prefix);
  checkField(value, 'fmt', ['e4m3', null, undefined], prefix);
  return 'fp8';
}
