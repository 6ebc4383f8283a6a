/** The state file: whole or refused, never another run without a word; and a refusal leaves every file as it was. */
import { beforeAll, describe, expect, it } from 'vitest';
import { init } from '../src/index.js';
import { FileError } from '../src/interop/errors.js';
import { parseSafetensors, type SafetensorsTensor, serializeSafetensors } from '../src/interop/safetensors.js';
import type { Recipe } from '../src/ops/recipe.js';
import { PREVIOUS_STATE_FILE, resumeState, STATE_FILE, savedSettings } from '../src/train/checkpoint.js';
import { digestOfContent } from '../src/train/model-files.js';
import { GUARD_SETTINGS, type TrainSettings, trainSettings } from '../src/train/options.js';
import { stateDigest } from '../src/train/state.js';
import { Random } from './helpers/rng.js';
import {
  digestOf,
  events,
  type MemoryStore,
  MINUTE,
  memoryStore,
  QUICK,
  refusalOf,
  SMOOTH_CHANNEL,
  text,
  useEngine,
} from './helpers/training.js';

const engine = useEngine();
/** Six steps with checkpoints at 2, 4 and 6, of a model with every kind of state there is. */
const options = {
  ...QUICK,
  config: { ...MINUTE, tieWordEmbeddings: false },
  recipe: SMOOTH_CHANNEL,
  data: text(2000),
  steps: 6,
  batchSize: 1,
  blockSize: 16,
  checkpointInterval: 2,
};
let digests: string[];
let files: MemoryStore['files'];
let file: Uint8Array;
let identity: { settings: TrainSettings; data: string };

beforeAll(async () => {
  const store = memoryStore();
  const run = await events({ ...options, engine: engine(), outDir: store });
  digests = run.filter((line) => line.type === 'step').map(({ digest }) => digest);
  files = new Map(store.files);
  file = files.get(STATE_FILE)!;
  identity = { settings: trainSettings(options), data: digestOfContent(engine(), options.data) };
});

/** What a resume makes of a state file: the digest of the state, or the refusal. */
async function resumed(content: Uint8Array): Promise<string | Error> {
  const own = engine();
  const mark = own.arena.mark();
  const before = own.arena.bytesInUse;
  try {
    const { state } = await resumeState(own, identity, memoryStore([[STATE_FILE, content]]));
    return stateDigest(own, state);
  } catch (error) {
    if (own.arena.bytesInUse !== before) throw new Error('expected a refusal that frees its memory');
    if (error instanceof Error) return error;
    throw error;
  } finally {
    own.arena.release(mark);
  }
}

async function expectRefused(content: Uint8Array, message: RegExp): Promise<void> {
  const outcome = await resumed(content);
  expect(outcome).toBeInstanceOf(FileError);
  const { message: line } = outcome as Error;
  expect(line).toMatch(/^memory\/training_state\.safetensors: /);
  expect(line).toMatch(message);
  expect(line).not.toContain('\n');
}

/** The file with its tensors and JSON record changed by a test, and the record's digest made right again. */
function changed(
  change: (record: Record<string, unknown>, tensors: Map<string, SafetensorsTensor>) => void,
): Uint8Array {
  const { tensors, metadata } = parseSafetensors(file);
  const record = JSON.parse(metadata.octavo_state);
  change(record, tensors);
  const octavo_state = JSON.stringify(record);
  const octavo_digest = digestOfContent(engine(), new TextEncoder().encode(octavo_state));
  return serializeSafetensors(tensors, { ...metadata, octavo_state, octavo_digest });
}

describe('a whole file', () => {
  it('gives the state that was saved, and is the same bytes when saved again', async () => {
    expect(await resumed(file)).toBe(digests[5]);
    expect(await resumed(files.get(PREVIOUS_STATE_FILE)!)).toBe(digests[3]);
    expect(
      Buffer.compare(
        changed(() => {}),
        file,
      ),
    ).toBe(0);
  });

  it('holds every tensor in its storage format and nothing in float32 but norm gains', () => {
    const { tensors, metadata } = parseSafetensors(file);
    const dtypes = new Map([
      ['master_weight', 'F16'],
      ['exp_avg', 'F8_E4M3'],
      ['exp_avg_sq', 'F8_E5M2'],
    ]);
    for (const [name, { dtype }] of tensors) {
      const [parameter, kind] = [name.slice(0, name.lastIndexOf('.')), name.slice(name.lastIndexOf('.') + 1)];
      expect(dtype, name).toBe(parameter.endsWith('norm') ? 'F32' : dtypes.get(kind));
    }
    // embed, attn_norm, qkv, o, mlp_norm, gate_up, down, norm, head
    expect(tensors.size).toBe(9 * 3);
    const record = JSON.parse(metadata.octavo_state);
    expect(record).toMatchObject({
      version: 3,
      step: 6,
      offset: 0,
      failures: 0,
      digest: digests[5],
      data: identity.data,
    });
    expect(record.settings).toEqual(JSON.parse(JSON.stringify(identity.settings)));
    expect(record.channels.map(([key]: [string]) => key)).toEqual(['layers.0.down']);
    expect(record.losses.length).toBe(6);
    expect(new Set(record.tensor_digests).size).toBe(9 * 3);
  });

  it.each([
    ['null', null],
    ['a number', 3],
    ['a model that is text', { config: 'abc' }],
    ['no recipe to speak of', { config: { vocabSize: 256, hiddenSize: 8, layers: 1, heads: 2 }, recipe: {} }],
  ])('with settings that are %s is refused', async (_, settings) => {
    const file = changed((record) => (record.settings = settings));
    const error = await refusalOf(savedSettings(engine(), memoryStore([[STATE_FILE, file]])));
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toMatch(/expected the settings of a run, got others \(.*\)$/);
  });

  it('that asks for more than it holds is refused before memory is taken for it', async () => {
    const wide = {
      ...identity.settings,
      config: { ...identity.settings.config, hiddenSize: 4096, headDim: 2048, intermediateSize: 8192 },
    };
    const file = changed((record) => (record.settings = wide));
    const used = engine().arena.peakBytes;
    const run = { settings: trainSettings(wide), data: identity.data };
    const error = await refusalOf(resumeState(engine(), run, memoryStore([[STATE_FILE, file]])));
    expect(error.message).toMatch(
      /expected embed\.master_weight as F16 of shape \[256,4096\], got F16 of shape \[256,8\]/,
    );
    const long = { ...identity.settings, config: { ...identity.settings.config, maxPositions: 1 << 24 } };
    const longFile = changed((record) => (record.settings = long));
    const longRun = { settings: trainSettings(long), data: identity.data };
    const refusal = await refusalOf(resumeState(engine(), longRun, memoryStore([[STATE_FILE, longFile]])));
    expect(refusal.message).toMatch(/max_position_embeddings: expected rotary tables of at most 16777216 bytes/);
    expect(engine().arena.peakBytes).toBe(used);
  });

  it('says the settings of its run', async () => {
    const saved = await savedSettings(engine(), memoryStore(files));
    expect(saved).toEqual(JSON.parse(JSON.stringify(identity.settings)));
    expect(await savedSettings(engine(), memoryStore())).toBeUndefined();
  });
});

describe('an altered file', () => {
  it('is refused at any length but its own', async () => {
    const lengths = [0, 7, 8, 9, file.length - 1];
    const random = new Random(3);
    for (let i = 0; i < 30; i++) lengths.push(random.integer(0, file.length - 1));
    for (const length of lengths) await expectRefused(file.subarray(0, length), /expected .*, got /);
    await expectRefused(Buffer.concat([file, Uint8Array.of(0)]), /expected .*, got /);
  });

  /** `count` files with one byte changed, between two offsets. Returns how many were accepted, all with the digest they should have. */
  async function accepted(count: number, from: number, to: number, seed: number): Promise<number> {
    const random = new Random(seed);
    let whole = 0;
    for (let i = 0; i < count; i++) {
      const at = random.integer(from, to - 1);
      const content = file.slice();
      content[at] ^= random.integer(1, 255);
      const outcome = await resumed(content);
      if (outcome instanceof FileError) continue;
      expect(outcome, `byte ${at}: ${file[at]} became ${content[at]}`).toBe(digests[5]);
      whole++;
    }
    return whole;
  }

  const headerEnd = () => 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));

  it('in its length is refused', async () => {
    expect(await accepted(50, 0, 8, 1)).toBe(0);
  });

  it('in its header is refused, or the byte meant nothing', async () => {
    // Only "format":"octavo" and the padding say nothing about the state.
    expect(await accepted(400, 8, headerEnd(), 2)).toBeLessThan(10);
  });

  it('in its data is refused', async () => {
    expect(await accepted(300, headerEnd(), file.length, 3)).toBe(0);
  });

  it('is refused where a digit became another', async () => {
    const json = Buffer.from(file.subarray(0, headerEnd())).toString('latin1');
    const from = json.indexOf('octavo_state');
    const digits = [...json.matchAll(/[0-9]/g)].map(({ index }) => index).filter((index) => index > from);
    const random = new Random(4);
    for (let i = 0; i < 200; i++) {
      const at = random.pick(digits);
      const content = file.slice();
      content[at] = 0x30 + ((content[at] - 0x30 + random.integer(1, 9)) % 10);
      expect(await resumed(content), `digit at ${at}`).toBeInstanceOf(FileError);
      // The command line reads the settings first, before there is anything to compare them with.
      if (at < json.indexOf('"}', from)) {
        const error = await refusalOf(savedSettings(engine(), memoryStore([[STATE_FILE, content]])));
        expect(error).toBeInstanceOf(FileError);
      }
    }
  });

  it('names what is wrong with it', async () => {
    const altered = file.slice();
    altered[altered.length - 1] ^= 1;
    await expectRefused(
      altered,
      /expected head\.exp_avg_sq with digest "[0-9a-f]{16}", got "[0-9a-f]{16}": the file was altered$/,
    );
    const settings = Buffer.from(file).toString('latin1').replace('learningRate\\":0.01', 'learningRate\\":0.07');
    await expectRefused(Buffer.from(settings, 'latin1'), /expected a record with digest .*: the file was altered$/);
  });
});

describe('a file that is not of this run', () => {
  const cases: readonly (readonly [string, Parameters<typeof changed>[0], RegExp])[] = [
    ['another version', (record) => (record.version = 1), /expected version 3 of the training state, got 1$/],
    ['no version', (record) => delete record.version, /expected version as a number, got none$/],
    ['no settings', (record) => delete record.settings, /expected settings as an object, got none$/],
    ['no step', (record) => (record.step = 'six'), /expected step as a number, got "six"$/],
    ['losses that are no list', (record) => (record.losses = {}), /expected losses as a list, got an object$/],
    ['histories of another kind', (record) => (record.histories = [[1, 2]]), /expected histories as pairs of a name/],
    [
      'a missing tensor',
      (_, tensors) => tensors.delete('embed.master_weight'),
      /expected 27 tensors .*, got 26, 27, 27$/,
    ],
    ['a missing scale', (record) => (record.scale_inv as number[]).pop(), /expected 27 tensors .*, got 27, 26, 27$/],
    ['another step', (record) => (record.step = 5), /expected a state with digest .*: the file was altered$/],
    [
      'a tensor of another name',
      (_, tensors) => {
        tensors.set('embed.exp_average', tensors.get('embed.exp_avg')!);
        tensors.delete('embed.exp_avg');
      },
      /expected embed\.exp_avg as F8_E4M3 of shape \[256,8\], got none$/,
    ],
    [
      'another dtype',
      (_, tensors) => tensors.set('embed.exp_avg', { ...tensors.get('embed.exp_avg')!, dtype: 'F8_E5M2' }),
      /expected embed\.exp_avg as F8_E4M3 of shape \[256,8\], got F8_E5M2 of shape \[256,8\]$/,
    ],
    [
      'another shape',
      (_, tensors) => tensors.set('embed.exp_avg', { ...tensors.get('embed.exp_avg')!, shape: [8, 256] }),
      /expected embed\.exp_avg as F8_E4M3 of shape \[256,8\], got F8_E4M3 of shape \[8,256\]$/,
    ],
    [
      'another scale',
      (record) => ((record.scale_inv as number[])[0] *= 2),
      /expected \S+ with digest .*: the file was altered$/,
    ],
    ['another history', (record) => ((record.histories as [string, number[]][])[0][1][0] = 3), /the file was altered$/],
    ['another channel', (record) => ((record.channels as [string, number[]][])[0][1][0] = 3), /the file was altered$/],
  ];

  it.each(cases)('%s', async (_, change, message) => {
    await expectRefused(changed(change), message);
  });

  it('a safetensors file of something else', async () => {
    await expectRefused(serializeSafetensors([]), /expected a training state of Octavo, got another safetensors file$/);
    const { tensors, metadata } = parseSafetensors(file);
    const { octavo_digest: _, ...rest } = metadata;
    await expectRefused(serializeSafetensors(tensors, rest), /expected a record with digest nothing, got "/);
  });
});

describe('another run', () => {
  const other: Partial<Record<keyof TrainSettings, unknown>> = {
    steps: 7,
    seed: 8,
    batchSize: 2,
    gradientAccumulation: 2,
    blockSize: 8,
    learningRate: 0.02,
    minLearningRate: 0.002,
    warmupSteps: 3,
    weightDecay: 0.2,
    beta1: 0.8,
    beta2: 0.9,
    eps: 1e-6,
    gradClip: 2,
    valFraction: 0.2,
  };
  const cases: [string, object][] = [
    ...Object.entries(other).map(([name, value]): [string, object] => [
      name,
      // The model's positions follow the block size unless they are given.
      name === 'blockSize' ? { blockSize: value, config: { ...options.config, maxPositions: 16 } } : { [name]: value },
    ]),
    ...Object.entries({
      hiddenSize: 16,
      intermediateSize: 12,
      layers: 2,
      heads: 1,
      maxPositions: 32,
      ropeTheta: 500,
    }).map(([name, value]): [string, object] => [`config.${name}`, { config: { ...options.config, [name]: value } }]),
    ['config.tieWordEmbeddings', { config: { ...options.config, tieWordEmbeddings: true } }],
    ...Object.entries({
      name: 'mine',
      swiglu: 'plain',
      firstMoment: 'float16',
      forward: { input: 'bfloat16', weight: 'bfloat16' },
    }).map(([name, value]): [string, object] => [
      `recipe.${name}`,
      { recipe: { ...SMOOTH_CHANNEL, [name]: value } as Recipe },
    ]),
  ];

  it('has every setting in the list above', () => {
    const numbers = Object.keys(identity.settings).filter((name) => !['config', 'recipe'].includes(name));
    expect([...Object.keys(other), ...GUARD_SETTINGS].sort()).toEqual(numbers.sort());
  });

  it.each(cases)('is not continued by this one: %s', async (name, change) => {
    const store = memoryStore(files);
    const error = await refusalOf(events({ ...options, ...change, engine: engine(), outDir: store, resume: true }));
    expect(error).toBeInstanceOf(RangeError);
    const [was, is] = /= (.*), got (.*)$/.exec(error.message)!.slice(1);
    expect(error.message.startsWith(`resume: expected the settings the run began with, ${name}`)).toBe(true);
    expect(was).not.toBe(is);
    expect(store.files).toEqual(files);
  });

  it('nor one on another text', async () => {
    const store = memoryStore(files);
    const data = options.data.slice();
    data[1000] ^= 1;
    const error = await refusalOf(events({ ...options, data, engine: engine(), outDir: store, resume: true }));
    expect(error.message).toMatch(
      /^resume: expected the data the run began with \(digest [0-9a-f]{16}\), got digest [0-9a-f]{16}$/,
    );
    expect(store.files).toEqual(files);
  });
});

describe('the checkpoint before', () => {
  /** The directory as it is after 5 of the 6 steps: a checkpoint of step 5, and the one of step 4 before it. */
  async function stopped(): Promise<MemoryStore> {
    const store = memoryStore();
    await events({ ...options, engine: engine(), outDir: store, stopAt: 5 });
    return store;
  }
  const resume = (store: MemoryStore) => events({ ...options, engine: engine(), outDir: store, resume: true });

  it('takes over where the newest is missing, and leads to the same end', async () => {
    const store = await stopped();
    store.files.delete(STATE_FILE);
    const rest = await resume(store);
    expect(rest[0]).toMatchObject({ type: 'step', step: 5 });
    expect(digestOf(rest)).toBe(digests[5]);
    expect(Buffer.compare(store.files.get(STATE_FILE)!, file)).toBe(0);
  });

  it('is named where the newest is damaged, and not taken without being asked', async () => {
    const store = await stopped();
    store.files.set(STATE_FILE, store.files.get(STATE_FILE)!.subarray(0, 1000));
    const before = new Map(store.files);
    const error = await refusalOf(resume(store));
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toMatch(
      /^memory\/training_state\.safetensors: .*; without it the run resumes from training_state\.previous\.safetensors, the checkpoint before$/,
    );
    expect(store.files).toEqual(before);
    store.files.delete(STATE_FILE);
    expect(digestOf(await resume(store))).toBe(digests[5]);
  });

  it('is refused under its own name', async () => {
    const store = memoryStore([[PREVIOUS_STATE_FILE, file.subarray(0, 1000)]]);
    const error = await refusalOf(resume(store));
    expect(error.message).toMatch(/^memory\/training_state\.previous\.safetensors: /);
    expect(error.message).not.toContain('without it');
  });
});

describe('memory', () => {
  it('grows under a checkpoint without harm', async () => {
    // A fresh engine on one thread: its memory is small, and every growth leaves older views without their bytes.
    const fresh = await init({ threads: 1 });
    const store = memoryStore();
    const config = { ...MINUTE, hiddenSize: 128, intermediateSize: 512, layers: 2 };
    await events({ ...options, config, engine: fresh, outDir: store, signal: AbortSignal.abort() });
    fresh.dispose();
    const settings = trainSettings({ ...options, config });
    const { state } = await resumeState(engine(), { ...identity, settings }, store);
    expect(state.step).toBe(0);
  });
});
