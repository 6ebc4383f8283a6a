/** The safetensors reader against files it did not write, against itself, and against files that lie. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FileError } from '../src/interop/errors.js';
import {
  parseSafetensors,
  parseSafetensorsHeader,
  SAFETENSORS_DTYPES,
  type Safetensors,
  safetensorsDataStart,
  serializeSafetensors,
  serializeSafetensorsHeader,
} from '../src/interop/safetensors.js';

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`./vectors/${name}.safetensors`, import.meta.url)));

/** A file from header text (or bytes) and a number of data bytes 0, 1, 2 ... */
function file(header: string | Uint8Array, dataLength = 0, headerLength?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true);
  bytes.set(json, 8);
  for (let i = 0; i < dataLength; i++) bytes[8 + json.length + i] = i;
  return bytes;
}

const entry = (dtype: string, shape: string, begin: number | string, end: number | string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

/** What every accepted file must satisfy, computed here without the reader's own helpers. */
function checkInvariants(bytes: Uint8Array, { tensors, metadata }: Safetensors): void {
  const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const covered = new Uint8Array(bytes.length - 8 - headerLength);
  for (const [name, { dtype, shape, data }] of tensors) {
    const elements = shape.reduce((a, b) => a * BigInt(b), 1n);
    if (BigInt(data.length) !== elements * BigInt(SAFETENSORS_DTYPES.get(dtype)!)) throw new Error(`${name}: length`);
    if (data.buffer !== bytes.buffer) throw new Error(`${name}: not a view`);
    const from = data.byteOffset - bytes.byteOffset - 8 - headerLength;
    for (let i = 0; i < data.length; i++) covered[from + i]++;
  }
  if (!covered.every((n) => n === 1)) throw new Error('the tensors do not tile the data');
  if (Object.getPrototypeOf(metadata) !== null) throw new Error('metadata has a prototype');
  if (!Object.values(metadata).every((v) => typeof v === 'string')) throw new Error('metadata is not all strings');
}

/** The message of the FileError, or the failure to be one. */
function refusal(bytes: Uint8Array): string {
  try {
    parseSafetensors(bytes);
  } catch (error) {
    if (error instanceof FileError && !/[\r\n]/.test(error.message)) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('reading', () => {
  test.each(['llama-tiny', 'llama-tiny-tied'])('%s, written by Python', (name) => {
    const bytes = fixture(name);
    const parsed = parseSafetensors(bytes);
    checkInvariants(bytes, parsed);
    const { tensors, metadata } = parsed;
    const config = JSON.parse(metadata.config!);
    expect(tensors.get('model.embed_tokens.weight')).toMatchObject({
      dtype: 'F32',
      shape: [config.vocab_size, config.hidden_size],
    });
    expect(tensors.has('lm_head.weight')).toBe(!config.tie_word_embeddings);

    // The stored loss is the cross-entropy of the stored logits: the numbers, not only the frame, are read right.
    const [B, T, V] = tensors.get('logits')!.shape as [number, number, number];
    const floats = (key: string) => new Float64Array(tensors.get(key)!.data.slice().buffer);
    const ints = (key: string) => new Int32Array(tensors.get(key)!.data.slice().buffer);
    const logits = floats('logits');
    const targets = ints('targets');
    let loss = 0;
    for (let i = 0; i < B * T; i++) {
      const row = logits.subarray(i * V, (i + 1) * V);
      loss += (Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[targets[i]!]!) / (B * T);
    }
    expect(Math.abs(loss - floats('loss')[0]!)).toBeLessThan(1e-13);
    // Every gradient lies beside its weight and is of the same shape.
    for (const key of tensors.keys()) {
      if (key.startsWith('grad.')) expect(tensors.get(key)!.shape).toEqual(tensors.get(key.slice(5))!.shape);
    }
  });

  test('the smallest files', () => {
    expect(parseSafetensors(file('{}')).tensors.size).toBe(0);
    expect(parseSafetensors(file('{}      ')).tensors.size).toBe(0);
    const scalar = parseSafetensors(file(`{"s":${entry('F32', '[]', 0, 4)}}`, 4)).tensors.get('s')!;
    expect(scalar.shape).toEqual([]);
    expect([...scalar.data]).toEqual([0, 1, 2, 3]);
    // Tensors without elements take no room and may lie anywhere a tensor begins.
    const empty = `{"a":${entry('F32', '[0,7]', 0, 0)},"b":${entry('U8', '[2]', 0, 2)},"c":${entry('F64', '[3,0]', 2, 2)}}`;
    expect([...parseSafetensors(file(empty, 2)).tensors.keys()]).toEqual(['a', 'b', 'c']);
  });

  test('the order of the header is kept, whatever the order of the data', () => {
    const bytes = file(`{"z":${entry('U8', '[1]', 1, 2)},"10":${entry('U8', '[1]', 0, 1)}}`, 2);
    const read = [...parseSafetensors(bytes).tensors].map(([name, { data }]) => `${name}: ${data}`);
    expect(read).toEqual(['z: 1', '10: 0']);
  });

  test('names that are special in JavaScript or JSON', () => {
    const names = ['__proto__', 'constructor', 'toString', '', 'a"b\\c\n', 'ü😀', '7'];
    const bytes = serializeSafetensors(
      names.map((name, i) => ({ name, dtype: 'U8', shape: [1], data: Uint8Array.of(i) })),
      { ['__proto__']: 'x', constructor: 'y' },
    );
    const { tensors, metadata } = parseSafetensors(bytes);
    expect([...tensors.keys()]).toEqual(names);
    expect(Object.entries(metadata).join(' ')).toBe('__proto__,x constructor,y');
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  test('tensors come in a Map, in a record or with their names, and as nothing else', () => {
    const tensor = { dtype: 'U8', shape: [1], data: Uint8Array.of(5) };
    const expected = serializeSafetensors([{ name: 'w', ...tensor }]);
    expect(serializeSafetensors({ w: tensor })).toEqual(expected);
    expect(serializeSafetensors(new Map([['w', tensor]]))).toEqual(expected);
    for (const [given, message] of [
      [undefined, /^tensors: expected an object, got undefined$/],
      [[null], /: tensor "undefined": expected data to be a Uint8Array$/],
      [{ w: [1] }, /: tensor "w": expected data to be a Uint8Array$/],
    ] as const) {
      expect(() => serializeSafetensors(given as never)).toThrow(message);
    }
    expect(() => serializeSafetensors([], null as never)).toThrow(/^metadata: expected an object, got null$/);
  });

  test('a view into a larger buffer, a Buffer and shared memory', () => {
    const bytes = fixture('llama-tiny-tied');
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 3), 3);
    shared.set(bytes);
    for (const view of [shared, Buffer.concat([Buffer.alloc(5), bytes]).subarray(5)]) {
      const parsed = parseSafetensors(view);
      checkInvariants(view, parsed);
      const { data } = parsed.tensors.get('loss')!;
      expect(data.constructor).toBe(Uint8Array);
      expect([...data]).toEqual([...parseSafetensors(bytes).tensors.get('loss')!.data]);
    }
  });

  test('the header of a large file, from its beginning alone', () => {
    const bytes = fixture('llama-tiny');
    const start = safetensorsDataStart(bytes.subarray(0, 8), bytes.length);
    const { entries, dataStart } = parseSafetensorsHeader(bytes.subarray(0, start), bytes.length);
    expect(dataStart).toBe(start);
    const { begin, end } = entries.get('loss')!;
    expect(bytes.slice(begin, end)).toEqual(new Uint8Array(parseSafetensors(bytes).tensors.get('loss')!.data));
    expect(() => parseSafetensorsHeader(bytes.subarray(0, 100), bytes.length)).toThrow(RangeError);
  });
});

describe('writing', () => {
  test('the exact bytes of a small file', () => {
    const bytes = serializeSafetensors(
      new Map([['w', { dtype: 'BF16', shape: [1, 2], data: Uint8Array.of(1, 2, 3, 4) }]]),
      {
        k: 'v',
      },
    );
    const json = '{"__metadata__":{"k":"v"},"w":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}';
    const padded = json.padEnd(Math.ceil(json.length / 8) * 8);
    expect(new TextDecoder().decode(bytes.subarray(8, -4))).toBe(padded);
    expect([...bytes.subarray(-4)]).toEqual([1, 2, 3, 4]);
    expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(padded.length);
  });

  test('read and written again is the same file, for every dtype', () => {
    const tensors = [...SAFETENSORS_DTYPES].map(([dtype, size], i) => ({
      name: `t.${dtype}`,
      dtype,
      shape: [i % 3, 5],
      data: new Uint8Array((i % 3) * 5 * size).fill(i),
    }));
    const bytes = serializeSafetensors(tensors, { b: '2', a: '1' });
    const parsed = parseSafetensors(bytes);
    checkInvariants(bytes, parsed);
    expect((bytes.length - tensors.reduce((n, t) => n + t.data.length, 0)) % 8).toBe(0);
    expect(serializeSafetensors(parsed.tensors, parsed.metadata)).toEqual(bytes);
  });

  test('header and data piece by piece give the same file', () => {
    const tensors = [
      { name: 'a', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
      { name: 'b', dtype: 'I16', shape: [], data: Uint8Array.of(4, 5) },
    ];
    const header = serializeSafetensorsHeader(tensors.map((t) => ({ ...t, byteLength: t.data.length })));
    const pieces = [...header, ...tensors[0]!.data, ...tensors[1]!.data];
    expect(pieces).toEqual([...serializeSafetensors(tensors)]);
  });

  const tensor = { name: 'w', dtype: 'F32', shape: [2], data: new Uint8Array(8) };
  const wrong: [string, unknown[], RegExp, Record<string, unknown>?][] = [
    ['a name twice', [tensor, tensor], /expected a name not used before, got "w"/],
    ['the metadata name', [{ ...tensor, name: '__metadata__' }], /expected a name not used before, got "__metadata__"/],
    ['a dtype of torch', [{ ...tensor, dtype: 'float32' }], /tensor "w": expected a dtype of F64, .*, got "float32"/],
    ['too few bytes', [{ ...tensor, data: new Uint8Array(7) }], /tensor "w": expected 8 bytes for F32 \[2\], got 7/],
    ['a negative size', [{ ...tensor, shape: [-2] }], /expected a shape of non-negative integers, got \[-2\]/],
    ['floats for bytes', [{ ...tensor, data: new Float32Array(2) }], /tensor "w": expected data to be a Uint8Array/],
    ['half a character', [{ ...tensor, name: '\ud800' }], /without unpaired surrogates/],
    ['metadata of numbers', [tensor], /expected names and metadata to be strings, got number/, { step: 3 }],
  ];
  test.each(wrong)('refuses %s', (_, tensors, message, metadata) => {
    expect(() => serializeSafetensors(tensors as never, metadata as never)).toThrow(message);
  });
});

/** A file, and the line the user sees. */
// biome-ignore format: a table
const HOSTILE: [string, Uint8Array, string | RegExp][] = [
  // Frame
  ['nothing', new Uint8Array(0), 'safetensors: expected at least 8 bytes (the length of the header), got 0'],
  ['seven bytes', new Uint8Array(7), 'safetensors: expected at least 8 bytes (the length of the header), got 7'],
  ['an empty header', new Uint8Array(8), 'safetensors: expected a header that begins with "{" (byte 123), got an empty header'],
  ['a length past the end', file('{}', 0, 3n), 'safetensors: expected a header of at most 2 bytes (the rest of the file), got a length of 3'],
  ['a length over 100 MB', file('{}', 0, 100_000_001n), 'safetensors: expected a header of at most 100000000 bytes, got a length of 100000001'],
  ['a length of 2^64 - 1', file('{}', 0, 2n ** 64n - 1n), 'safetensors: expected a header of at most 100000000 bytes, got a length of 18446744073709551615'],
  ['a length of 2^32 + 2', file('{}', 0, 2n ** 32n + 2n), /got a length of 4294967298$/],
  // JSON
  ['a space first', file(' {}'), 'safetensors: expected a header that begins with "{" (byte 123), got byte 32'],
  ['a list', file('[]'), /got byte 91$/],
  ['a byte order mark', file('\ufeff{}'), /got byte 239$/],
  ['a bad UTF-8 byte', file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), 'safetensors header: expected JSON in UTF-8, got 5 bytes that are not UTF-8'],
  ['an overlong UTF-8 sequence', file(Uint8Array.of(0x7b, 0x22, 0xc0, 0x80, 0x22, 0x7d)), /not UTF-8$/],
  ['an unclosed object', file('{'), 'safetensors header: expected a key, got the end of the JSON (JSON character 1)'],
  ['an unclosed string', file('{"abc'), 'safetensors header: expected the rest of a string, got the end of the JSON (JSON character 5)'],
  ['a key without quotes', file('{a:1}'), 'safetensors header: expected a key, got "a" (JSON character 1)'],
  ['a comma too many', file(`{"a":${entry('U8', '[1]', 0, 1)},}`, 1), /expected a key, got "}"/],
  ['text behind', file('{}{}'), 'safetensors header: expected the end of the JSON, got "{" (JSON character 2)'],
  ['zero bytes as padding', file('{}\0\0'), 'safetensors header: expected the end of the JSON, got "\\u0000" (JSON character 2)'],
  ['a control character', file('{"a\nb":1}'), /expected the rest of a string, got "\\n"/],
  ['an unknown escape', file('{"\\x41":1}'), /expected a JSON escape, got "\\\\x"/],
  ['half a character', file(`{"\\ud800":${entry('U8', '[0]', 0, 0)}}`), /expected Unicode text, got "\\ud800"/],
  ['NaN', file('{"a":NaN}'), 'safetensors header: expected a JSON value in "a", got "N" (JSON character 5)'],
  ['a name twice', file(`{"a":${entry('U8', '[1]', 0, 1)},"a":${entry('U8', '[1]', 0, 1)}}`, 1), /expected each key once, got "a" twice/],
  ['a name twice, once escaped', file(`{"a":${entry('U8', '[1]', 0, 1)},"\\u0061":${entry('U8', '[1]', 0, 1)}}`, 1), /expected each key once, got "a" twice/],
  ['a field twice', file('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), /each key once in "a", got "dtype" twice/],
  ['metadata twice', file('{"__metadata__":{},"__metadata__":{}}'), /expected each key once, got "__metadata__" twice/],
  ['__proto__ twice', file('{"__proto__":1,"__proto__":2}'), /expected each key once, got "__proto__" twice/],
  ['deep nesting', file(`{"a":${'['.repeat(100_000)}`), 'safetensors header: expected at most 3 nested levels in "a"[0][0], got 4 or more (JSON character 7)'],
  ['metadata of objects', file('{"__metadata__":{"a":{"b":"c"}}}'), 'safetensors: "__metadata__" "a": expected a string, got an object'],
  ['metadata of numbers', file('{"__metadata__":{"step":3}}'), 'safetensors: "__metadata__" "step": expected a string, got 3'],
  ['metadata as a string', file('{"__metadata__":"x"}'), 'safetensors: "__metadata__": expected an object of strings, got "x"'],
  // One tensor
  ['a tensor that is a number', file('{"w":1}'), 'safetensors: tensor "w": expected an object with dtype, shape and data_offsets, got 1'],
  ['__proto__ that is a list', file('{"__proto__":[]}'), 'safetensors: tensor "__proto__": expected an object with dtype, shape and data_offsets, got []'],
  ['an unknown field', file('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"scale":2}}', 1), 'safetensors: tensor "w": expected only dtype, shape and data_offsets, got "scale"'],
  ['no dtype', file('{"w":{"shape":[1],"data_offsets":[0,1]}}', 1), /tensor "w": expected a dtype of F64, F32, .*, got nothing$/],
  ['a dtype unknown', file(`{"w":${entry('F4', '[2]', 0, 1)}}`, 1), /tensor "w": expected a dtype of F64, .*, got "F4"$/],
  ['a dtype of the prototype', file(`{"w":${entry('constructor', '[1]', 0, 1)}}`, 1), /expected a dtype of .*, got "constructor"$/],
  ['a dtype in lower case', file(`{"w":${entry('f32', '[1]', 0, 4)}}`, 4), /got "f32"$/],
  ['no shape', file('{"w":{"dtype":"U8","data_offsets":[0,1]}}', 1), 'safetensors: tensor "w": expected shape to be a list of non-negative integers, got nothing'],
  ['a shape of strings', file(`{"w":${entry('U8', '["1"]', 0, 1)}}`, 1), 'safetensors: tensor "w": expected shape to be a list of non-negative integers, got ["1"]'],
  ['a shape of lists', file('{"w":{"dtype":"U8","shape":[[]],"data_offsets":[0,1]}}', 1), /expected at most 3 nested levels/],
  ['a negative size', file(`{"w":${entry('U8', '[-1,-1]', 0, 1)}}`, 1), 'safetensors header: expected an integer from 0 to 2^53 - 1 in "w"."shape"[0], got "-1" (JSON character 28)'],
  ['minus zero', file(`{"w":${entry('U8', '[-0]', 0, 0)}}`), /in "w"."shape"\[0\], got "-0"/],
  ['a fraction', file(`{"w":${entry('U8', '[1.0]', 0, 1)}}`, 1), /in "w"."shape"\[0\], got "1.0"/],
  ['an exponent', file(`{"w":${entry('U8', '[1e0]', 0, 1)}}`, 1), /in "w"."shape"\[0\], got "1e0"/],
  ['a leading zero', file(`{"w":${entry('U8', '[01]', 0, 1)}}`, 1), /expected "," or "]" in "w"."shape", got "1"/],
  ['a size of 2^53', file(`{"w":${entry('U8', '[9007199254740992]', 0, 1)}}`, 1), /in "w"."shape"\[0\], got "9007199254740992"/],
  ['a size past float64', file(`{"w":${entry('U8', `[${'9'.repeat(400)}]`, 0, 1)}}`, 1), /expected an integer from 0 to 2\^53 - 1/],
  ['a product of 2^64 = 0', file(`{"w":${entry('U8', '[4294967296,4294967296]', 0, 0)}}`), 'safetensors: tensor "w": expected a shape of less than 2^53 bytes, got [4294967296, 4294967296]'],
  ['an overflow hidden by a zero', file(`{"w":${entry('U8', '[4294967296,4294967296,0]', 0, 0)}}`), /less than 2\^53 bytes/],
  ['bytes past 2^53', file(`{"w":${entry('F64', '[9007199254740991]', 0, 0)}}`), /less than 2\^53 bytes/],
  ['one offset', file('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0]}}', 1), 'safetensors: tensor "w": expected data_offsets to be two non-negative integers, got [0]'],
  ['three offsets', file('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', 1), /two non-negative integers, got \[0, 1, 1\]$/],
  ['no offsets', file('{"w":{"dtype":"U8","shape":[1]}}', 1), /two non-negative integers, got nothing$/],
  ['offsets backwards', file(`{"w":${entry('U8', '[1]', 1, 0)}}`, 1), 'safetensors: tensor "w": expected data_offsets with begin <= end, got [1, 0]'],
  ['too few bytes', file(`{"w":${entry('F32', '[2,3]', 0, 23)}}`, 23), 'safetensors: tensor "w": expected 24 bytes for F32 [2, 3], got 23 (data_offsets [0, 23])'],
  ['a shape too small', file(`{"w":${entry('F8_E4M3', '[0]', 0, 8)}}`, 8), 'safetensors: tensor "w": expected 0 bytes for F8_E4M3 [0], got 8 (data_offsets [0, 8])'],
  // All tensors
  ['an overlap', file(`{"a":${entry('U8', '[4]', 0, 4)},"b":${entry('U8', '[4]', 2, 6)}}`, 6), 'safetensors: tensor "b": expected its data to begin at offset 4, behind tensor "a", got 2 (an overlap of 2 bytes)'],
  ['the same bytes twice', file(`{"a":${entry('U8', '[4]', 0, 4)},"b":${entry('U8', '[4]', 0, 4)}}`, 4), /got 0 \(an overlap of 4 bytes\)$/],
  ['an empty tensor inside another', file(`{"a":${entry('U8', '[4]', 0, 4)},"b":${entry('U8', '[0]', 2, 2)}}`, 4), /tensor "b": .* \(an overlap of 2 bytes\)$/],
  ['a hole in front', file(`{"a":${entry('U8', '[4]', 8, 12)}}`, 12), 'safetensors: tensor "a": expected its data to begin at offset 0, behind the header, got 8 (a hole of 8 bytes)'],
  ['a hole between', file(`{"b":${entry('U8', '[1]', 3, 4)},"a":${entry('U8', '[2]', 0, 2)}}`, 4), 'safetensors: tensor "b": expected its data to begin at offset 2, behind tensor "a", got 3 (a hole of 1 bytes)'],
  ['bytes behind', file(`{"a":${entry('U8', '[4]', 0, 4)}}`, 5), 'safetensors: expected 4 bytes of data, up to the end of tensor "a", got 5'],
  ['data without tensors', file('{}', 1), 'safetensors: expected 0 bytes of data, up to the end of the header, got 1'],
  ['a file cut short', file(`{"a":${entry('U8', '[4]', 0, 4)}}`, 3), 'safetensors: expected 4 bytes of data, up to the end of tensor "a", got 3'],
  // The message itself
  ['a name that would break the line', file('{"a\\n\\u001b[31m\\u202e\\u0085":1}'), 'safetensors: tensor "a\\n\\u001b[31m\\u{202e}\\u{0085}": expected an object with dtype, shape and data_offsets, got 1'],
  ['a name of a megabyte', file(`{"${'x'.repeat(1 << 20)}":1}`), `safetensors: tensor "${'x'.repeat(96)}...": expected an object with dtype, shape and data_offsets, got 1`],
];

describe('refusing', () => {
  test.each(HOSTILE)('%s', (_, bytes, message) => {
    const got = refusal(bytes);
    if (typeof message === 'string') expect(got).toBe(message);
    else expect(got).toMatch(message);
  });

  test('the wrong kind of argument', () => {
    expect(() => parseSafetensors(new ArrayBuffer(8) as never)).toThrow(TypeError);
  });

  test('every shortened file', () => {
    const bytes = fixture('llama-tiny-tied');
    const start = safetensorsDataStart(bytes, bytes.length);
    for (let length = 0; length < bytes.length; length += length < start ? 7 : 1013) {
      expect(refusal(bytes.subarray(0, length))).toMatch(/^safetensors/);
    }
  });

  test('mutations of a real file: a FileError or a file that keeps every promise', { timeout: 60_000 }, () => {
    // A file with scalars, empty tensors and escapes, so that a changed byte meets many branches.
    const small = serializeSafetensors(
      [...SAFETENSORS_DTYPES].map(([dtype, size], i) => ({
        name: `层.${i}"`,
        dtype,
        shape: i % 4 === 0 ? [] : [i % 3, 2],
        data: new Uint8Array(size * (i % 4 === 0 ? 1 : (i % 3) * 2)),
      })),
      { note: 'x', step: '12' },
    );
    let state = 12345;
    const random = (n: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    // Bytes that mean something in JSON get further than random ones.
    const telling = new TextEncoder().encode('{}[]",:\\ 0123456789-.eE+tfnu_\n\0');
    let accepted = 0;
    let refused = 0;
    for (const original of [small, fixture('llama-tiny-tied')]) {
      const start = safetensorsDataStart(original, original.length);
      for (let round = 0; round < 3000; round++) {
        const bytes = original.slice();
        for (let n = 1 + random(2); n > 0; n--) {
          // Mostly the header; sometimes the length in front of it or the data behind.
          const at = random(10) === 0 ? random(8) : random(10) === 0 ? random(bytes.length) : 8 + random(start - 8);
          const how = random(3);
          if (how === 0) bytes[at] ^= 1 << random(8);
          else if (how === 1) bytes[at] = random(256);
          else bytes[at] = telling[random(telling.length)]!;
        }
        let parsed: Safetensors | undefined;
        try {
          parsed = parseSafetensors(bytes);
        } catch (error) {
          if (!(error instanceof FileError) || /[\r\n]/.test(error.message)) throw error;
          refused++;
        }
        if (parsed !== undefined) {
          checkInvariants(bytes, parsed);
          accepted++;
        }
      }
    }
    // Neither answer is the only one: changed names and padding are still files.
    expect(accepted).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(3000);
  });
});
