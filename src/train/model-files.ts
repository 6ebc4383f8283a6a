/** A model as a Hugging Face directory: config.json, model.safetensors, tokenizer.json. FP8 linears have a `<name>_scale_inv`. */
import { Runtime } from '../engine/runtime.js';
import { openDirectory, type Store } from '../engine/store.js';
import { checkOptions, describe, sameBytes } from '../formats/check.js';
import { type DType, formatSpec } from '../formats/index.js';
import { fromHuggingFaceConfig, toHuggingFaceConfig } from '../interop/config.js';
import { FileError, quote } from '../interop/errors.js';
import {
  type NamedSafetensorsTensor,
  parseSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from '../interop/safetensors.js';
import { type ByteTokenizer, byteTokenizerJson, parseTokenizer } from '../interop/tokenizer.js';
import { InferenceCasts, type Operand } from '../model/casts.js';
import type { LlamaConfig } from '../model/config.js';
import { type Parameter, parametersOf } from '../model/params.js';
import type { Model } from '../model/transformer.js';
import { OPERANDS } from '../ops/matmul.js';
import { isFloat8 } from '../ops/recipe.js';
import { digestOfContent } from '../ops/reduce.js';
import { ropeTable } from '../ops/rope.js';
import { bytes, empty, floats, floatsAt, freeTensor, sizeOf, type Tensor } from '../ops/tensor.js';
import { valuesOf } from './file-tensors.js';
import { ropeExcess } from './memory.js';

export const CONFIG_FILE = 'config.json';
export const MODEL_FILE = 'model.safetensors';
export const TOKENIZER_FILE = 'tokenizer.json';

/** Names of the embedding and of a head of its own. */
const EMBEDDING = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';

/** Metadata key of the digest in {@link MODEL_FILE}. If it is absent, as in files from other programs, no digest is checked. */
const DIGEST = 'octavo_model_digest';
/** Metadata key of the format of linears' inputs; absent where it is the usual one. */
const INPUT = 'octavo_input_dtype';

/** A model with everything needed to use it. */
export interface LoadedModel {
  readonly model: Model;
  readonly casts: InferenceCasts;
  readonly tokenizer: ByteTokenizer;
  /** Frees its tensors in the engine; the model cannot be used afterwards. */
  dispose(): void;
}

/** safetensors' dtype names. Its F8_E4M3 is e4m3fn; E4M3 with infinities has the same codes for all finite numbers, and only those are saved. */
const FILE_DTYPES: Readonly<Partial<Record<DType, string>>> = {
  float32: 'F32',
  bfloat16: 'BF16',
  float16: 'F16',
  float8_e4m3fn: 'F8_E4M3',
  float8_e4m3: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
};

export function fileDtype(dtype: DType): string {
  const name = FILE_DTYPES[dtype];
  if (!name) throw new RangeError(`dtype: expected one that safetensors files can hold, got ${dtype}`);
  return name;
}

export function dtypeOfFile(name: string): DType | undefined {
  return (Object.keys(FILE_DTYPES) as DType[]).find((dtype) => FILE_DTYPES[dtype] === name);
}

/** A tensor's entry for a file; its data is a view on wasm memory, for a serializer that copies it at once. */
export function tensorEntry(rt: Runtime, name: string, t: Tensor): NamedSafetensorsTensor {
  return { name, dtype: fileDtype(t.dtype), shape: [...t.shape], data: bytes(rt, t) };
}

const scalar = (value: number) => new Uint8Array(Float32Array.of(value).buffer);

/** The format that linears' inputs have unless a file says otherwise: the weights' if that has 8 bits, else that of activations. */
const usualInput = ({ weights, storage }: Pick<Model, 'weights' | 'storage'>): DType => {
  const { dtype } = weights.get('layers.0.qkv')!.forward;
  return isFloat8(dtype) ? dtype : storage;
};

/** The three files of an inference model, by name. */
export function modelFiles(model: Model, { format }: InferenceCasts): Map<string, Uint8Array | string> {
  const { rt, config, weights } = model;
  const entries = parametersOf(config).flatMap((parameter) =>
    entriesOf(rt, parameter, weights.get(parameter.name)!.forward),
  );
  const huggingFace = toHuggingFaceConfig(config, {
    torchDtype: model.storage,
    quantization: isFloat8(weights.get('layers.0.qkv')!.forward.dtype) ? 'fp8' : null,
  });
  const input = format === usualInput(model) ? undefined : format;
  const metadata = {
    format: 'pt',
    ...(input && { [INPUT]: input }),
    [DIGEST]: digestOfModel(rt, config, entries, input),
  };
  return new Map<string, Uint8Array | string>([
    [CONFIG_FILE, `${JSON.stringify(huggingFace, null, 2)}\n`],
    [TOKENIZER_FILE, byteTokenizerJson()],
    [MODEL_FILE, serializeSafetensors(entries, metadata)],
  ]);
}

/** Splits a parameter's rows into its Hugging Face tensors, each with the scale of the whole. */
function entriesOf(rt: Runtime, parameter: Parameter, t: Tensor): NamedSafetensorsTensor[] {
  // A copy, because memory growth before the file is made would detach a view.
  const all = bytes(rt, t).slice();
  let at = 0;
  return parameter.parts.flatMap(({ name, shape }) => {
    const size = sizeOf(shape) * formatSpec(t.dtype).bytes;
    const entry = { name, dtype: fileDtype(t.dtype), shape: [...shape], data: all.subarray(at, at + size) };
    at += size;
    if (!isFloat8(t.dtype)) return [entry];
    return [entry, { name: `${name}_scale_inv`, dtype: 'F32', shape: [], data: scalar(t.scaleInv as number) }];
  });
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Digest of everything that defines the model: its sizes, the format of inputs if it is not the usual one, and each tensor's name, type, shape
 * and bytes in file order. A digest of the bytes alone would not notice if two matrices of one shape swapped names, or if BF16 were labelled F16.
 */
function digestOfModel(
  rt: Runtime,
  config: LlamaConfig,
  tensors: readonly NamedSafetensorsTensor[],
  input: string | undefined,
): string {
  const described = tensors.map(({ name, dtype, shape }) => [name, dtype, shape]);
  const frame = [toHuggingFaceConfig(config), ...(input === undefined ? [] : [input]), ...described];
  const text = new TextEncoder().encode(JSON.stringify(frame));
  return digestOfContent(rt, concatenated([text, ...tensors.map(({ data }) => data)]));
}

/** Opens a directory given by its path; returns a Store unchanged. */
export async function storeOf(name: string, source: string | Store): Promise<Store> {
  if (typeof source === 'string') return openDirectory(source);
  if (typeof source === 'object' && typeof source?.read === 'function') return source;
  throw new TypeError(`${name}: expected the path of a directory or a Store, got ${describe(source)}`);
}

/** The engine of options that have nothing else. */
export function engineOf(options: { engine: Runtime }): Runtime {
  checkOptions(options, ['engine']);
  const { engine } = options;
  if (engine instanceof Runtime) return engine;
  throw new TypeError(`engine: expected one that init() gave, got ${describe(engine)}`);
}

/** Calls `use`; a FileError is prefixed with the path. */
export function inFile<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw error instanceof FileError ? new FileError(`${path}: ${error.message}`) : error;
  }
}

/** Reads and checks a model directory; the tensors stay in the engine's memory. */
export async function loadModelFrom(rt: Runtime, store: Store): Promise<LoadedModel> {
  const required = async (name: string) => {
    const content = await store.read(name);
    if (!content) throw new FileError(`${store.path}: expected a model directory with ${name}, got none`);
    return content;
  };
  const [configFile, tokenizerFile] = [await required(CONFIG_FILE), await required(TOKENIZER_FILE)];
  const modelFile = await required(MODEL_FILE);
  const where = `${store.path}/${MODEL_FILE}`;
  // These two parsers name their file themselves.
  const { config } = inFile(store.path, () => fromHuggingFaceConfig(configFile));
  for (const [key, size] of Object.entries({
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
  })) {
    if (size % 4 === 0) continue;
    throw new FileError(`${store.path}/${CONFIG_FILE}: ${key}: expected a multiple of 4, got ${size}`);
  }
  const tokenizer = inFile(store.path, () => parseTokenizer(tokenizerFile));
  const { tensors, metadata } = inFile(where, () => parseSafetensors(modelFile));
  if (tokenizer.vocabSize !== config.vocabSize) {
    throw new FileError(`${where}: expected a vocabulary of ${tokenizer.vocabSize}, got ${config.vocabSize}`);
  }
  const table = parametersOf(config);
  checkNames(where, table, tensors);
  const checked = table.map((parameter) => ({ parameter, parts: partsOf(where, parameter, tensors) }));
  // By now the file is known to have this many parameters.
  const excess = ropeExcess(config);
  if (excess) throw new FileError(`${store.path}/${CONFIG_FILE}: max_position_embeddings: ${excess}`);
  const input = inFile(where, () => inputOf(metadata));
  const expected = metadata[DIGEST];
  if (expected !== undefined) {
    const digest = digestOfModel(
      rt,
      config,
      Array.from(tensors, ([name, tensor]) => ({ name, ...tensor })),
      input,
    );
    if (digest !== expected) {
      const got = `got "${digest}": the file or ${CONFIG_FILE} was altered`;
      throw new FileError(`${where}: expected a model with digest ${quote(expected)}, ${got}`);
    }
  }
  return rt.wholeOrNothing(() => {
    const weights = new Map<string, Operand>();
    for (const { parameter, parts } of checked) {
      const t = stack(rt, parameter, parts);
      weights.set(parameter.name, { forward: t, backward: t });
    }
    const storage = weights.get('embed')!.forward.dtype === 'float32' ? 'float32' : 'bfloat16';
    const rope = ropeTable(rt, config.maxPositions, config.headDim, config.ropeTheta);
    const model = { rt, config, weights, storage, rope } as const;
    const casts = new InferenceCasts(rt, input ?? usualInput(model));
    const tensors = [...Array.from(weights.values(), ({ forward }) => forward), rope.cosines, rope.sines];
    const dispose = () => {
      for (const t of tensors.splice(0)) freeTensor(rt, t);
      weights.clear();
    };
    return { model, casts, tokenizer, dispose };
  });
}

/** The format of inputs that a file names. */
function inputOf(metadata: Readonly<Record<string, string>>): DType | undefined {
  const name = metadata[INPUT];
  const dtype = OPERANDS.find((each) => each === name);
  if (name !== undefined && !dtype) {
    throw new FileError(`expected ${INPUT} to be one of ${OPERANDS.join(', ')}, got ${quote(name)}`);
  }
  return dtype;
}

/** A table that old versions of transformers saved, and that follows from the configuration. */
const ROTARY_TABLE = /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/;

/**
 * Throws unless the file has every tensor of the table, a scale beside each in FP8, and nothing else but what other programs save as well: rotary
 * tables, and a tied head that is the embedding.
 */
function checkNames(where: string, table: readonly Parameter[], tensors: ReadonlyMap<string, SafetensorsTensor>): void {
  const known = new Set([...tensors.keys()].filter((name) => ROTARY_TABLE.test(name)));
  for (const { name } of table.flatMap(({ parts }) => parts)) {
    const dtype = tensors.get(name)?.dtype;
    if (dtype === undefined) throw new FileError(`${where}: expected a tensor ${name}, got none`);
    known.add(name);
    if (dtype.startsWith('F8')) known.add(`${name}_scale_inv`);
  }
  const [head, embed] = [tensors.get(HEAD), tensors.get(EMBEDDING)!];
  if (head && !known.has(HEAD)) {
    if (head.dtype !== embed.dtype || !sameBytes(head.data, embed.data)) {
      const rule = `${HEAD} to equal ${EMBEDDING}, as tie_word_embeddings is true in ${CONFIG_FILE}`;
      throw new FileError(`${where}: expected ${rule}, got another`);
    }
    known.add(HEAD);
  }
  const other = [...tensors.keys()].find((name) => !known.has(name));
  if (other) throw new FileError(`${where}: expected only tensors of this Llama, got one more, ${quote(other)}`);
}

interface Part {
  readonly name: string;
  readonly dtype: DType;
  readonly data: Uint8Array;
  readonly scaleInv: number;
  readonly rows: number;
}

/** The Hugging Face tensors of a parameter, each with shape, format and scale checked. */
function partsOf(where: string, parameter: Parameter, tensors: ReadonlyMap<string, SafetensorsTensor>): Part[] {
  const parts = parameter.parts.map(({ name, shape }) => {
    const { dtype: fileName, shape: got, data } = tensors.get(name)!;
    const dtype = dtypeOfFile(fileName);
    if (got.join() !== shape.join()) {
      throw new FileError(`${where}: expected ${name} of shape [${shape}], got [${got}]`);
    }
    if (!dtype || (isFloat8(dtype) && parameter.role !== 'linear')) {
      throw new FileError(`${where}: expected ${name} in a format this model can use there, got ${fileName}`);
    }
    return { name, dtype, data, scaleInv: isFloat8(dtype) ? scaleOf(where, name, tensors) : 1, rows: shape[0] };
  });
  const { dtype, name } = parts[0];
  const odd = parts.find((part) => part.dtype !== dtype);
  if (odd) throw new FileError(`${where}: expected ${odd.name} in ${dtype} like ${name}, got ${odd.dtype}`);
  return parts;
}

/** Stacks the parts of a parameter. Parts with different scales get one scale per row. */
function stack(rt: Runtime, parameter: Parameter, parts: readonly Part[]): Tensor {
  const { dtype, data, scaleInv } = parts[0];
  if (parameter.role === 'norm') return normGain(rt, parameter, dtype, data);
  const t = empty(rt, parameter.shape, dtype);
  bytes(rt, t).set(concatenated(parts.map((part) => part.data)));
  if (parts.every((part) => part.scaleInv === scaleInv)) return { ...t, scaleInv };
  const rows = rt.arena.alloc(4 * parameter.shape[0]);
  floatsAt(rt, rows, parameter.shape[0]).set(parts.flatMap((part) => new Array<number>(part.rows).fill(part.scaleInv)));
  return { ...t, scaleInv: { rows } };
}

/** Reads a norm gain as float32, in which it is multiplied whatever format it was stored in. */
function normGain(rt: Runtime, parameter: Parameter, dtype: DType, data: Uint8Array): Tensor {
  const t = empty(rt, parameter.shape, 'float32');
  // As bytes, because a copy of float32 numbers may change the bits of NaN.
  if (dtype === 'float32') bytes(rt, t).set(data);
  else floats(rt, t).set(valuesOf(dtype, data));
  return t;
}

function scaleOf(where: string, name: string, tensors: ReadonlyMap<string, SafetensorsTensor>): number {
  const scale = tensors.get(`${name}_scale_inv`);
  if (!scale) throw new FileError(`${where}: expected ${name}_scale_inv beside the FP8 tensor ${name}, got none`);
  if (scale.dtype !== 'F32' || sizeOf(scale.shape) !== 1) {
    throw new FileError(
      `${where}: expected ${name}_scale_inv as one F32, got ${scale.dtype} of shape [${scale.shape}]`,
    );
  }
  const value = new DataView(scale.data.buffer, scale.data.byteOffset).getFloat32(0, true);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) {
    throw new FileError(`${where}: expected a positive finite ${name}_scale_inv, got ${value}`);
  }
  return value;
}
