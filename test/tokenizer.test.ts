/** The byte tokenizer, its tokenizer.json, and the refusal of every other one. */
import { describe, expect, test } from 'vitest';
import { FileError } from '../src/interop/errors.js';
import { byteTokenizer, byteTokenizerJson, parseTokenizer } from '../src/interop/tokenizer.js';

const utf8 = (text: string) => new TextEncoder().encode(text);
const TEXTS = [
  '',
  'Call me Ishmael.\n',
  '\0\x7f',
  '\ufeffBOM first',
  'ü ß \u00a0\u00ad',
  '日本語',
  '😀 👩‍👩‍👧',
  'e\u0301',
];

describe('ids', () => {
  test('are the bytes of the text, and give it back', () => {
    expect(byteTokenizer.vocabSize).toBe(256);
    expect([...byteTokenizer.encode('Aé')]).toEqual([65, 195, 169]);
    for (const text of TEXTS) expect(byteTokenizer.decode(byteTokenizer.encode(text))).toBe(text);
  });

  test('that are not UTF-8 become U+FFFD, and so does half a character', () => {
    expect(byteTokenizer.decode([65, 255, 66])).toBe('A\ufffdB');
    expect(byteTokenizer.decode([0xe6, 0x97])).toBe('\ufffd');
    expect([...byteTokenizer.encode('\ud800')]).toEqual([0xef, 0xbf, 0xbd]);
  });

  test.each([[256], [-1], [1.5], [Number.NaN]])('%d is refused', (id) => {
    expect(() => byteTokenizer.decode([65, id])).toThrow(
      new RangeError(`byteTokenizer: ids[1]: expected an integer from 0 to 255, got ${id}`),
    );
    expect(() => byteTokenizer.streamDecoder().push(id)).toThrow(RangeError);
  });

  test('one by one give the same text as at once, whole characters at a time', () => {
    for (const text of TEXTS) {
      const decoder = byteTokenizer.streamDecoder();
      const pieces = [...byteTokenizer.encode(text)].map((id) => decoder.push(id));
      expect(pieces.join('') + decoder.end()).toBe(text);
      expect(pieces.some((piece) => piece.includes('\ufffd'))).toBe(false);
    }
    const decoder = byteTokenizer.streamDecoder();
    expect(decoder.push([0x41, 0xf0, 0x9f])).toBe('A');
    expect(decoder.push(Uint8Array.of(0x98, 0x80))).toBe('😀');
    expect(decoder.push(0xe6)).toBe('');
    expect(decoder.end()).toBe('\ufffd');
    expect(decoder.push(0x42)).toBe('B');
  });
});

describe('tokenizer.json', () => {
  const json = byteTokenizerJson();

  test('is GPT-2 byte-to-unicode, id = byte', () => {
    const { model, pre_tokenizer } = JSON.parse(json);
    expect(Object.keys(model.vocab)).toHaveLength(256);
    expect(new Set(Object.values(model.vocab)).size).toBe(256);
    expect(model.merges).toEqual([]);
    expect(pre_tokenizer).toEqual({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false });
    // Anchors from GPT-2's own vocabulary file, where these characters stand for these bytes.
    const anchors = {
      '!': 33,
      A: 65,
      '~': 126,
      Ġ: 32,
      Ċ: 10,
      Ā: 0,
      ġ: 127,
      '¡': 161,
      '¬': 172,
      Ń: 173,
      '®': 174,
      ÿ: 255,
    };
    for (const [c, id] of Object.entries(anchors)) expect([c, model.vocab[c]]).toEqual([c, id]);
  });

  test('is the same text every time, and is accepted', () => {
    expect(byteTokenizerJson()).toBe(json);
    expect(parseTokenizer(utf8(json))).toBe(byteTokenizer);
    // As another writer might lay it out, with the fields that older ones leave away.
    const other = JSON.parse(json);
    delete other.model.ignore_merges;
    delete other.model.byte_fallback;
    delete other.version;
    expect(parseTokenizer(utf8(JSON.stringify(other)))).toBe(byteTokenizer);
    // As transformers 5.18 saves it.
    other.post_processor = {
      type: 'TemplateProcessing',
      single: [{ Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: {},
    };
    expect(parseTokenizer(utf8(JSON.stringify(other)))).toBe(byteTokenizer);
    other.post_processor.single.push({ Sequence: { id: 'A', type_id: 0 } });
    expect(() => parseTokenizer(utf8(JSON.stringify(other)))).toThrow(/post_processor.single: expected the text alone/);
    other.post_processor.special_tokens = { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } };
    expect(() => parseTokenizer(utf8(JSON.stringify(other)))).toThrow(
      /special_tokens: expected an empty object .* 1 of them/,
    );
  });

  type File = Record<string, Record<string, unknown>> & { added_tokens: unknown; normalizer: unknown; extra: unknown };
  const only = '(only the byte tokenizer is supported)';
  const refused: [string, (file: File) => void, string][] = [
    [
      'another model',
      (f) => Object.assign(f.model, { type: 'Unigram' }),
      `model.type: expected "BPE" or nothing ${only}, got "Unigram"`,
    ],
    [
      'merges',
      (f) => Object.assign(f.model, { merges: [['a', 'b']] }),
      `model.merges: expected an empty list ${only}, got a list of 1`,
    ],
    [
      'added tokens',
      (f) => Object.assign(f, { added_tokens: [{ id: 256, content: '</s>' }] }),
      `added_tokens: expected an empty list ${only}, got [an object]`,
    ],
    [
      'a normalizer',
      (f) => Object.assign(f, { normalizer: { type: 'NFC' } }),
      `normalizer: expected null or nothing ${only}, got an object`,
    ],
    [
      'a prefix space',
      (f) => Object.assign(f.pre_tokenizer, { add_prefix_space: true }),
      `pre_tokenizer.add_prefix_space: expected false ${only}, got true`,
    ],
    [
      'the default of use_regex',
      (f) => delete f.pre_tokenizer.use_regex,
      `pre_tokenizer.use_regex: expected false ${only}, got nothing`,
    ],
    ['no decoder', (f) => delete (f as Partial<File>).decoder, `decoder: expected an object ${only}, got nothing`],
    [
      'dropout',
      (f) => Object.assign(f.model, { dropout: 0.1 }),
      `model.dropout: expected null or nothing ${only}, got 0.1`,
    ],
    [
      'two ids exchanged',
      (f) => Object.assign(f.model.vocab as object, { A: 66, B: 65 }),
      `model.vocab "A": expected id 65 ${only}, got 66`,
    ],
    [
      'a token missing',
      (f) => delete (f.model.vocab as Record<string, number>).ÿ,
      `model.vocab "ÿ": expected id 255 ${only}, got nothing`,
    ],
    [
      'a token too many',
      (f) => Object.assign(f.model.vocab as object, { ab: 256 }),
      `model.vocab: expected 256 tokens ${only}, got 257`,
    ],
    ['an unknown field', (f) => Object.assign(f, { extra: 1 }), `"extra": expected no such field ${only}, got 1`],
    [
      'an unknown field that would break the line',
      (f) => Object.assign(f, { 'a\n\u001b[31m': 1 }),
      `"a\\n\\u001b[31m": expected no such field ${only}, got 1`,
    ],
    [
      'a vocab that is a list',
      (f) => Object.assign(f.model, { vocab: [] }),
      `model.vocab: expected an object ${only}, got []`,
    ],
  ];
  test.each(refused)('with %s is refused', (_, change, message) => {
    const file = JSON.parse(json);
    change(file);
    expect(() => parseTokenizer(utf8(JSON.stringify(file)))).toThrow(new FileError(`tokenizer.json: ${message}`));
  });

  test('that is not JSON is refused', () => {
    expect(() => parseTokenizer(utf8('[]'))).toThrow(new FileError('tokenizer.json: expected a JSON object, got []'));
    expect(() => parseTokenizer(utf8(json.slice(0, -3)))).toThrow(FileError);
    expect(() => parseTokenizer(utf8(json.replace('"A": 65', '"B": 65')))).toThrow(
      /each key once in "model"."vocab", got "B"/,
    );
    expect(() => parseTokenizer(utf8('{"a":'.repeat(1e5)))).toThrow(/at most 8 nested levels/);
  });
});
