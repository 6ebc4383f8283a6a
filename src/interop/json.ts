/**
 * Strict JSON (RFC 8259) for files from outside. `JSON.parse` is unsuitable: it silently keeps the last of two equal keys, recurses as deep as
 * the file says, and returns objects on which keys such as `__proto__` or `constructor` need care. Here an object is a `Map`, duplicate keys are
 * refused, and depth and number of values are bounded before anything of that size is built.
 */
import { FileError, quote } from './errors.js';

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
/** Keys are in file order. */
export type JsonObject = Map<string, JsonValue>;

export interface JsonOptions {
  /** Default 64 MiB. */
  maxBytes?: number;
  /** Maximum nesting of arrays and objects; the outermost counts as 1. Default 16. */
  maxDepth?: number;
  /** Maximum number of values in total: numbers, strings, literals, arrays and objects. Default one million. */
  maxValues?: number;
  /** `'counts'`: every number must be written as a non-negative integer of at most 2^53 - 1. Default `'any'` (finite). */
  numbers?: 'any' | 'counts';
}

/** Describes a value for messages: `null`, `a list`, `"text"`, `3`. */
export function describeJson(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) {
    const flat = value.length <= 8 && !value.some(Array.isArray);
    return flat ? `[${value.map(describeJson).join(', ')}]` : `a list of ${value.length}`;
  }
  if (value instanceof Map) return 'an object';
  return String(value);
}

/** Converts a value to what `JSON.parse` would return. */
export function plainJson(value: JsonValue | undefined): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plainJson(inner)]));
  return Array.isArray(value) ? value.map(plainJson) : value;
}

/** Formats a path for messages: `model.layers.0["shape"][1]` becomes `"model.layers.0"."shape"[1]`. */
function describePath(path: readonly (string | number)[]): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${quote(part)}`;
  return text;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** Parses in one pass over the text, with one method per production of the grammar. */
class Reader {
  private at = 0;
  private values = 0;
  private readonly path: (string | number)[] = [];

  constructor(
    private readonly text: string,
    private readonly what: string,
    private readonly maxDepth: number,
    private readonly maxValues: number,
    private readonly counts: boolean,
  ) {}

  document(): JsonValue {
    const value = this.value(1);
    this.space();
    if (this.at < this.text.length) this.fail('expected the end of the JSON');
    return value;
  }

  private fail(message: string, got = this.here()): never {
    const where = this.path.length === 0 ? '' : ` in ${describePath(this.path)}`;
    throw new FileError(`${this.what}: ${message}${where}, got ${got} (JSON character ${this.at})`);
  }

  private here(): string {
    const point = this.text.codePointAt(this.at);
    return point === undefined ? 'the end of the JSON' : quote(String.fromCodePoint(point));
  }

  private space(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.at++;
    }
  }

  private value(depth: number): JsonValue {
    this.space();
    if (++this.values > this.maxValues)
      this.fail(`expected at most ${this.maxValues} JSON values`, `${this.values} or more`);
    switch (this.text[this.at]) {
      case '{':
        return this.object(depth);
      case '[':
        return this.array(depth);
      case '"':
        return this.string();
      case 't':
        return this.literal('true', true);
      case 'f':
        return this.literal('false', false);
      case 'n':
        return this.literal('null', null);
      default:
        return this.number();
    }
  }

  private literal<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('expected a JSON value');
    this.at += word.length;
    return value;
  }

  private number(): number {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (match === null) this.fail('expected a JSON value');
    const word = match[0];
    const value = Number(word);
    if (this.counts && !(/^[0-9]+$/.test(word) && Number.isSafeInteger(value))) {
      this.fail('expected an integer from 0 to 2^53 - 1', quote(word));
    }
    if (!Number.isFinite(value)) this.fail('expected a number within float64', quote(word));
    this.at += word.length;
    return value;
  }

  private array(depth: number): JsonValue[] {
    this.enter(depth);
    const out: JsonValue[] = [];
    if (this.closes(']')) return out;
    for (;;) {
      this.path.push(out.length);
      out.push(this.value(depth + 1));
      this.path.pop();
      if (this.closes(']')) return out;
      this.comma(']');
    }
  }

  private object(depth: number): JsonObject {
    this.enter(depth);
    const out: JsonObject = new Map();
    if (this.closes('}')) return out;
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') this.fail('expected a key');
      const key = this.string();
      if (out.has(key)) this.fail('expected each key once', `${quote(key)} twice`);
      this.space();
      if (this.text[this.at] !== ':') this.fail(`expected ":" after key ${quote(key)}`);
      this.at++;
      this.path.push(key);
      out.set(key, this.value(depth + 1));
      this.path.pop();
      if (this.closes('}')) return out;
      this.comma('}');
    }
  }

  private enter(depth: number): void {
    if (depth > this.maxDepth) this.fail(`expected at most ${this.maxDepth} nested levels`, `${depth} or more`);
    this.at++;
  }

  private closes(bracket: string): boolean {
    this.space();
    if (this.text[this.at] !== bracket) return false;
    this.at++;
    return true;
  }

  private comma(bracket: string): void {
    if (this.text[this.at] !== ',') this.fail(`expected "," or "${bracket}"`);
    this.at++;
  }

  private string(): string {
    const start = ++this.at;
    let out = '';
    let from = start;
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (c === 0x22) {
        out += this.text.slice(from, this.at++);
        // Unpaired surrogates can only come from \u escapes; such a string has no UTF-8 form and could not be written back.
        if (from > start && /\p{Surrogate}/u.test(out)) this.fail('expected Unicode text', quote(out));
        return out;
      }
      if (c === 0x5c) {
        out += this.text.slice(from, this.at) + this.escape();
        from = this.at;
      } else if (c >= 0x20) {
        this.at++;
      } else {
        // Also reached past the end of the text, where the code is NaN.
        this.fail('expected the rest of a string');
      }
    }
  }

  private escape(): string {
    const c = this.text[this.at + 1];
    if (c === 'u') {
      const hex = this.text.slice(this.at + 2, this.at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.fail('expected four hexadecimal digits after "\\u"', quote(hex));
      this.at += 6;
      return String.fromCharCode(Number.parseInt(hex, 16));
    }
    const plain = c === undefined ? undefined : ESCAPES[c];
    if (plain === undefined) this.fail('expected a JSON escape', quote(this.text.slice(this.at, this.at + 2)));
    this.at += 2;
    return plain;
  }
}

/**
 * Parses one JSON value.
 *
 * @param bytes - UTF-8 without a byte order mark.
 * @param what - name of the source, with which every message begins, e.g. `config.json`.
 * @throws FileError for anything other than exactly one JSON value within the limits.
 */
function parseJson(bytes: Uint8Array, what: string, options: JsonOptions = {}): JsonValue {
  const { maxBytes = 64 << 20, maxDepth = 16, maxValues = 1_000_000, numbers = 'any' } = options;
  if (bytes.length > maxBytes) throw new FileError(`${what}: expected at most ${maxBytes} bytes, got ${bytes.length}`);
  let text: string;
  try {
    // slice(): browsers refuse to decode shared memory. ignoreBOM keeps a byte order mark, which the grammar then rejects.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.slice());
  } catch {
    throw new FileError(`${what}: expected JSON in UTF-8, got ${bytes.length} bytes that are not UTF-8`);
  }
  return new Reader(text, what, maxDepth, maxValues, numbers === 'counts').document();
}

/** Like {@link parseJson}, for the usual case of a file whose outermost value is an object. */
export function parseJsonObject(bytes: Uint8Array, what: string, options: JsonOptions = {}): JsonObject {
  const value = parseJson(bytes, what, options);
  if (!(value instanceof Map)) throw new FileError(`${what}: expected a JSON object, got ${describeJson(value)}`);
  return value;
}
