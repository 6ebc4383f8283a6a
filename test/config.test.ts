/** The model's record, and its passage through a Hugging Face config.json. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fromHuggingFaceConfig, toHuggingFaceConfig } from '../src/interop/config.js';
import { FileError } from '../src/interop/errors.js';
import { parseSafetensors } from '../src/interop/safetensors.js';
import { type LlamaConfig, llamaConfig } from '../src/model/config.js';

const utf8 = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const SMALL = { vocabSize: 256, hiddenSize: 96, layers: 2, heads: 6 };

describe('llamaConfig', () => {
  test('fills in the rest and freezes', () => {
    const c = llamaConfig(SMALL);
    expect(c).toEqual({
      ...SMALL,
      intermediateSize: 256,
      kvHeads: 6,
      headDim: 16,
      maxPositions: 2048,
      ropeTheta: 10000,
      rmsNormEps: 1e-5,
      tieWordEmbeddings: false,
    });
    expect(Object.isFrozen(c)).toBe(true);
    expect(llamaConfig(c)).toEqual(c);
    // The largest there may be.
    expect(llamaConfig({ ...SMALL, layers: 4096, maxPositions: 1 << 24 })).toMatchObject({
      layers: 4096,
      maxPositions: 1 << 24,
    });
  });

  test('intermediateSize is 8/3 hiddenSize up to a multiple of 32', () => {
    for (let hiddenSize = 2; hiddenSize < 2000; hiddenSize += 2) {
      const { intermediateSize } = llamaConfig({ ...SMALL, heads: 1, hiddenSize });
      expect(intermediateSize).toBe(32 * Math.ceil((8 * hiddenSize) / 3 / 32));
    }
  });

  const wrong: [object, new (message: string) => Error, string][] = [
    [{ vocabSize: 0 }, RangeError, 'vocabSize: expected an integer from 1 to 16777216, got 0'],
    [{ vocabSize: 1.5 }, RangeError, 'vocabSize: expected an integer from 1 to 16777216, got 1.5'],
    [{ hiddenSize: Number.NaN }, RangeError, 'hiddenSize: expected an integer from 1 to 16777216, got NaN'],
    [{ layers: 5000 }, RangeError, 'layers: expected an integer from 1 to 4096, got 5000'],
    [{ layers: '2' }, TypeError, 'layers: expected an integer, got "2"'],
    [{ heads: undefined }, TypeError, 'heads: expected an integer, got undefined'],
    [{ heads: 5 }, RangeError, 'hiddenSize: expected a multiple of heads = 5, got 96'],
    [{ kvHeads: 4 }, RangeError, 'kvHeads: expected a divisor of heads = 6, got 4'],
    [{ kvHeads: 12 }, RangeError, 'kvHeads: expected a divisor of heads = 6, got 12'],
    [{ headDim: 32 }, RangeError, 'headDim: expected hiddenSize / heads = 16, got 32'],
    [{ heads: 32 }, RangeError, 'headDim = hiddenSize / heads: expected an even number, for rotary pairs, got 3'],
    [{ intermediateSize: -1 }, RangeError, 'intermediateSize: expected an integer from 1 to 16777216, got -1'],
    [{ maxPositions: 2 ** 31 }, RangeError, 'maxPositions: expected an integer from 1 to 16777216, got 2147483648'],
    [{ ropeTheta: 0 }, RangeError, 'ropeTheta: expected a positive number within float32, got 0'],
    [
      { ropeTheta: Number.POSITIVE_INFINITY },
      RangeError,
      'ropeTheta: expected a positive number within float32, got Infinity',
    ],
    [{ rmsNormEps: 1e-60 }, RangeError, 'rmsNormEps: expected a positive number within float32, got 1e-60'],
    [{ rmsNormEps: '1e-5' }, TypeError, 'rmsNormEps: expected a number, got "1e-5"'],
    [{ tieWordEmbeddings: 1 }, TypeError, 'tieWordEmbeddings: expected true or false, got number'],
  ];
  test.each(wrong)('refuses %j', (change, type, message) => {
    expect(() => llamaConfig({ ...SMALL, ...change } as LlamaConfig)).toThrow(new type(message));
  });

  test('refuses a misspelled field', () => {
    expect(() => llamaConfig({ ...SMALL, kv_heads: 2 } as never)).toThrow(
      /^kv_heads: expected a field of LlamaConfig \(/,
    );
  });
});

describe('config.json', () => {
  const c = llamaConfig({
    ...SMALL,
    kvHeads: 2,
    intermediateSize: 200,
    maxPositions: 77,
    ropeTheta: 500000,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: true,
  });

  test('there and back', () => {
    const json = JSON.stringify(toHuggingFaceConfig(c), null, 2);
    expect(fromHuggingFaceConfig(utf8(json))).toEqual({ config: c, torchDtype: 'float32', quantization: null });
    const fp8 = toHuggingFaceConfig(c, { torchDtype: 'bfloat16', quantization: 'fp8' });
    expect(fp8.quantization_config).toEqual({
      quant_method: 'fp8',
      activation_scheme: 'dynamic',
      weight_block_size: null,
    });
    expect(fromHuggingFaceConfig(utf8(fp8))).toEqual({ config: c, torchDtype: 'bfloat16', quantization: 'fp8' });
  });

  test('the fields of LlamaForCausalLM', () => {
    expect(toHuggingFaceConfig(c)).toEqual({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: 256,
      hidden_size: 96,
      intermediate_size: 200,
      num_hidden_layers: 2,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      head_dim: 16,
      max_position_embeddings: 77,
      rope_theta: 500000,
      rope_scaling: null,
      rms_norm_eps: 1e-6,
      hidden_act: 'silu',
      attention_bias: false,
      attention_dropout: 0,
      mlp_bias: false,
      tie_word_embeddings: true,
      bos_token_id: null,
      eos_token_id: null,
      torch_dtype: 'float32',
    });
  });

  test('of the fixtures', () => {
    const read = (name: string) => {
      const bytes = new Uint8Array(readFileSync(new URL(`./vectors/${name}.safetensors`, import.meta.url)));
      return fromHuggingFaceConfig(utf8(parseSafetensors(bytes).metadata.config!)).config;
    };
    expect(read('llama-tiny')).toMatchObject({ vocabSize: 37, hiddenSize: 24, heads: 4, kvHeads: 2, headDim: 6 });
    expect(read('llama-tiny-tied')).toMatchObject({ layers: 1, kvHeads: 2, ropeTheta: 500, tieWordEmbeddings: true });
  });

  /** The sizes of TinyLlama-1.1B, with the fields its file has besides. */
  const tinyLlama = {
    architectures: ['LlamaForCausalLM'],
    bos_token_id: 1,
    eos_token_id: 2,
    hidden_act: 'silu',
    hidden_size: 2048,
    initializer_range: 0.02,
    intermediate_size: 5632,
    max_position_embeddings: 2048,
    model_type: 'llama',
    num_attention_heads: 32,
    num_hidden_layers: 22,
    num_key_value_heads: 4,
    rms_norm_eps: 1e-5,
    rope_scaling: null,
    tie_word_embeddings: false,
    torch_dtype: 'float32',
    transformers_version: '4.31.0.dev0',
    use_cache: true,
    vocab_size: 32000,
  };

  test('of a published model; what is absent has the default of transformers', () => {
    const { config } = fromHuggingFaceConfig(utf8(tinyLlama));
    expect(config).toMatchObject({ kvHeads: 4, headDim: 64, ropeTheta: 10000, tieWordEmbeddings: false });
    const { num_key_value_heads: _, rms_norm_eps: __, torch_dtype: ___, ...old } = tinyLlama;
    const parsed = fromHuggingFaceConfig(utf8(old));
    expect(parsed.config).toMatchObject({ kvHeads: 32, rmsNormEps: 1e-6 });
    expect(parsed.torchDtype).toBe(null);
  });

  test('as transformers 5 writes it', () => {
    const { torch_dtype: _, rope_scaling: __, ...rest } = tinyLlama;
    const file = {
      ...rest,
      dtype: 'bfloat16',
      eos_token_id: [2, 3],
      rope_parameters: { rope_theta: 500000, rope_type: 'default' },
    };
    const { config, torchDtype } = fromHuggingFaceConfig(utf8(file));
    expect([config.ropeTheta, torchDtype]).toEqual([500000, 'bfloat16']);
  });

  const refused: [object, string][] = [
    [{ model_type: 'mistral' }, 'model_type: expected "llama", got "mistral"'],
    [{ model_type: undefined }, 'model_type: expected "llama", got nothing'],
    [{ architectures: ['LlamaModel'] }, 'architectures: expected ["LlamaForCausalLM"], got ["LlamaModel"]'],
    [{ hidden_act: 'gelu' }, 'hidden_act: expected "silu" or nothing, got "gelu"'],
    [{ attention_bias: true }, 'attention_bias: expected false or nothing, got true'],
    [{ mlp_bias: true }, 'mlp_bias: expected false or nothing, got true'],
    [{ attention_dropout: 0.1 }, 'attention_dropout: expected 0 or null or nothing, got 0.1'],
    [{ rope_scaling: { rope_type: 'llama3' } }, 'rope_scaling: expected null or nothing, got an object'],
    [
      { rope_parameters: { rope_type: 'yarn' } },
      'rope_parameters.rope_type: expected "default" or nothing, got "yarn"',
    ],
    [
      { rope_theta: 1, rope_parameters: { rope_theta: 2 } },
      'rope_parameters.rope_theta: expected 1, as rope_theta, got 2',
    ],
    [{ rope_theta: '10000' }, 'rope_theta: expected a number, got "10000"'],
    [{ rope_theta: -1 }, 'rope_theta: expected a positive number within float32, got -1'],
    [{ sliding_window: 4096 }, 'sliding_window: expected null or nothing, got 4096'],
    [{ partial_rotary_factor: 0.5 }, 'partial_rotary_factor: expected 1 or null or nothing, got 0.5'],
    [{ vocab_size: undefined }, 'vocab_size: expected an integer, got nothing'],
    [{ vocab_size: -5 }, 'vocab_size: expected an integer from 1 to 16777216, got -5'],
    [{ hidden_size: 2048.5 }, 'hidden_size: expected an integer from 1 to 16777216, got 2048.5'],
    [{ num_hidden_layers: 1e9 }, 'num_hidden_layers: expected an integer from 1 to 4096, got 1000000000'],
    [{ num_attention_heads: 0 }, 'num_attention_heads: expected an integer from 1 to 16777216, got 0'],
    [{ num_attention_heads: 33 }, 'hidden_size: expected a multiple of num_attention_heads = 33, got 2048'],
    [{ num_key_value_heads: 5 }, 'num_key_value_heads: expected a divisor of num_attention_heads = 32, got 5'],
    [{ num_key_value_heads: true }, 'num_key_value_heads: expected a number, got true'],
    [{ head_dim: 128 }, 'head_dim: expected hidden_size / num_attention_heads = 64, got 128'],
    [{ max_position_embeddings: null }, 'max_position_embeddings: expected an integer, got null'],
    [{ rms_norm_eps: 0 }, 'rms_norm_eps: expected a positive number within float32, got 0'],
    [{ tie_word_embeddings: 'no' }, 'tie_word_embeddings: expected true or false, got "no"'],
    [
      { torch_dtype: 'float8_e4m3fn' },
      'torch_dtype: expected "float32" or "float16" or "bfloat16", got "float8_e4m3fn"',
    ],
    [{ bos_token_id: 32000 }, 'bos_token_id: expected null or token ids below vocab_size = 32000, got 32000'],
    [{ eos_token_id: [2, '3'] }, 'eos_token_id: expected null or token ids below vocab_size = 32000, got [2, "3"]'],
    [{ quantization_config: 'fp8' }, 'quantization_config: expected an object or null, got "fp8"'],
    [{ quantization_config: { quant_method: 'gptq' } }, 'quantization_config.quant_method: expected "fp8", got "gptq"'],
    [
      { quantization_config: { quant_method: 'fp8', activation_scheme: 'static' } },
      'quantization_config.activation_scheme: expected "dynamic" or nothing, got "static"',
    ],
    [
      { quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } },
      'quantization_config.weight_block_size: expected null or nothing, got [128, 128]',
    ],
  ];
  test.each(refused)('refuses %j', (change, message) => {
    const file = { ...tinyLlama, ...change };
    expect(() => fromHuggingFaceConfig(utf8(file))).toThrow(new FileError(`config.json: ${message}`));
  });

  test('refuses what is not one JSON object', () => {
    const message = (text: string) => () => fromHuggingFaceConfig(utf8(text));
    expect(message('null')).toThrow(new FileError('config.json: expected a JSON object, got null'));
    expect(message('')).toThrow(/^config.json: expected a JSON value, got the end of the JSON/);
    expect(message('{"rope_theta": 1e999}')).toThrow(/expected a number within float64 in "rope_theta", got "1e999"/);
    expect(message('{"vocab_size": 1, "vocab_size": 2}')).toThrow(/expected each key once, got "vocab_size" twice/);
    expect(message('{"__proto__": {"model_type": "llama"}}')).toThrow(/model_type: expected "llama", got nothing/);
  });
});
