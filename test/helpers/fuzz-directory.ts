/** Damaged checkpoints and model directories: what is loaded is what the files say, and where they carry a digest, the original. */
import type { Engine } from '../../src/index.js';
import { parametersOf } from '../../src/model/params.js';
import { digestOfContent } from '../../src/ops/reduce.js';
import { bytes, type Tensor } from '../../src/ops/tensor.js';
import { type RunIdentity, resumeState, STATE_FILE, savedSettings } from '../../src/train/checkpoint.js';
import { loadModel } from '../../src/train/generate.js';
import { CONFIG_FILE, type LoadedModel, MODEL_FILE, TOKENIZER_FILE } from '../../src/train/model-files.js';
import { trainSettings } from '../../src/train/options.js';
import type { TrainOptions } from '../../src/train/run-options.js';
import type { TrainingState } from '../../src/train/state.js';
import { expectConfig, expectEqual, mutantFile, mutantJson, type Source, sourceOf } from './fuzz.js';
import { oracleHeader } from './header-oracle.js';
import { framed, mutateJson, type Tree, treeOf } from './mutate.js';
import type { Random } from './rng.js';
import type { Tally } from './tally.js';
import { events, memoryStore } from './training.js';

/** A directory of a run, ready to be damaged. */
export interface Target {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly identity: RunIdentity;
  readonly model: Source;
  readonly state: Source;
  readonly config: Tree;
  readonly tokenizer: Tree;
}

/** What a run of these options leaves. */
export async function targetOf(engine: Engine, options: Omit<TrainOptions, 'engine' | 'outDir'>): Promise<Target> {
  const store = memoryStore();
  await events({ ...options, engine, outDir: store });
  const file = (name: string) => store.files.get(name)!;
  const tree = (name: string) => treeOf(JSON.parse(new TextDecoder().decode(file(name))));
  return {
    files: store.files,
    identity: { settings: trainSettings(options), data: digestOfContent(engine, options.data as Uint8Array) },
    model: sourceOf(file(MODEL_FILE)),
    state: sourceOf(file(STATE_FILE)),
    config: tree(CONFIG_FILE),
    tokenizer: tree(TOKENIZER_FILE),
  };
}

/** Bytes that files of some 30 KB may make the engine's memory grow to, with the rotary tables any model may have. */
const MEMORY_LIMIT = 40 << 20;

/** `use`, after which the engine holds what it held before and has not grown past the limit. */
async function inMemory(engine: Engine, use: () => Promise<void>): Promise<void> {
  const { arena } = engine;
  const mark = arena.mark();
  const before = arena.bytesInUse;
  try {
    await use();
  } finally {
    arena.release(mark);
  }
  expectEqual('bytes of tensors', arena.bytesInUse, before);
  const { byteLength } = arena.buffer;
  if (!(byteLength <= MEMORY_LIMIT))
    throw new Error(`expected memory of at most ${MEMORY_LIMIT} bytes, got ${byteLength}`);
}

/** A refusal has freed what it took, before anybody releases it. */
async function freed<T>(engine: Engine, use: () => Promise<T>): Promise<T> {
  const before = engine.arena.bytesInUse;
  try {
    return await use();
  } catch (error) {
    expectEqual('bytes of the arena in use after a refusal', engine.arena.bytesInUse, before);
    throw error;
  }
}

/** A model directory of which one file is damaged. */
export async function modelCase(
  tally: Tally,
  random: Random,
  engine: Engine,
  target: Target,
  donor: Target,
): Promise<void> {
  const files = new Map(target.files);
  const name = random.pick([MODEL_FILE, MODEL_FILE, MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE]);
  const [own, other] = [target.files.get(name)!, donor.files.get(name)!];
  if (name === MODEL_FILE) files.set(name, mutantFile(random, target.model, donor.model));
  else files.set(name, mutantJson(random, own, name === CONFIG_FILE ? target.config : target.tokenizer, other));
  // Now and then without our digest, as another program writes it: what is read is then what the bytes say.
  if (random.integer(0, 3) === 0) files.set(MODEL_FILE, withoutDigest(files.get(MODEL_FILE)!));
  await inMemory(engine, async () => {
    const loaded = await tally.readLater(() => freed(engine, () => loadModel(memoryStore(files), { engine })));
    if (loaded) expectModel(engine, loaded, files, target);
  });
}

function withoutDigest(file: Uint8Array): Uint8Array {
  return Buffer.from(
    Buffer.from(file).toString('latin1').replace('octavo_model_digest', 'absent_model_digest'),
    'latin1',
  );
}

const SCALE = '_scale_inv';

/** What was loaded is what the files say; where they carry the digest of the original, it is the original. */
function expectModel(
  engine: Engine,
  { model }: LoadedModel,
  files: ReadonlyMap<string, Uint8Array>,
  target: Target,
): void {
  const file = files.get(MODEL_FILE)!;
  const header = oracleHeader(file, file.length);
  if (!header) throw new Error('expected a refusal of the header');
  expectConfig(model.config, files.get(CONFIG_FILE)!);
  const pieces = (name: string) => {
    const { begin, end } = header.entries.get(name)!;
    return file.subarray(begin, end);
  };
  let count = 0;
  for (const { name, parts, shape } of parametersOf(model.config)) {
    const t = model.weights.get(name)!.forward;
    const got = Buffer.from(bytes(engine, t));
    const dtype = header.entries.get(parts[0].name)!.dtype;
    const expected = Buffer.concat(parts.map((part) => pieces(part.name)));
    if (name.endsWith('norm') && dtype === 'BF16') {
      for (let i = 0; i < shape[0]; i++) {
        expectEqual(name, got.readUInt32LE(4 * i), expected.readUInt16LE(2 * i) * 65536);
      }
    } else if (!got.equals(expected)) throw new Error(`${name}: expected the bytes of the file`);
    for (const part of parts) {
      expectEqual(`${part.name}: shape`, header.entries.get(part.name)!.shape.join(), part.shape.join());
    }
    const names: Record<string, string> = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' };
    const fp8: Record<string, string> = { F8_E4M3: 'float8_e4m3fn', F8_E5M2: 'float8_e5m2' };
    if (!name.endsWith('norm')) expectEqual(`${name}: dtype`, t.dtype, names[dtype] ?? fp8[dtype]);
    count += parts.length;
    let row = 0;
    for (const part of parts) {
      const scale = dtype in fp8 ? Buffer.from(pieces(part.name + SCALE)).readFloatLE() : 1;
      if (dtype in fp8) count++;
      for (let end = row + part.shape[0]; row < end; row++)
        expectEqual(`${name}: scale`, scaleAt(engine, t.scaleInv, row), scale);
    }
  }
  expectEqual('tensors', header.entries.size, count);
  if (header.metadata.octavo_model_digest === undefined) return;
  expectOriginal(file, target.model.file);
  expectConfig(model.config, target.files.get(CONFIG_FILE)!);
}

/** Both files hold the same tensors, whatever the order and the spaces of their headers. */
function expectOriginal(file: Uint8Array, original: Uint8Array): void {
  const [got, expected] = [file, original].map((content) => ({ content, entries: entriesOf(content) }));
  expectEqual('names', [...got.entries.keys()].sort().join(), [...expected.entries.keys()].sort().join());
  for (const [name, { dtype, shape, begin, end }] of expected.entries) {
    const entry = got.entries.get(name)!;
    expectEqual(name, `${entry.dtype} [${entry.shape}]`, `${dtype} [${shape}]`);
    const bytes = Buffer.from(file.subarray(entry.begin, entry.end));
    expectEqual(`${name} unaltered`, bytes.equals(original.subarray(begin, end)), true);
  }
}

const entriesOf = (file: Uint8Array) => {
  const header = oracleHeader(file, file.length);
  if (!header) throw new Error('expected a refusal of the header');
  return header.entries;
};

function scaleAt(engine: Engine, scaleInv: Tensor['scaleInv'], row: number): number {
  if (typeof scaleInv === 'number') return scaleInv;
  if ('rows' in scaleInv) return new Float32Array(engine.arena.buffer, scaleInv.rows + 4 * row, 1)[0];
  throw new Error('expected a scale for the tensor or for each row');
}

/** A state file, damaged or forged: with another record under a digest that fits it. */
export async function stateCase(
  tallies: { resume: Tally; settings: Tally },
  random: Random,
  engine: Engine,
  target: Target,
  donor: Target,
): Promise<void> {
  const isForged = random.integer(0, 4) === 0;
  const file = isForged ? forged(random, engine, target.state) : mutantFile(random, target.state, donor.state);
  const store = memoryStore([[STATE_FILE, file]]);
  await inMemory(engine, async () => {
    const resume = () => freed(engine, () => resumeState(engine, target.identity, store));
    const found = await tallies.resume.readLater(resume, isForged);
    if (!found) return;
    expectOriginal(file, target.state.file);
    expectState(engine, found.state, target.state.file);
    const record = recordOf(target.state);
    expectEqual('step', found.state.step, record.step);
    if (isForged) return;
    expectEqual('losses', JSON.stringify(found.losses), JSON.stringify(record.losses));
    const { histories } = found.state.scales;
    const seen = Array.from(histories, ([key, { previous, recent }]) => [key, [previous, ...recent]]);
    expectEqual('histories', JSON.stringify(seen), JSON.stringify(record.histories));
  });
  if (random.integer(0, 9) !== 0) return;
  await inMemory(engine, async () => {
    const settings = await tallies.settings.readLater(() => freed(engine, () => savedSettings(store, { engine })));
    if (settings && !isForged) {
      expectEqual('settings', JSON.stringify(settings), JSON.stringify(target.identity.settings));
    }
  });
}

const metadataOf = ({ file }: Source): Record<string, string> => oracleHeader(file, file.length)!.metadata;
const recordOf = (source: Source) => JSON.parse(metadataOf(source).octavo_state) as Record<string, unknown>;

/** The state file with an altered record and the digest that the alteration has. */
function forged(random: Random, engine: Engine, source: Source): Uint8Array {
  const octavo_state = mutateJson(random, treeOf(recordOf(source)));
  // A lone surrogate has no bytes of its own; such a record is damaged, not forged.
  const octavo_digest = digestOfContent(engine, new TextEncoder().encode(octavo_state));
  const metadata = { ...metadataOf(source), octavo_state, octavo_digest };
  const header = JSON.parse(new TextDecoder().decode(source.header.subarray(8)));
  return framed(JSON.stringify({ ...header, __metadata__: metadata }), source.data);
}

const STATE_TENSORS = { master_weight: 'master', exp_avg: 'firstMoment', exp_avg_sq: 'secondMoment' } as const;

function expectState(engine: Engine, state: TrainingState, original: Uint8Array): void {
  const { entries } = oracleHeader(original, original.length)!;
  let count = 0;
  for (const [name, parameter] of state.parameters) {
    for (const [suffix, key] of Object.entries(STATE_TENSORS)) {
      const { begin, end } = entries.get(`${name}.${suffix}`)!;
      const same = Buffer.from(bytes(engine, parameter[key])).equals(original.subarray(begin, end));
      expectEqual(`${name}.${suffix} as in the file`, same, true);
      count++;
    }
  }
  expectEqual('tensors', count, entries.size);
}
