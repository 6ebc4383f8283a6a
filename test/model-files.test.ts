/** A saved model is a Hugging Face directory, and comes back as the model it was: the same bits of loss and logits. */
import { beforeAll, describe, expect, it } from 'vitest';
import { decode } from '../src/formats/index.js';
import type { Engine } from '../src/index.js';
import { fromHuggingFaceConfig } from '../src/interop/config.js';
import { FileError } from '../src/interop/errors.js';
import { parseSafetensors, type SafetensorsTensor, serializeSafetensors } from '../src/interop/safetensors.js';
import { parseTokenizer } from '../src/interop/tokenizer.js';
import { lastLogits } from '../src/model/sample.js';
import { newKvCache } from '../src/model/transformer.js';
import { read } from '../src/ops/quantize.js';
import { splitTokens } from '../src/train/data.js';
import { loadModel } from '../src/train/generate.js';
import { CONFIG_FILE, type LoadedModel, MODEL_FILE, TOKENIZER_FILE } from '../src/train/model-files.js';
import { meanLoss } from '../src/train/step.js';
import { expectSame } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import {
  doneOf,
  events,
  type MemoryStore,
  memoryStore,
  QUICK,
  refusalOf,
  TINY,
  useEngine,
  VARIANTS,
} from './helpers/training.js';

const engine = useEngine();
type Files = MemoryStore['files'];
const valLosses = new Map<string, number>();
const directories = new Map<string, Files>();
const options = { ...QUICK, steps: 10 };

beforeAll(async () => {
  for (const [name, variant] of VARIANTS) {
    const store = memoryStore();
    const run = await events({ ...options, ...variant, engine: engine(), outDir: store });
    valLosses.set(name, doneOf(run).val_loss as number);
    directories.set(name, store.files);
  }
});

const directory = (name = 'fp8'): Files => directories.get(name)!;
const tensorsOf = (files: Files) => parseSafetensors(files.get(MODEL_FILE)!).tensors;

/** Loads a model for the length of a test body. */
async function withModel<T>(own: Engine, files: Files, body: (loaded: LoadedModel) => T): Promise<T> {
  const mark = own.arena.mark();
  try {
    return body(await loadModel(memoryStore(files), { engine: own }));
  } finally {
    own.arena.release(mark);
  }
}

/** The directory with other tensors. Without the digest, as another program would write it. */
function altered(change: (tensors: Map<string, SafetensorsTensor>) => unknown, files = directory()): Files {
  const { tensors } = parseSafetensors(files.get(MODEL_FILE)!);
  change(tensors);
  return new Map([...files, [MODEL_FILE, serializeSafetensors(tensors, { format: 'pt' })]]);
}

async function expectRefused(files: Files, message: RegExp): Promise<void> {
  const own = engine();
  const before = own.arena.bytesInUse;
  const error = await refusalOf(loadModel(memoryStore(files), { engine: own }));
  expect(own.arena.bytesInUse).toBe(before);
  expect(error).toBeInstanceOf(FileError);
  expect(error.message).toMatch(message);
  expect(error.message).not.toContain('\n');
}

const float = (value: number) => new Uint8Array(Float32Array.of(value).buffer);
const floatOf = ({ data }: SafetensorsTensor) => new DataView(data.buffer, data.byteOffset).getFloat32(0, true);

describe('the files', () => {
  const LINEAR = /^model\.layers\.[01]\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)\.weight$/;

  it.each(['fp8', 'fp8-plain'])(
    '%s: linears in F8_E4M3 with one F32 scale each, embedding BF16, norm gains F32',
    (name) => {
      const tensors = tensorsOf(directory(name));
      const linears = [...tensors.keys()].filter((key) => LINEAR.test(key));
      expect(linears.length).toBe(14);
      for (const key of linears) {
        expect(tensors.get(key)!.dtype, key).toBe('F8_E4M3');
        const scale = tensors.get(`${key}_scale_inv`)!;
        expect(scale, key).toMatchObject({ dtype: 'F32', shape: [] });
        expect(Number.isInteger(Math.log2(floatOf(scale))), key).toBe(true);
      }
      const others = [...tensors].filter(([key]) => !linears.includes(key.replace('_scale_inv', '')));
      expect(others.map(([key, { dtype, shape }]) => `${key} ${dtype} ${shape}`).sort()).toEqual([
        'model.embed_tokens.weight BF16 256,32',
        'model.layers.0.input_layernorm.weight F32 32',
        'model.layers.0.post_attention_layernorm.weight F32 32',
        'model.layers.1.input_layernorm.weight F32 32',
        'model.layers.1.post_attention_layernorm.weight F32 32',
        'model.norm.weight F32 32',
      ]);
      expect(tensors.get('model.layers.0.self_attn.k_proj.weight')!.shape).toEqual([16, 32]);
    },
  );

  it('the largest code of each FP8 matrix uses the upper half of the format', () => {
    const tensors = tensorsOf(directory());
    for (const group of [
      ['q', 'k', 'v'].map((x) => `self_attn.${x}`),
      ['self_attn.o'],
      ['mlp.gate', 'mlp.up'],
      ['mlp.down'],
    ]) {
      const codes = group.flatMap((part) => [...tensors.get(`model.layers.0.${part}_proj.weight`)!.data]);
      const amax = decode(Uint8Array.from(codes), 'float8_e4m3fn').reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      // Above 224 before it is rounded, which may take it back there.
      expect(amax >= 224 && amax <= 448, `${group}: ${amax}`).toBe(true);
    }
  });

  it.each([
    ['bf16', 'BF16'],
    ['f32', 'F32'],
  ])('%s: matrices in %s, no scales', (name, dtype) => {
    const tensors = tensorsOf(directory(name));
    for (const [key, tensor] of tensors) expect(tensor.dtype, key).toBe(key.includes('norm') ? 'F32' : dtype);
    expect([...tensors.keys()].some((key) => key.endsWith('_scale_inv'))).toBe(false);
  });

  it('an untied head is a matrix of its own', () => {
    const tied = [...tensorsOf(directory()).keys()];
    expect(tied).not.toContain('lm_head.weight');
    const untied = tensorsOf(directory(VARIANTS.at(-1)![0]));
    expect(untied.get('lm_head.weight')).toMatchObject({ dtype: 'BF16', shape: [256, 32] });
  });

  it('config.json and tokenizer.json can be read by others', () => {
    const { config, torchDtype, quantization } = fromHuggingFaceConfig(directory().get(CONFIG_FILE)!);
    expect(config).toMatchObject({ ...TINY, headDim: 8, maxPositions: 32 });
    expect([torchDtype, quantization]).toEqual(['bfloat16', 'fp8']);
    expect(fromHuggingFaceConfig(directory('f32').get(CONFIG_FILE)!)).toMatchObject({
      torchDtype: 'float32',
      quantization: null,
    });
    expect(parseTokenizer(directory().get(TOKENIZER_FILE)!).vocabSize).toBe(256);
    const { model_type, quantization_config } = JSON.parse(new TextDecoder().decode(directory().get(CONFIG_FILE)));
    expect(model_type).toBe('llama');
    expect(quantization_config).toEqual({ quant_method: 'fp8', activation_scheme: 'dynamic', weight_block_size: null });
  });
});

describe('the loaded model', () => {
  it.each(VARIANTS.map(([name]) => name))('has the validation loss of its run, to the last bit: %s', async (name) => {
    const { validation } = splitTokens(QUICK.data, 0.1, 32);
    const { loss } = await withModel(engine(), directory(name), ({ model, casts }) =>
      meanLoss(model, casts, validation, 32),
    );
    expect(loss).toBe(valLosses.get(name));
    expect(loss).toBeLessThan(5);
  });

  const prompt = [...QUICK.data.subarray(0, 20)];
  const logitsOf = (files: Files) =>
    withModel(engine(), files, ({ model, casts }) => lastLogits(model, casts, prompt, newKvCache(model, 1, 32)));

  it('a mean loss counts every token once, each from its window so far', async () => {
    const text = QUICK.data.subarray(100, 122);
    // Windows of 8 that share 2: tokens 1 to 8, 9 to 14 and 15 to 20; the last token would need a window of its own.
    const windows = [
      { at: 0, from: 1, to: 8 },
      { at: 6, from: 9, to: 14 },
      { at: 12, from: 15, to: 20 },
    ];
    await withModel(engine(), directory(), ({ model, casts }) => {
      let sum = 0;
      for (const { at, from, to } of windows) {
        for (let i = from; i <= to; i++) {
          const logits = lastLogits(model, casts, [...text.subarray(at, i)], newKvCache(model, 1, 32));
          sum -= logits[text[i]] - Math.log(logits.reduce((total, x) => total + Math.exp(x), 0));
        }
      }
      const { loss, tokens } = meanLoss(model, casts, text, 8);
      expect(tokens).toBe(20);
      expect(Math.abs(loss - sum / 20)).toBeLessThan(1e-5 * loss);
      expect(meanLoss(model, casts, text, 8, 1).tokens).toBe(8);
    });
  });

  it('the digest is ours: a file without one loads to the same logits', async () => {
    expectSame(await logitsOf(altered(() => undefined)), await logitsOf(directory()), 'logits');
  });

  it('parts with scales of their own get a scale for each row', async () => {
    const K_OR_V = /[kv]_proj\.weight$/;
    // The lowest exponents would leave the normal range below, so their values become zero.
    const even = altered((tensors) => {
      for (const [key, tensor] of tensors) {
        const data = tensor.data.map((code) => ((code & 0x7f) < 16 ? code & 0x80 : code));
        if (K_OR_V.test(key)) tensors.set(key, { ...tensor, data });
      }
    });
    // The same values in other codes: the exponent one lower (3 bits of mantissa below it), the scale twice as large.
    const rescaled = altered((tensors) => {
      for (const [key, tensor] of tensors) {
        if (!K_OR_V.test(key)) continue;
        tensors.set(key, { ...tensor, data: tensor.data.map((code) => ((code & 0x7f) === 0 ? code : code - 8)) });
        const scale = tensors.get(`${key}_scale_inv`)!;
        tensors.set(`${key}_scale_inv`, { ...scale, data: float(floatOf(scale) * 2) });
      }
    }, even);
    expectSame(await logitsOf(rescaled), await logitsOf(even), 'logits');
    await withModel(engine(), rescaled, ({ model }) => {
      const { scaleInv } = model.weights.get('layers.0.qkv')!.forward;
      expect(scaleInv).toMatchObject({ rows: expect.any(Number) });
      expect(typeof model.weights.get('layers.0.o')!.forward.scaleInv).toBe('number');
    });
  });

  it('a scale of a part reaches the rows of that part and no other', async () => {
    const key = 'model.layers.1.mlp.up_proj.weight_scale_inv';
    const doubled = altered((tensors) =>
      tensors.set(key, { ...tensors.get(key)!, data: float(2 * floatOf(tensors.get(key)!)) }),
    );
    const values = (files: Files) =>
      withModel(engine(), files, ({ model }) => read(engine(), model.weights.get('layers.1.gate_up')!.forward));
    const [before, after] = [await values(directory()), await values(doubled)];
    // Gate has rows 0 to 63, up has 64 to 127, of 32 columns.
    const expected = before.map((value, i) => (i < 64 * 32 ? value : 2 * value));
    expectSame(after, expected, 'gate_up');
  });

  it('norm gains may be BF16', async () => {
    const half = altered((tensors) => {
      for (const [key, tensor] of tensors) {
        if (!key.includes('norm')) continue;
        const words = new Uint32Array(tensor.data.slice().buffer);
        const upper = new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
        tensors.set(key, { dtype: 'BF16', shape: tensor.shape, data: upper });
      }
    });
    await withModel(engine(), half, ({ model }) => {
      const { data } = tensorsOf(half).get('model.norm.weight')!;
      const expected = decode(new Uint16Array(data.slice().buffer), 'bfloat16');
      expectSame(read(engine(), model.weights.get('norm')!.forward), expected, 'norm');
    });
  });
});

describe('a directory that is not such a model', () => {
  const ALTERED =
    /expected a model with digest "[0-9a-f]{16}", got "[0-9a-f]{16}": the file or config\.json was altered$/;
  const up = 'model.layers.0.mlp.up_proj.weight';
  const cases: readonly (readonly [string, Parameters<typeof altered>[0], RegExp])[] = [
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
      'a tensor too many',
      (t) => t.set('lm_head.weight', t.get('model.embed_tokens.weight')!),
      /expected only tensors of this Llama, got one more, "lm_head\.weight"$/,
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
    await expectRefused(altered(change), message);
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
    const foreign = altered(() => undefined);
    await expectRefused(
      config('"max_position_embeddings": 32', '"max_position_embeddings": 16777216', foreign),
      /^memory\/config\.json: max_position_embeddings: expected rotary tables of at most 16777216 bytes \(for a small model\), got 536870912 \(16777216 positions\)$/,
    );
    expect(engine().arena.buffer.byteLength).toBeLessThan(256 << 20);
  });
});
