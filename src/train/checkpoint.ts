/**
 * The training state as one file, `training_state.safetensors`: stored optimizer state as tensors, everything else as JSON in the
 * header's metadata. It is a single file so that one rename makes a checkpoint take effect; the previous checkpoint is kept beside it.
 */
import type { Runtime } from '../engine/runtime.js';
import type { Store } from '../engine/store.js';
import { FileError, quote } from '../interop/errors.js';
import { describeJson, type JsonObject, type JsonValue, parseJsonObject, plainJson } from '../interop/json.js';
import {
  parseSafetensors,
  type Safetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from '../interop/safetensors.js';
import { parametersOf } from '../model/params.js';
import type { ParameterState } from '../ops/adamw.js';
import { digestOf, digestOfContent } from '../ops/reduce.js';
import { bytes, empty, type Tensor } from '../ops/tensor.js';
import type { ScaledTensor } from './file-tensors.js';
import { ropeExcess } from './memory.js';
import { engineOf, fileDtype, inFile, MODEL_FILE, storeOf, tensorEntry } from './model-files.js';
import { GUARD_SETTINGS, type TrainSettings, type TrainSettingsInput, trainSettings } from './options.js';
import { STATE_KEYS, scaleEntries, stateDigest, stateLayout, stateOf, type TrainingState } from './state.js';

export const STATE_FILE = 'training_state.safetensors';
export const PREVIOUS_STATE_FILE = 'training_state.previous.safetensors';

/** Version of the file layout. Files of another version are refused with a message that says so. */
const VERSION = 3;

/** Identity of a run, apart from its state: must be equal before and after a resume. */
export interface RunIdentity {
  readonly settings: TrainSettings;
  /** Digest of the token data. */
  readonly data: string;
}

/** torch's names for the state of AdamW. */
const STATE_TENSORS: Readonly<Record<keyof ParameterState, string>> = {
  master: 'master_weight',
  firstMoment: 'exp_avg',
  secondMoment: 'exp_avg_sq',
  firstScales: 'exp_avg_scale',
  secondScales: 'exp_avg_sq_scale',
};

/** The tensors of a state file in order: for each, its parameter, name, format and shape. */
function fileTable({ config, recipe }: TrainSettings) {
  return parametersOf(config).flatMap((parameter) => {
    const layout = stateLayout(parameter, recipe);
    return STATE_KEYS.flatMap((key) => {
      const each = layout[key];
      return each ? [{ parameter: parameter.name, key, name: `${parameter.name}.${STATE_TENSORS[key]}`, ...each }] : [];
    });
  });
}

/** Serializes a state to the bytes of a checkpoint file. */
export function stateFile(
  rt: Runtime,
  identity: RunIdentity,
  state: TrainingState,
  losses: readonly number[],
): Uint8Array {
  const tensors = fileTable(identity.settings).map(({ parameter, key, name }) => {
    return [name, state.parameters.get(parameter)![key]!] as const;
  });
  const record = {
    version: VERSION,
    step: state.step,
    offset: state.offset,
    failures: state.failures,
    digest: stateDigest(rt, state),
    tensor_digests: tensors.map(([, t]) => digestOf(rt, [t], [])),
    data: identity.data,
    settings: identity.settings,
    losses,
    scale_inv: tensors.map(([, t]) => t.scaleInv),
    ...scaleEntries(state.scales),
  };
  const text = JSON.stringify(record);
  const metadata = { format: 'octavo', octavo_state: text, octavo_digest: digestOfText(rt, text) };
  return serializeSafetensors(
    tensors.map(([name, t]) => tensorEntry(rt, name, t)),
    metadata,
  );
}

const digestOfText = (rt: Runtime, text: string): string => digestOfContent(rt, new TextEncoder().encode(text));

/** A file from which a run could continue: of a training run, or of a model from elsewhere, which a resume refuses. */
export async function fileOfRun(store: Store): Promise<string | undefined> {
  const names = await store.list();
  return [STATE_FILE, PREVIOUS_STATE_FILE, MODEL_FILE].find((name) => names.includes(name));
}

export interface Restored {
  readonly state: TrainingState;
  /** Losses of the last steps before this state. */
  readonly losses: number[];
}

export interface Resumed extends Restored {
  /** The file that the state was read from. */
  readonly file: Uint8Array;
}

/** Restores the newest complete checkpoint of the run, checked against the identity and its own digests. */
export async function resumeState(rt: Runtime, identity: RunIdentity, store: Store): Promise<Resumed> {
  const found = await readCheckpoint(store, (file) => ({ ...restoreState(rt, identity, file), file }));
  if (!found) throw new FileError(`${store.path}: expected a training run to resume, got no ${STATE_FILE}`);
  return found;
}

/**
 * The settings of the run in a directory, which `train` must be given to resume it; undefined where there is no run.
 *
 * @throws FileError for a checkpoint that cannot be used.
 */
export async function savedSettings(
  source: string | Store,
  options: { engine: Runtime },
): Promise<TrainSettings | undefined> {
  const store = await storeOf('source', source);
  const engine = engineOf(options);
  return readCheckpoint(store, (file) => {
    const given = plainJson(stateRecord(engine, parseSafetensors(file)).get('settings'));
    try {
      return trainSettings(given as TrainSettingsInput);
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
      throw new FileError(`expected the settings of a run, got others (${error.message})`);
    }
  });
}

/**
 * Applies `use` to the newest state file; undefined if there is none. A FileError names the file and says whether the previous checkpoint can be
 * used.
 */
async function readCheckpoint<T>(store: Store, use: (file: Uint8Array) => T): Promise<T | undefined> {
  const current = await store.read(STATE_FILE);
  const file = current ?? (await store.read(PREVIOUS_STATE_FILE));
  if (!file) return undefined;
  const name = current ? STATE_FILE : PREVIOUS_STATE_FILE;
  try {
    return inFile(`${store.path}/${name}`, () => use(file));
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    const older = current && (await store.read(PREVIOUS_STATE_FILE));
    const wayBack = older ? `; without it the run resumes from ${PREVIOUS_STATE_FILE}, the checkpoint before` : '';
    throw new FileError(`${error.message}${wayBack}`);
  }
}

/** The previous checkpoint, if there is one. */
export const previousState = (store: Store): Promise<Uint8Array | undefined> => store.read(PREVIOUS_STATE_FILE);

/** The step that a state file was saved at. */
export const stepOfState = (rt: Runtime, file: Uint8Array): number =>
  numberIn(stateRecord(rt, parseSafetensors(file)), 'step');

/** Restores the state in a file; if that throws, everything it allocated is freed. */
export const restoreState = (rt: Runtime, identity: RunIdentity, file: Uint8Array): Restored =>
  rt.wholeOrNothing(() => restore(rt, identity, file));

function restore(rt: Runtime, identity: RunIdentity, file: Uint8Array): Restored {
  const { tensors, metadata } = parseSafetensors(file);
  const record = stateRecord(rt, { metadata });
  checkIdentity(record, identity);
  const excess = ropeExcess(identity.settings.config);
  if (excess) throw new FileError(`settings: max_position_embeddings: ${excess}`);
  const digests = arrayOf('tensor_digests', record.get('tensor_digests'));
  const parameters = readParameters(rt, identity.settings, tensors, numbersIn(record, 'scale_inv'), digests);
  const state = stateOf(rt, identity.settings, parameters);
  state.step = numberIn(record, 'step');
  state.offset = numberIn(record, 'offset');
  state.failures = numberIn(record, 'failures');
  for (const [key, values] of pairsIn(record, 'histories')) {
    const [previous, ...recent] = arrayOf('histories', values).map((value) => numberOf('histories', value));
    Object.assign(state.scales.history(key), { previous: previous ?? 0, recent });
  }
  for (const [key, values] of pairsIn(record, 'levels')) {
    state.scales.history(key).level = numberOf('levels', arrayOf('levels', values)[0]);
  }
  for (const [key, values] of pairsIn(record, 'channels')) {
    const previous = Float32Array.from(arrayOf('channels', values), (value) => numberOf('channels', value));
    state.scales.channels.set(key, { previous, current: new Float32Array(previous.length) });
  }
  checkDigest('a state', record.get('digest'), stateDigest(rt, state));
  return { state, losses: numbersIn(record, 'losses') };
}

/** The content of a state file, for comparisons. */
export interface StateFile {
  readonly step: number;
  readonly settings: unknown;
  /** Digest of the text. */
  readonly data: unknown;
  /** In the same order as the digests in the log. */
  readonly parameters: readonly string[];
  readonly tensors: readonly ScaledTensor[];
  /** Delayed scales by tensor role, as JSON. */
  readonly scales: ReadonlyMap<string, string>;
}

export function readStateFile(rt: Runtime, file: Safetensors): StateFile {
  const record = stateRecord(rt, file);
  const scales = numbersIn(record, 'scale_inv');
  const names = [...file.tensors.keys()];
  if (scales.length !== names.length) {
    throw new FileError(`expected a scale of each of ${names.length} tensors, got ${scales.length}`);
  }
  const text = (value: JsonValue) => JSON.stringify(plainJson(value));
  return {
    step: numberIn(record, 'step'),
    settings: plainJson(record.get('settings')),
    data: record.get('data'),
    parameters: [...new Set(names.map((name) => name.slice(0, name.lastIndexOf('.'))))],
    tensors: names.map((name, i) => ({ ...file.tensors.get(name)!, name, scaleInv: scales[i] })),
    scales: new Map(
      ['histories', 'channels', 'levels'].flatMap((kind) =>
        pairsIn(record, kind).map(([key, v]) => [`${kind} ${key}`, text(v)] as const),
      ),
    ),
  };
}

/** The JSON part of a state file, checked for completeness, version and digest. */
export function stateRecord(rt: Runtime, { metadata }: { metadata: Readonly<Record<string, string>> }): JsonObject {
  const { octavo_state: text, octavo_digest: expected } = metadata;
  if (text === undefined) throw new FileError('expected a training state of Octavo, got another safetensors file');
  const record = parseJsonObject(new TextEncoder().encode(text), 'training state', {
    maxBytes: 1 << 26,
    maxDepth: 8,
    maxValues: 1 << 22,
    numbers: 'any',
  });
  const version = numberIn(record, 'version');
  if (version !== VERSION) throw new FileError(`expected version ${VERSION} of the training state, got ${version}`);
  checkDigest('a record', expected, digestOfText(rt, text));
  return record;
}

function checkDigest(what: string, expected: JsonValue | undefined, got: string): void {
  if (got === expected) return;
  throw new FileError(`expected ${what} with digest ${describeJson(expected)}, got "${got}": the file was altered`);
}

/** Throws unless a resume continues the same run, naming the first setting that differs. The file itself is valid, so this is not a FileError. */
function checkIdentity(record: JsonObject, identity: RunIdentity): void {
  const given = record.get('settings');
  if (!(given instanceof Map)) fail('settings', 'an object', given);
  const [difference] = settingsThatDiffer(lasting(plainJson(given)), lasting(identity.settings));
  if (difference) {
    const [name, was, is] = difference;
    if (!/^[\w.]+$/.test(name)) throw new FileError(`expected the settings of a run, got one named ${quote(name)}`);
    throw new RangeError(`${name}: expected ${was}, with which the run to resume began, got ${is}`);
  }
  if (record.get('data') !== identity.data) {
    throw new RangeError(
      `data: expected that with which the run to resume began (digest ${String(record.get('data'))}), got digest ${identity.data}`,
    );
  }
}

/** Settings as stored in a file, without those that a resumed run may change. */
const lasting = (settings: unknown): unknown =>
  JSON.parse(JSON.stringify(settings), (key, value) =>
    (GUARD_SETTINGS as string[]).includes(key) ? undefined : value,
  );

/** Every setting that differs, with both values as JSON. */
export function settingsThatDiffer(a: unknown, b: unknown, at = ''): [name: string, a: string, b: string][] {
  if (typeof a === 'object' && typeof b === 'object' && a && b) {
    const [one, other] = [a, b] as Record<string, unknown>[];
    const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])];
    return keys.flatMap((key) => settingsThatDiffer(one[key], other[key], at ? `${at}.${key}` : key));
  }
  return a === b ? [] : [[at, JSON.stringify(a) ?? 'nothing', JSON.stringify(b) ?? 'nothing']];
}

/** Reads the stored state of the parameters, checking the tensors before any memory is allocated for them. */
function readParameters(
  rt: Runtime,
  settings: TrainSettings,
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  scales: readonly number[],
  digests: readonly JsonValue[],
): Map<string, ParameterState> {
  const expected = fileTable(settings);
  const counts = [tensors.size, scales.length, digests.length];
  if (counts.some((count) => count !== expected.length)) {
    throw new FileError(`expected ${expected.length} tensors with a scale and a digest each, got ${counts.join(', ')}`);
  }
  for (const { name, shape, dtype } of expected) {
    const found = tensors.get(name);
    if (found?.dtype === fileDtype(dtype) && found.shape.join() === shape.join()) continue;
    const got = found ? `${found.dtype} of shape [${found.shape}]` : 'none';
    throw new FileError(`expected ${name} as ${fileDtype(dtype)} of shape [${shape}], got ${got}`);
  }
  const parameters = new Map<string, Partial<Record<keyof ParameterState, Tensor>>>();
  expected.forEach(({ parameter, key, name, shape, dtype }, i) => {
    const t = { ...empty(rt, shape, dtype), scaleInv: scales[i] };
    bytes(rt, t).set(tensors.get(name)!.data);
    checkDigest(name, digests[i], digestOf(rt, [t], []));
    parameters.set(parameter, { ...parameters.get(parameter), [key]: t });
  });
  return parameters as Map<string, ParameterState>;
}

function fail(name: string, expected: string, got: JsonValue | undefined): never {
  throw new FileError(`expected ${name} as ${expected}, got ${got === undefined ? 'none' : describeJson(got)}`);
}
const numberOf = (name: string, value: JsonValue | undefined): number =>
  typeof value === 'number' ? value : fail(name, 'a number', value);
const arrayOf = (name: string, value: JsonValue | undefined): readonly JsonValue[] =>
  Array.isArray(value) ? value : fail(name, 'a list', value);
const numberIn = (record: JsonObject, name: string): number => numberOf(name, record.get(name));
const numbersIn = (record: JsonObject, name: string): number[] =>
  arrayOf(name, record.get(name)).map((value) => numberOf(name, value));
function pairsIn(record: JsonObject, name: string): [string, JsonValue][] {
  return arrayOf(name, record.get(name)).map((pair) => {
    const [key, value] = arrayOf(name, pair);
    return typeof key === 'string' ? [key, value] : fail(name, 'pairs of a name and a value', key);
  });
}
