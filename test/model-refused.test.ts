/** Directories that are not the model they say they are, or none: each is refused in one line, and leaves no memory taken. */
import { describe, expect, it } from 'vitest';
import { FileError } from '../src/interop/errors.js';
import { loadModel } from '../src/train/generate.js';
import { CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE } from '../src/train/model-files.js';
import { altered, type Files, float, useDirectories, withModel } from './helpers/model-directory.js';
import { Random } from './helpers/rng.js';
import { memoryStore, refusalOf, useEngine } from './helpers/training.js';

const engine = useEngine();
const { directory } = useDirectories(engine, [['fp8', {}]]);

async function expectRefused(files: Files, message: RegExp): Promise<void> {
  const own = engine();
  const before = own.arena.bytesInUse;
  const error = await refusalOf(loadModel(memoryStore(files), { engine: own }));
  expect(own.arena.bytesInUse).toBe(before);
  expect(error).toBeInstanceOf(FileError);
  expect(error.message).toMatch(message);
  expect(error.message).not.toContain('\n');
}

describe('a directory that is not such a model', () => {
  const ALTERED =
    /expected a model with digest "[0-9a-f]{16}", got "[0-9a-f]{16}": the file or config\.json was altered$/;
  const up = 'model.layers.0.mlp.up_proj.weight';
  const cases: readonly (readonly [string, Parameters<typeof altered>[1], RegExp])[] = [
    [
      'FP8 without its scale',
      (t) => t.delete(`${up}_scale_inv`),
      /expected model\.layers\.0\.mlp\.up_proj\.weight_scale_inv beside the FP8 tensor .*, got none$/,
    ],
    [
      'a scale of NaN',
      (t) => t.set(`${up}_scale_inv`, { dtype: 'F32', shape: [], data: float(Number.NaN) }),
      /expected a positive finite .*_scale_inv, got NaN$/,
    ],
    [
      'a scale of 0',
      (t) => t.set(`${up}_scale_inv`, { dtype: 'F32', shape: [], data: float(0) }),
      /expected a positive finite .*_scale_inv, got 0$/,
    ],
    [
      'an infinite scale',
      (t) => t.set(`${up}_scale_inv`, { dtype: 'F32', shape: [1], data: float(Number.POSITIVE_INFINITY) }),
      /expected a positive finite .*_scale_inv, got Infinity$/,
    ],
    [
      'scales by block',
      (t) => t.set(`${up}_scale_inv`, { dtype: 'F32', shape: [1, 2], data: new Uint8Array(8) }),
      /expected .*_scale_inv as one F32, got F32 of shape \[1,2\]$/,
    ],
    [
      'a scale of another kind',
      (t) => t.set(`${up}_scale_inv`, { dtype: 'BF16', shape: [], data: new Uint8Array(2) }),
      /expected .*_scale_inv as one F32, got BF16 of shape \[\]$/,
    ],
    ['a missing tensor', (t) => t.delete('model.norm.weight'), /expected a tensor model\.norm\.weight, got none$/],
    [
      'a tied head that is not the embedding',
      (t) => t.set('lm_head.weight', { ...t.get('model.embed_tokens.weight')!, data: new Uint8Array(256 * 64) }),
      /expected lm_head\.weight to equal model\.embed_tokens\.weight, as tie_word_embeddings is true in config\.json, got another$/,
    ],
    [
      'a scale beside a tensor that is not FP8',
      (t) => t.set('model.norm.weight_scale_inv', t.get(`${up}_scale_inv`)!),
      /got one more, "model\.norm\.weight_scale_inv"$/,
    ],
    [
      'a bias',
      (t) => t.set('model.layers.0.mlp.up_proj.bias', t.get('model.norm.weight')!),
      /got one more, "model\.layers\.0\.mlp\.up_proj\.bias"$/,
    ],
    [
      'a transposed matrix',
      (t) => t.set(up, { ...t.get(up)!, shape: [32, 64] }),
      /expected .*up_proj\.weight of shape \[64,32\], got \[32,64\]$/,
    ],
    [
      'a flat matrix',
      (t) => t.set(up, { ...t.get(up)!, shape: [2048] }),
      /expected .*up_proj\.weight of shape \[64,32\], got \[2048\]$/,
    ],
    [
      'parts in two formats',
      (t) => t.set(up, { ...t.get(up)!, dtype: 'F8_E5M2' }),
      /expected .*up_proj\.weight in float8_e4m3fn like .*gate_proj\.weight, got float8_e5m2$/,
    ],
    [
      'integers',
      (t) => t.set(up, { ...t.get(up)!, dtype: 'I8' }) && t.delete(`${up}_scale_inv`),
      /expected .*up_proj\.weight in a format this model can use there, got I8$/,
    ],
    [
      'an embedding in FP8',
      (t) => {
        t.set('model.embed_tokens.weight', { dtype: 'F8_E4M3', shape: [256, 32], data: new Uint8Array(8192) });
        t.set('model.embed_tokens.weight_scale_inv', { dtype: 'F32', shape: [], data: float(1) });
      },
      /expected model\.embed_tokens\.weight in a format this model can use there, got F8_E4M3$/,
    ],
  ];

  it.each(cases)('%s', async (_, change, message) => {
    await expectRefused(altered(directory(), change), message);
  });

  it.each([CONFIG_FILE, TOKENIZER_FILE, MODEL_FILE])('no %s', async (name) => {
    const files = new Map(directory());
    files.delete(name);
    await expectRefused(files, new RegExp(`^memory: expected a model directory with ${name}, got none$`));
  });

  it('a configuration of another size, and one that is no JSON', async () => {
    const config = (text: string) => new Map([...directory(), [CONFIG_FILE, new TextEncoder().encode(text)]]);
    const json = new TextDecoder().decode(directory().get(CONFIG_FILE));
    await expectRefused(
      config(json.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')),
      /expected a tensor model\.layers\.2\./,
    );
    await expectRefused(
      config(json.replace('"vocab_size": 256', '"vocab_size": 257')),
      /expected a vocabulary of 256, got 257$/,
    );
    await expectRefused(
      config(json.replace('"silu"', '"gelu"')),
      /^memory: config\.json: hidden_act: expected "silu" or nothing, got "gelu"$/,
    );
    await expectRefused(config('{'), /^memory: config\.json/);
  });

  it('a model file that was cut, or in which a byte changed', async () => {
    const file = directory().get(MODEL_FILE)!;
    const dataStart = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
    const random = new Random(5);
    const own = engine();
    const outcome = (content: Uint8Array) =>
      refusalOf(withModel(own, new Map([...directory(), [MODEL_FILE, content]]), () => undefined));
    for (let i = 0; i < 20; i++) {
      expect(await outcome(file.subarray(0, random.integer(0, file.length - 1)))).toBeInstanceOf(FileError);
    }
    for (let i = 0; i < 50; i++) {
      const content = file.slice();
      content[random.integer(dataStart, file.length - 1)] ^= random.integer(1, 255);
      expect((await outcome(content)).message).toMatch(ALTERED);
    }
  });

  it('a model file whose tensors go by other names or types than they were saved under', async () => {
    const gate = 'model.layers.0.mlp.gate_proj.weight';
    const renamed = (bytes: Uint8Array, pairs: [string, string][]) => {
      let text = Buffer.from(bytes).toString('latin1');
      for (const [from, to] of pairs) text = text.replace(from, to);
      return new Map([...directory(), [MODEL_FILE, new Uint8Array(Buffer.from(text, 'latin1'))]]);
    };
    const file = directory().get(MODEL_FILE)!;
    // Two matrices of one shape and scale; E5M2 in all of them; BF16 read as float16: the bytes are those of the digest.
    await expectRefused(
      renamed(file, [
        [`"${gate}"`, '"?"'],
        [`"${up}"`, `"${gate}"`],
        ['"?"', `"${up}"`],
      ]),
      ALTERED,
    );
    await expectRefused(renamed(file, new Array(14).fill(['"F8_E4M3"', '"F8_E5M2"'])), ALTERED);
    await expectRefused(renamed(file, [['"BF16"', '"F16" ']]), ALTERED);
  });

  it('a configuration that computes something else with the same tensors', async () => {
    const json = new TextDecoder().decode(directory().get(CONFIG_FILE));
    const config = (from: string, to: string, files = directory()) => {
      expect(json).toContain(from);
      return new Map([...files, [CONFIG_FILE, new TextEncoder().encode(json.replace(from, to))]]);
    };
    for (const [from, to] of [
      ['"rope_theta": 10000', '"rope_theta": 10001'],
      ['"rms_norm_eps": 0.00001', '"rms_norm_eps": 0.0001'],
      ['"max_position_embeddings": 32', '"max_position_embeddings": 64'],
    ]) {
      await expectRefused(config(from, to), ALTERED);
    }
    // Where no digest speaks against it, a number alone may not ask for memory: these tables would have 512 MiB.
    const foreign = altered(directory(), () => undefined);
    await expectRefused(
      config('"max_position_embeddings": 32', '"max_position_embeddings": 16777216', foreign),
      /^memory\/config\.json: max_position_embeddings: expected rotary tables of at most 16777216 bytes for a model of this size, got 536870912 \(16777216 positions x head size 8 x 4\)$/,
    );
    expect(engine().arena.buffer.byteLength).toBeLessThan(256 << 20);
    // The kernels take whole vectors.
    await expectRefused(
      config('"intermediate_size": 64', '"intermediate_size": 66', foreign),
      /^memory\/config\.json: intermediate_size: expected a multiple of 4, got 66$/,
    );
  });
});
