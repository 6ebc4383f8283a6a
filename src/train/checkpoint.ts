/**
 * The training state as one file, `training_state.safetensors`: stored optimizer state as tensors, everything else as JSON in the
 * header's metadata. One file, so that one rename is the moment a checkpoint exists; the one before it is kept beside it.
 */
import type { Runtime } from '../engine/runtime.js';
import type { Store } from '../engine/store.js';
import { FileError } from '../interop/errors.js';
import { describeJson, type JsonObject, type JsonValue, parseJsonObject } from '../interop/json.js';
import { parseSafetensors, type SafetensorsTensor, serializeSafetensors } from '../interop/safetensors.js';
import type { ParameterState } from '../ops/adamw.js';
import { bytes, type Tensor } from '../ops/tensor.js';
import { fileDtype, tensorEntry } from './model-files.js';
import type { TrainSettings } from './options.js';
import { initialState, scaleEntries, stateDigest, type TrainingState } from './state.js';

export const STATE_FILE = 'training_state.safetensors';
export const PREVIOUS_STATE_FILE = 'training_state.previous.safetensors';

/** Of the layout of this file. A reader of another version says so and stops. */
const VERSION = 1;

/** What a run is, beside its state: equal on both sides of a resume. */
export interface RunIdentity {
  readonly settings: TrainSettings;
  /** Digest of the token data. */
  readonly data: string;
}

/** torch's names for what AdamW keeps. */
const STATE_TENSORS = { master_weight: 'master', exp_avg: 'firstMoment', exp_avg_sq: 'secondMoment' } as const;
type StateTensor = keyof typeof STATE_TENSORS;
const STATE_TENSOR_NAMES = Object.keys(STATE_TENSORS) as StateTensor[];

function* namedTensors(state: TrainingState): Generator<[name: string, t: Tensor]> {
  for (const { name } of state.table) {
    const parameter = state.parameters.get(name)!;
    for (const kind of STATE_TENSOR_NAMES) yield [`${name}.${kind}`, parameter[STATE_TENSORS[kind]]];
  }
}

export function stateFile(
  rt: Runtime,
  identity: RunIdentity,
  state: TrainingState,
  losses: readonly number[],
): Uint8Array {
  const tensors = [...namedTensors(state)];
  const record = {
    version: VERSION,
    step: state.step,
    digest: stateDigest(rt, state),
    data: identity.data,
    settings: identity.settings,
    losses,
    scale_inv: tensors.map(([, t]) => t.scaleInv),
    ...scaleEntries(state.scales),
  };
  const metadata = { format: 'octavo', octavo_state: JSON.stringify(record) };
  return serializeSafetensors(
    tensors.map(([name, t]) => tensorEntry(rt, name, t)),
    metadata,
  );
}

/** Whether a training run lives here. */
export const hasRun = async (store: Store): Promise<boolean> =>
  (await store.list()).some((name) => name === STATE_FILE || name === PREVIOUS_STATE_FILE);

/** The newest whole checkpoint of the run, checked against the identity and its own digest. */
export async function resumeState(
  rt: Runtime,
  identity: RunIdentity,
  store: Store,
): Promise<{ state: TrainingState; losses: number[] }> {
  const current = await store.read(STATE_FILE);
  const file = current ?? (await store.read(PREVIOUS_STATE_FILE));
  const where = `${store.path}/${current ? STATE_FILE : PREVIOUS_STATE_FILE}`;
  if (!file) throw new FileError(`${store.path}: expected a training run to resume, got no ${STATE_FILE}`);
  try {
    return restore(rt, identity, file);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    const older =
      current && (await store.read(PREVIOUS_STATE_FILE))
        ? `; the checkpoint before it is in ${PREVIOUS_STATE_FILE}`
        : '';
    throw new FileError(`${where}: ${error.message}${older}`);
  }
}

function restore(rt: Runtime, identity: RunIdentity, file: Uint8Array): { state: TrainingState; losses: number[] } {
  const { tensors, metadata } = parseSafetensors(file);
  const record = recordOf(metadata);
  checkIdentity(record, identity);
  const state = initialState(rt, identity.settings);
  state.step = numberIn(record, 'step');
  readTensors(rt, state, tensors, numbersIn(record, 'scale_inv'));
  for (const [key, previous] of pairsIn(record, 'histories')) {
    state.scales.history(key).previous = numberOf('histories', previous);
  }
  for (const [key, values] of pairsIn(record, 'channels')) {
    const previous = Float32Array.from(arrayOf('channels', values), (value) => numberOf('channels', value));
    state.scales.channels.set(key, { previous, current: new Float32Array(previous.length) });
  }
  const [expected, digest] = [record.get('digest'), stateDigest(rt, state)];
  if (digest !== expected) {
    throw new FileError(`expected a state with digest ${String(expected)}, got ${digest}: the file was altered`);
  }
  return { state, losses: numbersIn(record, 'losses') };
}

/** The JSON part of a state file. */
function recordOf(metadata: Readonly<Record<string, string>>): JsonObject {
  if (metadata.octavo_state === undefined)
    throw new FileError('expected a training state of Octavo, got another safetensors file');
  const record = parseJsonObject(new TextEncoder().encode(metadata.octavo_state), 'training state', {
    maxBytes: 1 << 26,
    maxDepth: 8,
    maxValues: 1 << 22,
    numbers: 'any',
  });
  const version = numberIn(record, 'version');
  if (version !== VERSION) throw new FileError(`expected version ${VERSION} of the training state, got ${version}`);
  return record;
}

/** A resume continues the same run: names the first setting that differs. */
function checkIdentity(record: JsonObject, identity: RunIdentity): void {
  const given = record.get('settings');
  const difference = firstDifference('', plain(given), JSON.parse(JSON.stringify(identity.settings)));
  if (difference) {
    const [name, was, is] = difference;
    throw new FileError(`expected the settings the run began with, ${name} = ${was}, got ${is}`);
  }
  if (record.get('data') !== identity.data) {
    throw new FileError(
      `expected the data the run began with (digest ${String(record.get('data'))}), got digest ${identity.data}`,
    );
  }
}

const plain = (value: JsonValue | undefined): unknown => {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  return Array.isArray(value) ? value.map(plain) : value;
};

function firstDifference(at: string, a: unknown, b: unknown): [string, string, string] | undefined {
  if (typeof a === 'object' && typeof b === 'object' && a && b) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const name = at ? `${at}.${key}` : key;
      const found = firstDifference(name, (a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]);
      if (found) return found;
    }
    return undefined;
  }
  return a === b ? undefined : [at, JSON.stringify(a) ?? 'nothing', JSON.stringify(b) ?? 'nothing'];
}

function readTensors(
  rt: Runtime,
  state: TrainingState,
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  scales: readonly number[],
): void {
  const expected = [...namedTensors(state)];
  if (tensors.size !== expected.length || scales.length !== expected.length) {
    throw new FileError(
      `expected ${expected.length} tensors with a scale each, got ${tensors.size} and ${scales.length}`,
    );
  }
  const read = new Map<string, Tensor>();
  expected.forEach(([name, t], i) => {
    const found = tensors.get(name);
    const dtype = fileDtype(t.dtype);
    if (!found || found.dtype !== dtype || found.shape.join() !== t.shape.join()) {
      const got = found ? `${found.dtype} of shape [${found.shape}]` : 'none';
      throw new FileError(`expected ${name} as ${dtype} of shape [${t.shape}], got ${got}`);
    }
    bytes(rt, t).set(found.data);
    read.set(name, { ...t, scaleInv: scales[i] });
  });
  for (const { name } of state.table) {
    const entries = STATE_TENSOR_NAMES.map((kind) => [STATE_TENSORS[kind], read.get(`${name}.${kind}`)!]);
    state.parameters.set(name, Object.fromEntries(entries) as ParameterState);
  }
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

/** The settings of the run that lives here, for a resume that does not name them again. */
export async function savedSettings(store: Store): Promise<TrainSettings | undefined> {
  const file = (await store.read(STATE_FILE)) ?? (await store.read(PREVIOUS_STATE_FILE));
  if (!file) return undefined;
  return plain(recordOf(parseSafetensors(file).metadata).get('settings')) as TrainSettings;
}
