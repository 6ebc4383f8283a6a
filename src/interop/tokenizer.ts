/**
 * The byte tokenizer: each token id is the value of one byte of the UTF-8 text. It has no learned vocabulary and no unknown tokens, so it
 * suits any text, and a loss in nats per token is a loss in nats per byte.
 *
 * On disk it is a Hugging Face `tokenizer.json` from which `tokenizers` and `transformers` get the same ids: a BPE model without
 * merges after the ByteLevel pre-tokenizer, which maps each byte to one printable character (GPT-2's table).
 */
import { FileError, quote } from './errors.js';
import { describeJson, type JsonObject, type JsonValue, parseJsonObject } from './json.js';

/** Turns ids that arrive singly or in pieces into text as soon as characters are complete. */
export interface StreamDecoder {
  /** Returns the text that these ids complete, which is empty in the middle of a character. Bytes that are not UTF-8 become U+FFFD. */
  push(ids: number | ArrayLike<number>): string;
  /** Returns what is left of an unfinished character (U+FFFD or nothing) and resets the decoder for another text. */
  end(): string;
}

/** Converts between text and ids. */
export interface ByteTokenizer {
  readonly vocabSize: 256;
  /** The UTF-8 bytes of the text, which are its ids. Unpaired surrogates, which have no UTF-8 form, become U+FFFD. */
  encode(text: string): Uint8Array<ArrayBuffer>;
  /**
   * Decodes ids as UTF-8. Bytes that are not UTF-8 become U+FFFD.
   *
   * @throws RangeError for an id that is not an integer from 0 to 255.
   */
  decode(ids: ArrayLike<number>): string;
  streamDecoder(): StreamDecoder;
}

/** ignoreBOM keeps a leading U+FEFF as text; by default the decoder would drop it. */
const newDecoder = () => new TextDecoder('utf-8', { ignoreBOM: true });

function toBytes(ids: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(ids.length);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!(Number.isInteger(id) && id >= 0 && id <= 255)) {
      throw new RangeError(`byteTokenizer: ids[${i}]: expected an integer from 0 to 255, got ${id}`);
    }
    bytes[i] = id;
  }
  return bytes;
}

export const byteTokenizer: ByteTokenizer = Object.freeze({
  vocabSize: 256 as const,
  encode: (text: string) => new TextEncoder().encode(text),
  decode: (ids: ArrayLike<number>) => newDecoder().decode(toBytes(ids)),
  streamDecoder(): StreamDecoder {
    const decoder = newDecoder();
    return {
      push: (ids) => decoder.decode(toBytes(typeof ids === 'number' ? [ids] : ids), { stream: true }),
      end: () => decoder.decode(),
    };
  },
});

/**
 * GPT-2's `bytes_to_unicode`: the printable bytes of Latin-1 map to themselves, the other 68 to U+0100, U+0101 ... in order. (Source:
 * github.com/openai/gpt-2, src/encoder.py.)
 */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** The text of a `tokenizer.json` for {@link byteTokenizer}, identical on every call. */
export function byteTokenizerJson(): string {
  // Written by hand because a JavaScript object would move the keys "0" to "9" to the front.
  const vocab = byteCharacters().map((c, id) => `      ${JSON.stringify(c)}: ${id}`);
  return `{
  "version": "1.0",
  "truncation": null,
  "padding": null,
  "added_tokens": [],
  "normalizer": null,
  "pre_tokenizer": {
    "type": "ByteLevel",
    "add_prefix_space": false,
    "trim_offsets": true,
    "use_regex": false
  },
  "post_processor": null,
  "decoder": {
    "type": "ByteLevel",
    "add_prefix_space": false,
    "trim_offsets": true,
    "use_regex": false
  },
  "model": {
    "type": "BPE",
    "dropout": null,
    "unk_token": null,
    "continuing_subword_prefix": null,
    "end_of_word_suffix": null,
    "fuse_unk": false,
    "byte_fallback": false,
    "ignore_merges": false,
    "vocab": {
${vocab.join(',\n')}
    },
    "merges": []
  }
}
`;
}

/** Accepted values by field; `undefined` among them means that the field may be absent. */
type Fields = Readonly<Record<string, readonly (JsonValue | undefined)[]>>;

const NOTHING = [null, undefined] as const;
const NO = [false, undefined] as const;
const TOP: Fields = {
  version: ['1.0', undefined],
  truncation: NOTHING,
  padding: NOTHING,
  normalizer: NOTHING,
};
// add_prefix_space and use_regex default to true in the tokenizers library, so absent does not mean false.
const PRE_TOKENIZER: Fields = {
  type: ['ByteLevel'],
  add_prefix_space: [false],
  use_regex: [false],
  trim_offsets: [true, false, undefined],
};
// The decoder has the same fields but does not read them.
const DECODER: Fields = {
  type: ['ByteLevel'],
  add_prefix_space: [true, false, undefined],
  use_regex: [true, false, undefined],
  trim_offsets: [true, false, undefined],
};
const MODEL: Fields = {
  type: ['BPE', undefined],
  dropout: NOTHING,
  unk_token: NOTHING,
  continuing_subword_prefix: NOTHING,
  end_of_word_suffix: NOTHING,
  fuse_unk: NO,
  byte_fallback: NO,
  ignore_merges: [true, false, undefined],
};

/**
 * Reads a `tokenizer.json`.
 *
 * @throws FileError naming the field that differs, for any tokenizer other than the byte tokenizer of {@link byteTokenizerJson}.
 */
export function parseTokenizer(jsonBytes: Uint8Array): ByteTokenizer {
  const file = parseJsonObject(jsonBytes, 'tokenizer.json', { maxDepth: 8 });
  const preTokenizer = checkObject('pre_tokenizer', file.get('pre_tokenizer'));
  const decoder = checkObject('decoder', file.get('decoder'));
  const model = checkObject('model', file.get('model'));
  checkFields('', file, TOP, ['added_tokens', 'pre_tokenizer', 'post_processor', 'decoder', 'model']);
  checkPostProcessor(file.get('post_processor') ?? null);
  checkFields('pre_tokenizer.', preTokenizer, PRE_TOKENIZER);
  checkFields('decoder.', decoder, DECODER);
  checkFields('model.', model, MODEL, ['vocab', 'merges']);
  checkEmptyList('added_tokens', file.get('added_tokens') ?? []);
  checkEmptyList('model.merges', model.get('merges'));
  checkVocab(checkObject('model.vocab', model.get('vocab')));
  return byteTokenizer;
}

function refuse(field: string, expected: string, got: string): never {
  throw new FileError(
    `tokenizer.json: ${field}: expected ${expected} (only the byte tokenizer is supported), got ${got}`,
  );
}

function checkObject(field: string, value: JsonValue | undefined): JsonObject {
  if (!(value instanceof Map)) refuse(field, 'an object', describeJson(value));
  return value;
}

function checkEmptyList(field: string, value: JsonValue | undefined): void {
  if (!Array.isArray(value) || value.length > 0) refuse(field, 'an empty list', describeJson(value));
}

/** Throws unless every field has an accepted value and there are no others: an unknown field might change the ids. */
function checkFields(prefix: string, object: JsonObject, fields: Fields, alsoKnown: readonly string[] = []): void {
  for (const [key, accepted] of Object.entries(fields)) {
    const value = object.get(key);
    if (!accepted.includes(value)) refuse(prefix + key, accepted.map(describeJson).join(' or '), describeJson(value));
  }
  for (const [key, value] of object) {
    // Quoted, because this name comes from the file.
    if (!Object.hasOwn(fields, key) && !alsoKnown.includes(key)) {
      refuse(prefix + quote(key), 'no such field', describeJson(value));
    }
  }
}

/**
 * Accepts no post-processor, or the template that adds nothing, which transformers 5 writes into every file it saves. Without special tokens a
 * template can only repeat its sequences, so `single` must be the text itself, once; `pair` is for two texts, which we never encode.
 */
function checkPostProcessor(value: JsonValue): void {
  if (value === null) return;
  const template = checkObject('post_processor', value);
  checkFields('post_processor.', template, { type: ['TemplateProcessing'] }, ['single', 'pair', 'special_tokens']);
  const special = checkObject('post_processor.special_tokens', template.get('special_tokens'));
  if (special.size > 0) refuse('post_processor.special_tokens', 'an empty object', `${special.size} of them`);
  const single = template.get('single');
  const piece = Array.isArray(single) && single.length === 1 ? single[0] : null;
  const sequence = piece instanceof Map ? piece.get('Sequence') : null;
  if (!(sequence instanceof Map) || sequence.get('id') !== 'A') {
    refuse('post_processor.single', 'the text alone, [{"Sequence": {"id": "A"}}]', describeJson(single));
  }
}

function checkVocab(vocab: JsonObject): void {
  byteCharacters().forEach((c, id) => {
    if (vocab.get(c) !== id) refuse(`model.vocab ${quote(c)}`, `id ${id}`, describeJson(vocab.get(c)));
  });
  // All 256 bytes are present by now, so any further token stands for several bytes or for none.
  if (vocab.size !== 256) refuse('model.vocab', '256 tokens', String(vocab.size));
}
