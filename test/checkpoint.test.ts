/** The state file: whole, or refused. */
import { describe, expect, it } from 'vitest';
import { FileError } from '../src/interop/errors.js';
import { parseSafetensors, type SafetensorsTensor, serializeSafetensors } from '../src/interop/safetensors.js';
import { digestOfContent } from '../src/ops/reduce.js';
import {
  PREVIOUS_STATE_FILE,
  restoreState,
  resumeState,
  STATE_FILE,
  savedSettings,
  stateFile,
} from '../src/train/checkpoint.js';
import { trainSettings } from '../src/train/options.js';
import { initialState, stateDigest } from '../src/train/state.js';
import { Random } from './helpers/rng.js';
import { useSavedRun } from './helpers/saved-run.js';
import { memoryStore, refusalOf, useEngine } from './helpers/training.js';

const engine = useEngine();
const saved = useSavedRun(engine);

/** What a resume makes of a state file: the digest of the state, or the refusal. */
async function resumed(content: Uint8Array): Promise<string | Error> {
  const own = engine();
  const mark = own.arena.mark();
  const before = own.arena.bytesInUse;
  try {
    const { state } = await resumeState(own, saved.identity, memoryStore([[STATE_FILE, content]]));
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
  const { tensors, metadata } = parseSafetensors(saved.file);
  const record = JSON.parse(metadata.octavo_state);
  change(record, tensors);
  const octavo_state = JSON.stringify(record);
  const octavo_digest = digestOfContent(engine(), new TextEncoder().encode(octavo_state));
  return serializeSafetensors(tensors, { ...metadata, octavo_state, octavo_digest });
}

describe('a whole file', () => {
  it('gives the state that was saved, and is the same bytes when saved again', async () => {
    expect(await resumed(saved.file)).toBe(saved.digests[5]);
    expect(await resumed(saved.files.get(PREVIOUS_STATE_FILE)!)).toBe(saved.digests[3]);
    expect(
      Buffer.compare(
        changed(() => {}),
        saved.file,
      ),
    ).toBe(0);
  });

  it('holds every tensor in its storage format and nothing in float32 but norm gains', () => {
    const { tensors, metadata } = parseSafetensors(saved.file);
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
      digest: saved.digests[5],
      data: saved.identity.data,
    });
    expect(record.settings).toEqual(JSON.parse(JSON.stringify(saved.identity.settings)));
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
    const other = changed((record) => (record.settings = settings));
    const error = await refusalOf(savedSettings(memoryStore([[STATE_FILE, other]]), { engine: engine() }));
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toMatch(/expected the settings of a run, got others \(.*\)$/);
  });

  it('with a setting that no version has is refused, and its name quoted', async () => {
    for (const name of ['', 'a\nb']) {
      const odd = changed((record) => (record.settings = { ...saved.identity.settings, [name]: 1.5 }));
      const error = await refusalOf(resumeState(engine(), saved.identity, memoryStore([[STATE_FILE, odd]])));
      expect(error.message).toMatch(`expected the settings of a run, got one named ${JSON.stringify(name)}`);
    }
  });

  it('that asks for more than it holds is refused before memory is taken for it', async () => {
    const wide = {
      ...saved.identity.settings,
      config: { ...saved.identity.settings.config, hiddenSize: 4096, headDim: 2048, intermediateSize: 8192 },
    };
    const wideFile = changed((record) => (record.settings = wide));
    const used = engine().arena.peakBytes;
    const run = { settings: trainSettings(wide), data: saved.identity.data };
    const error = await refusalOf(resumeState(engine(), run, memoryStore([[STATE_FILE, wideFile]])));
    expect(error.message).toMatch(
      /expected embed\.master_weight as F16 of shape \[256,4096\], got F16 of shape \[256,8\]/,
    );
    const long = { ...saved.identity.settings, config: { ...saved.identity.settings.config, maxPositions: 1 << 24 } };
    const longFile = changed((record) => (record.settings = long));
    const longRun = { settings: trainSettings(long), data: saved.identity.data };
    const refusal = await refusalOf(resumeState(engine(), longRun, memoryStore([[STATE_FILE, longFile]])));
    expect(refusal.message).toMatch(/max_position_embeddings: expected rotary tables of at most 16777216 bytes/);
    expect(engine().arena.peakBytes).toBe(used);
  });

  it('holds all that scales remember: levels, histories, channels', () => {
    const own = engine();
    const { identity } = saved;
    own.scoped(() => {
      const state = initialState(own, identity.settings);
      const histories = {
        'layers.0.qkv.grad_output': { previous: 0.5, recent: [], level: -2999 },
        'layers.0.qkv.input': { previous: 3, recent: [3, 2], level: 0 },
      };
      for (const [key, history] of Object.entries(histories)) Object.assign(state.scales.history(key), history);
      const previous = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
      state.scales.channels.set('layers.0.down', { previous, current: new Float32Array(8) });
      const { scales } = restoreState(own, identity, stateFile(own, identity, state, [])).state;
      for (const [key, history] of Object.entries(histories)) {
        expect(scales.histories.get(key), key).toMatchObject(history);
      }
      expect(scales.channels.get('layers.0.down')?.previous).toEqual(previous);
    });
  });

  it('says the settings of its run', async () => {
    const settings = await savedSettings(memoryStore(saved.files), { engine: engine() });
    expect(settings).toEqual(JSON.parse(JSON.stringify(saved.identity.settings)));
    expect(await savedSettings(memoryStore(), { engine: engine() })).toBeUndefined();
    for (const [options, message] of [
      [undefined, /^options: expected an object, got undefined$/],
      [{ engin: 1 }, /^options.engin: /],
      [{ engine: 5 }, /^engine: expected one that init\(\) gave, got 5$/],
    ] as const) {
      expect((await refusalOf(savedSettings(memoryStore(), options as never))).message).toMatch(message);
    }
  });
});

describe('an altered file', () => {
  it('is refused at any length but its own', async () => {
    const lengths = [0, 7, 8, 9, saved.file.length - 1];
    const random = new Random(3);
    for (let i = 0; i < 30; i++) lengths.push(random.integer(0, saved.file.length - 1));
    for (const length of lengths) await expectRefused(saved.file.subarray(0, length), /expected .*, got /);
    await expectRefused(Buffer.concat([saved.file, Uint8Array.of(0)]), /expected .*, got /);
  });

  /** `count` files with one byte changed, between two offsets. Returns how many were accepted, all with the digest they should have. */
  async function accepted(count: number, from: number, to: number, seed: number): Promise<number> {
    const random = new Random(seed);
    let whole = 0;
    for (let i = 0; i < count; i++) {
      const at = random.integer(from, to - 1);
      const content = saved.file.slice();
      content[at] ^= random.integer(1, 255);
      const outcome = await resumed(content);
      if (outcome instanceof FileError) continue;
      expect(outcome, `byte ${at}: ${saved.file[at]} became ${content[at]}`).toBe(saved.digests[5]);
      whole++;
    }
    return whole;
  }

  const headerEnd = () => 8 + Number(new DataView(saved.file.buffer, saved.file.byteOffset).getBigUint64(0, true));

  it('in its length is refused', async () => {
    expect(await accepted(50, 0, 8, 1)).toBe(0);
  });

  it('in its header is refused, or the byte meant nothing', async () => {
    // Only "format":"octavo" and the padding say nothing about the state.
    expect(await accepted(400, 8, headerEnd(), 2)).toBeLessThan(10);
  });

  it('in its data is refused', async () => {
    expect(await accepted(300, headerEnd(), saved.file.length, 3)).toBe(0);
  });

  it('is refused where a digit became another', async () => {
    const json = Buffer.from(saved.file.subarray(0, headerEnd())).toString('latin1');
    const from = json.indexOf('octavo_state');
    const digits = [...json.matchAll(/[0-9]/g)].map(({ index }) => index).filter((index) => index > from);
    const random = new Random(4);
    for (let i = 0; i < 200; i++) {
      const at = random.pick(digits);
      const content = saved.file.slice();
      content[at] = 0x30 + ((content[at] - 0x30 + random.integer(1, 9)) % 10);
      expect(await resumed(content), `digit at ${at}`).toBeInstanceOf(FileError);
      // The command line reads the settings first, before there is anything to compare them with.
      if (at < json.indexOf('"}', from)) {
        const error = await refusalOf(savedSettings(memoryStore([[STATE_FILE, content]]), { engine: engine() }));
        expect(error).toBeInstanceOf(FileError);
      }
    }
  });

  it('names what is wrong with it', async () => {
    const altered = saved.file.slice();
    altered[altered.length - 1] ^= 1;
    await expectRefused(
      altered,
      /expected head\.exp_avg_sq with digest "[0-9a-f]{16}", got "[0-9a-f]{16}": the file was altered$/,
    );
    const settings = Buffer.from(saved.file).toString('latin1').replace('learningRate\\":0.01', 'learningRate\\":0.07');
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
    const { tensors, metadata } = parseSafetensors(saved.file);
    const { octavo_digest: _, ...rest } = metadata;
    await expectRefused(serializeSafetensors(tensors, rest), /expected a record with digest nothing, got "/);
  });
});
