/** What tells two runs apart: the first step and tensor, and how far; equal runs are equal whatever made them. */
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSafetensors, serializeSafetensors } from '../src/interop/safetensors.js';
import { digestOfContent } from '../src/ops/reduce.js';
import { STATE_FILE } from '../src/train/checkpoint.js';
import { difference, isDifferent } from '../src/train/diff.js';
import { METRICS_FILE } from '../src/train/log.js';
import { MODEL_FILE } from '../src/train/model-files.js';
import { recorded } from '../src/train/recorded.js';
import type { TrainOptions } from '../src/train/run-options.js';
import {
  events,
  logOf,
  type MemoryStore,
  MINUTE,
  memoryStore,
  QUICK,
  refusalOf,
  useEngine,
} from './helpers/training.js';

const engine = useEngine();
const options = { ...QUICK, config: MINUTE, steps: 6, checkpointInterval: 3 };

async function run(more: Partial<TrainOptions> = {}): Promise<MemoryStore> {
  const store = memoryStore();
  await events({ ...options, ...more, engine: engine(), outDir: store });
  return store;
}
const compare = async (a: MemoryStore, b: MemoryStore, file?: string) =>
  difference(await recorded(engine(), a, file), await recorded(engine(), b, file));

let one: MemoryStore;
beforeAll(async () => {
  one = await run();
});

describe('two runs', () => {
  it('that are the same have no difference, also when one of them was resumed', async () => {
    const other = await run({ stopAt: 2 });
    await events({ ...options, engine: engine(), outDir: other, resume: true });
    const found = await compare(one, other);
    expect(found).toMatchObject({ settings: [], steps: 6, tensors: [], scales: [] });
    expect(found.firstStep).toBeUndefined();
    expect(found.compared).toEqual({ what: 'states of step 6', tensors: 8 * 3 });
    expect(isDifferent(found)).toBe(false);
  });

  it('with other settings part at the first step, in every parameter', async () => {
    const found = await compare(one, await run({ seed: 8 }));
    expect(found.settings).toEqual([['seed', '7', '8']]);
    expect(found.firstStep?.step).toBe(1);
    expect(found.firstStep?.parameters.slice(0, 2)).toEqual(['embed', 'layers.0.attn_norm']);
    expect(found.tensors.length).toBeGreaterThan(8);
    expect(isDifferent(found)).toBe(true);
  });

  it('with other texts are told so', async () => {
    const data = QUICK.data.slice();
    data[0] ^= 1;
    const found = await compare(one, await run({ data }));
    const digest = (text: Uint8Array) => `digest ${digestOfContent(engine(), text)}`;
    expect(found.settings).toEqual([['data', digest(QUICK.data), digest(data)]]);
  });

  it('that part at a later step are told so', async () => {
    const found = await compare(one, await run({ gradClip: 0.4 }));
    const digests = (store: MemoryStore) =>
      logOf(store.files.get(METRICS_FILE)).flatMap((line) => (line.type === 'step' ? [line.digest] : []));
    const [a, b] = [digests(one), digests(await run({ gradClip: 0.4 }))];
    expect(found.firstStep?.step).toBe(1 + a.findIndex((digest, i) => digest !== b[i]));
  });
});

it('a log that does not tell of parameters names the step alone', async () => {
  const other = await run({ seed: 8 });
  const lines = logOf(other.files.get(METRICS_FILE)).map((line) => ({ ...line, parameters: undefined }));
  other.files.set(METRICS_FILE, Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')));
  const { firstStep } = await compare(one, other);
  expect(firstStep).toMatchObject({ step: 1, parameters: undefined });
});

describe('two checkpoints', () => {
  /** The state with one code of a tensor changed by a step of its format, and digests as if nothing were. */
  const nudged = (name: string) => {
    const { tensors, metadata } = parseSafetensors(one.files.get(STATE_FILE)!);
    const tensor = tensors.get(name)!;
    const data = tensor.data.slice();
    data[5] ^= 1;
    tensors.set(name, { ...tensor, data });
    return memoryStore([[STATE_FILE, serializeSafetensors(tensors, metadata)]]);
  };

  it('that differ in one element have that tensor named, and the distance', async () => {
    const found = await compare(one, nudged('layers.0.qkv.exp_avg'));
    expect(found.steps).toBe(0);
    expect(found.tensors.map(({ name, differing }) => [name, differing])).toEqual([['layers.0.qkv.exp_avg', 1]]);
    const [{ distance, amax, elements }] = found.tensors;
    expect(elements).toBe(16 * 8);
    expect(distance).toBeGreaterThan(0);
    expect(distance).toBeLessThanOrEqual(amax / 8);
  });

  it('that differ in the format of a tensor have both formats named', async () => {
    const { tensors, metadata } = parseSafetensors(one.files.get(STATE_FILE)!);
    const name = 'layers.0.qkv.exp_avg_sq';
    tensors.set(name, { ...tensors.get(name)!, dtype: 'F8_E4M3' });
    const found = await compare(one, memoryStore([[STATE_FILE, serializeSafetensors(tensors, metadata)]]));
    expect(found.tensors).toMatchObject([{ name, dtypes: ['F8_E5M2', 'F8_E4M3'] }]);
  });

  /** The state with its record changed, and a digest as if it were not. */
  const forged = (change: (record: ReturnType<typeof JSON.parse>) => void) => {
    const { tensors, metadata } = parseSafetensors(one.files.get(STATE_FILE)!);
    const record = JSON.parse(metadata.octavo_state);
    change(record);
    const text = JSON.stringify(record);
    const digest = digestOfContent(engine(), new TextEncoder().encode(text));
    const file = serializeSafetensors(tensors, { ...metadata, octavo_state: text, octavo_digest: digest });
    return memoryStore([[STATE_FILE, file]]);
  };

  it('that have no scale of a tensor are refused', async () => {
    const error = await refusalOf(
      recorded(
        engine(),
        forged(({ scale_inv }) => scale_inv.pop()),
      ),
    );
    expect(error.message).toMatch(/: expected a scale of each of 24 tensors, got 23$/);
  });

  it('that differ in a delayed scale alone have it named', async () => {
    let name = '';
    const other = forged(({ histories }) => {
      name = histories[3][0];
      histories[3][1][0] *= 2;
    });
    const found = await compare(one, other);
    expect(found).toMatchObject({ tensors: [], scales: [`histories ${name}`] });
    expect(isDifferent(found)).toBe(true);
  });

  it('of one file each are compared without the rest of the run', async () => {
    const found = await compare(one, await run({ seed: 8 }), MODEL_FILE);
    expect(found).toMatchObject({ steps: 0, settings: [], compared: { what: 'models' } });
    expect(found.tensors[0].name).toBe('model.embed_tokens.weight');
    expect(isDifferent(await compare(one, await run(), MODEL_FILE))).toBe(false);
  });

  it('of other shapes are not measured', async () => {
    const wider = await run({ config: { ...MINUTE, intermediateSize: 12 } });
    const found = await compare(one, wider);
    expect(found.settings).toEqual([['config.intermediateSize', '8', '12']]);
    const tensor = found.tensors.find(({ name }) => name === 'layers.0.down.exp_avg')!;
    expect([tensor.differing, tensor.elements, tensor.distance]).toEqual([64, 64, Number.NaN]);
  });
});

it('a directory with nothing in it is refused', async () => {
  const error = await refusalOf(recorded(engine(), memoryStore()));
  expect(error.message).toBe('memory: expected a training run, a training state or a model, got none');
});
