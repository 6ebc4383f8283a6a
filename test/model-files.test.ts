/** A saved model is a Hugging Face directory, and comes back as the model it was: the same bits of loss and logits. */
import { describe, expect, it } from 'vitest';
import { decode, encode } from '../src/formats/index.js';
import { fromHuggingFaceConfig } from '../src/interop/config.js';
import { parseSafetensors, serializeSafetensors } from '../src/interop/safetensors.js';
import { parseTokenizer } from '../src/interop/tokenizer.js';
import { lastLogits } from '../src/model/sample.js';
import { newKvCache } from '../src/model/transformer.js';
import { read } from '../src/ops/quantize.js';
import { RECIPES } from '../src/ops/recipe.js';
import { splitTokens } from '../src/train/data.js';
import { generate, loadModel } from '../src/train/generate.js';
import { CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE } from '../src/train/model-files.js';
import { meanLoss } from '../src/train/step.js';
import { expectSame } from './helpers/close.js';
import {
  altered,
  type Files,
  float,
  floatOf,
  tensorsOf,
  useDirectories,
  withModel,
} from './helpers/model-directory.js';
import { doneOf, events, memoryStore, QUICK, refusalOf, TINY, useEngine, VARIANTS } from './helpers/training.js';

const engine = useEngine();
const { directory, valLoss } = useDirectories(engine);

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
    expect(loss).toBe(valLoss(name));
    expect(loss).toBeLessThan(5);
  });

  const prompt = [...QUICK.data.subarray(0, 20)];
  const logitsOf = (files: Files) =>
    withModel(engine(), files, ({ model, casts }) => lastLogits(model, casts, prompt, newKvCache(model, 32)));

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
          const logits = lastLogits(model, casts, [...text.subarray(at, i)], newKvCache(model, 32));
          sum -= logits[text[i]] - Math.log(logits.reduce((total, x) => total + Math.exp(x), 0));
        }
      }
      const { loss, tokens } = meanLoss(model, casts, text, 8);
      expect(tokens).toBe(20);
      expect(Math.abs(loss - sum / 20)).toBeLessThan(1e-5 * loss);
      expect(meanLoss(model, casts, text, 8, 1).tokens).toBe(8);
    });
  });

  it('a mean loss refuses what it cannot measure', async () => {
    await withModel(engine(), directory(), ({ model, casts }) => {
      const text = QUICK.data.subarray(0, 40);
      for (const size of [0, 1.5, 33, '8']) {
        expect(() => meanLoss(model, casts, text, size as number), String(size)).toThrow(
          /^blockSize: expected an integer from 1 to 32, got /,
        );
      }
      expect(() => meanLoss(model, casts, text.subarray(0, 8), 8)).toThrow(
        /^tokens: expected more than 8, a block, got 8$/,
      );
      for (const limit of [0, 1.5, Number.NaN]) {
        expect(() => meanLoss(model, casts, text, 8, limit)).toThrow(
          /^limit: expected a number of windows, at least 1, got /,
        );
      }
      expect(() => meanLoss({ model } as never, casts, text, 8)).toThrow(
        /^model: expected that of a loaded one, got Object$/,
      );
      expect(() => meanLoss(model, casts, 'text' as never, 8)).toThrow(/^tokens: expected a Uint8Array, got 'text'$/);
    });
  });

  it.each(VARIANTS.map(([name]) => name))('gives its memory back, and is of no use then: %s', async (name) => {
    const before = engine().arena.bytesInUse;
    const loaded = await loadModel(memoryStore(directory(name)), { engine: engine() });
    expect(engine().arena.bytesInUse).toBeGreaterThan(before);
    const begun = generate(loaded, 'x', { maxNewTokens: 9 });
    begun.next();
    loaded.dispose();
    expect(() => [...begun]).toThrow(/, got one that was disposed$/);
    loaded.dispose();
    expect(engine().arena.bytesInUse).toBe(before);
    expect(() => generate(loaded, 'x', { maxNewTokens: 1 }).next()).toThrow(
      /^model: expected one that loadModel\(\) gave, got one that was disposed$/,
    );
    expect(() => generate(Promise.resolve() as never, 'x', { maxNewTokens: 1 }).next()).toThrow(/, got Promise$/);
  });

  it('the digest is ours: a file without one loads to the same logits', async () => {
    expectSame(await logitsOf(altered(directory(), () => undefined)), await logitsOf(directory()), 'logits');
  });

  it('parts with scales of their own get a scale for each row', async () => {
    const K_OR_V = /[kv]_proj\.weight$/;
    // The lowest exponents would leave the normal range below, so their values become zero.
    const even = altered(directory(), (tensors) => {
      for (const [key, tensor] of tensors) {
        const data = tensor.data.map((code) => ((code & 0x7f) < 16 ? code & 0x80 : code));
        if (K_OR_V.test(key)) tensors.set(key, { ...tensor, data });
      }
    });
    // The same values in other codes: the exponent one lower (3 bits of mantissa below it), the scale twice as large.
    const rescaled = altered(even, (tensors) => {
      for (const [key, tensor] of tensors) {
        if (!K_OR_V.test(key)) continue;
        tensors.set(key, { ...tensor, data: tensor.data.map((code) => ((code & 0x7f) === 0 ? code : code - 8)) });
        const scale = tensors.get(`${key}_scale_inv`)!;
        tensors.set(`${key}_scale_inv`, { ...scale, data: float(floatOf(scale) * 2) });
      }
    });
    expectSame(await logitsOf(rescaled), await logitsOf(even), 'logits');
    await withModel(engine(), rescaled, ({ model }) => {
      const { scaleInv } = model.weights.get('layers.0.qkv')!.forward;
      expect(scaleInv).toMatchObject({ rows: expect.any(Number) });
      expect(typeof model.weights.get('layers.0.o')!.forward.scaleInv).toBe('number');
    });
  });

  it('a scale of a part reaches the rows of that part and no other', async () => {
    const key = 'model.layers.1.mlp.up_proj.weight_scale_inv';
    const doubled = altered(directory(), (tensors) =>
      tensors.set(key, { ...tensors.get(key)!, data: float(2 * floatOf(tensors.get(key)!)) }),
    );
    const values = (files: Files) =>
      withModel(engine(), files, ({ model }) => read(engine(), model.weights.get('layers.1.gate_up')!.forward));
    const [before, after] = [await values(directory()), await values(doubled)];
    // Gate has rows 0 to 63, up has 64 to 127, of 32 columns.
    const expected = before.map((value, i) => (i < 64 * 32 ? value : 2 * value));
    expectSame(after, expected, 'gate_up');
  });

  it.each([
    ['BF16', 'bfloat16'],
    ['F16', 'float16'],
  ] as const)('norm gains may be %s', async (fileType, dtype) => {
    const half = altered(directory(), (tensors) => {
      for (const [key, tensor] of tensors) {
        if (!key.includes('norm')) continue;
        const codes = encode(new Float32Array(tensor.data.slice().buffer), dtype);
        tensors.set(key, { dtype: fileType, shape: tensor.shape, data: new Uint8Array(codes.buffer as ArrayBuffer) });
      }
    });
    await withModel(engine(), half, ({ model }) => {
      const { data } = tensorsOf(half).get('model.norm.weight')!;
      const expected = decode(new Uint16Array(data.slice().buffer), dtype);
      expectSame(read(engine(), model.weights.get('norm')!.forward), expected, 'norm');
    });
  });

  it('what other programs save besides is left out: a tied head that is the embedding, and rotary tables', async () => {
    const more = altered(directory(), (tensors) => {
      tensors.set('lm_head.weight', tensors.get('model.embed_tokens.weight')!);
      const data = new Uint8Array(16);
      tensors.set('model.layers.0.self_attn.rotary_emb.inv_freq', { dtype: 'F32', shape: [4], data });
    });
    expectSame(await logitsOf(more), await logitsOf(directory()), 'logits');
  });
});

describe('a recipe whose inputs and weights differ in format', () => {
  it.each([
    ['bfloat16', 'float8_e4m3fn'],
    ['float8_e4m3fn', 'bfloat16'],
    ['float8_e4m3fn', 'float8_e5m2'],
    ['float16', 'float16'],
  ] as const)('%s and %s: the saved model has the validation loss of its run', async (input, weight) => {
    const outDir = memoryStore();
    const recipe = { ...RECIPES.fp8, name: 'mixed', forward: { input, weight } };
    const run = await events({ ...QUICK, recipe, steps: 10, engine: engine(), outDir });
    const { validation } = splitTokens(QUICK.data, 0.1, 32);
    const { loss } = await withModel(engine(), outDir.files, ({ model, casts }) =>
      meanLoss(model, casts, validation, 32),
    );
    expect(loss).toBe(doneOf(run).val_loss);
  });

  it('is refused if the format is not one of inputs, or was altered', async () => {
    const outDir = memoryStore();
    const recipe = { ...RECIPES.fp8, name: 'mixed', forward: { input: 'bfloat16', weight: 'float8_e4m3fn' } } as const;
    await events({ ...QUICK, recipe, steps: 1, engine: engine(), outDir });
    const { tensors, metadata } = parseSafetensors(outDir.files.get(MODEL_FILE)!);
    const loading = (input: string) => {
      const file = serializeSafetensors(tensors, { ...metadata, octavo_input_dtype: input });
      return refusalOf(withModel(engine(), new Map([...outDir.files, [MODEL_FILE, file]]), () => undefined));
    };
    expect((await loading('float16')).message).toMatch(/expected a model with digest/);
    expect((await loading('float7')).message).toMatch(/expected octavo_input_dtype to be one of .*, got "float7"$/);
  });
});
