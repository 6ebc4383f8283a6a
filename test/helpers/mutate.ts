/**
 * Damage to real files, from a seed: to their bytes, and to their JSON as a tree, so that what is wrong may lie deep inside a file that is
 * otherwise well formed. A mutant is a few edits away from a real file, so a failure is small as it stands.
 */
import type { Random } from './rng.js';

/** JSON that keeps what `JSON.parse` loses: order, equal keys, and how a number is written. A string is a scalar's text. */
export type Tree = string | { open: '[' | '{'; slots: Slot[] };
interface Slot {
  /** The key's JSON text; in a list it is not printed. */
  key: string;
  value: Tree;
}

export function treeOf(value: unknown): Tree {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const slots = Object.entries(value).map(([key, inner]) => ({ key: JSON.stringify(key), value: treeOf(inner) }));
  return { open: Array.isArray(value) ? '[' : '{', slots };
}

/** `space` stands between all tokens. */
export function textOf(tree: Tree, space = ''): string {
  if (typeof tree === 'string') return tree;
  const inObject = tree.open === '{';
  const parts = tree.slots.map(({ key, value }) => (inObject ? `${key}${space}:${space}` : '') + textOf(value, space));
  return `${tree.open}${space}${parts.join(`${space},${space}`)}${space}${inObject ? '}' : ']'}`;
}

const copy = (tree: Tree): Tree =>
  typeof tree === 'string'
    ? tree
    : { open: tree.open, slots: tree.slots.map(({ key, value }) => ({ key, value: copy(value) })) };

const KEYS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  '__metadata__',
  'dtype',
  'octavo_state',
  '\ud800',
  '',
  '0',
].map((key) => JSON.stringify(key));
// biome-ignore format: one line a kind
const HOSTILE = [
  '0', '-0', '1', '2', '-1', '1.5', '1.0', '1e0', '1E2', '01', '+1', '.5', '1.', '0x10', '1e400', '-1e400', '1e-400', 'NaN', 'Infinity',
  '127', '255', '256', '257', '65536', '2147483647', '2147483648', '4294967295', '4294967296', '16777216', '1e9', '4096',
  '9007199254740991', '9007199254740992', '9007199254740993', '18446744073709551615', '18446744073709551616', '9'.repeat(400),
  '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\u202e"', '"\ufeff"', '"F4"', '"f32"', '"a', '"\\x41"', '"\\u12"', '"a\nb"',
  'null', 'true', 'false', 'nul', '', '[]', '{}', '[[]]', '{"__proto__":{"a":1}}', '{"a":1,"a":1}', '/*a*/1', '1,',
  ...KEYS,
];
const SPACES = [' ', '\n', '\r\n\t', '    ', '\u00a0', '\f', '\0'];
const DTYPES = ['F64', 'F32', 'F16', 'BF16', 'I64', 'I32', 'I16', 'I8', 'U8', 'BOOL', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0'];

function nested(depth: number, open: string, close: string): string {
  return open.repeat(depth) + close.repeat(depth);
}

/** Every list and object with something in it. */
function holders(tree: Tree, into: Slot[][] = []): Slot[][] {
  if (typeof tree === 'string') return into;
  if (tree.slots.length > 0) into.push(tree.slots);
  for (const { value } of tree.slots) holders(value, into);
  return into;
}

function swap<T>(list: T[], i: number, j: number): void {
  [list[i], list[j]] = [list[j], list[i]];
}

/** The same text written with a \u escape: equal to what it was, for a reader that is right. */
function escaped(random: Random, text: string): string {
  if (!/^"[ -~]+"$/.test(text) || text.includes('\\')) return text;
  const at = random.integer(1, text.length - 2);
  return `${text.slice(0, at)}\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}${text.slice(at + 1)}`;
}

function editTree(random: Random, all: Slot[][]): void {
  const slots = random.pick(all);
  const i = random.integer(0, slots.length - 1);
  const slot = slots[i];
  if (!slot) return;
  const other = random.pick(random.pick(all)) ?? slot;
  switch (random.integer(0, 12)) {
    case 0:
    case 1:
      slot.value = random.pick(HOSTILE);
      break;
    case 2: {
      // A number not far away.
      const n = Number(slot.value);
      if (Number.isFinite(n))
        slot.value = String(random.pick([n + 1, n - 1, 2 * n, n / 2, n + 8, n + 2 ** 32, n * 2 ** 53]));
      break;
    }
    case 3:
      slots.splice(i, 1);
      break;
    case 4:
      slots.splice(random.integer(0, slots.length), 0, {
        key: slot.key,
        value: copy(random.pick([slot, other]).value),
      });
      break;
    case 5:
      slot.key = random.pick([...KEYS, other.key]);
      break;
    case 6:
      swap(slots, i, random.integer(0, slots.length - 1));
      break;
    case 7:
      slots.push({
        key: random.pick([...KEYS, '"scale"', other.key]),
        value: random.pick([...HOSTILE, copy(other.value)]),
      });
      break;
    case 8:
      slot.value = copy(other.value);
      break;
    case 9:
      slot.key = escaped(random, slot.key);
      break;
    case 10:
      if (typeof slot.value === 'string') slot.value = escaped(random, slot.value);
      break;
    case 11: {
      const [open, close] = random.pick([
        ['[', ']'],
        ['{"a":', '}'],
        ['{', '}'],
      ]);
      slot.value = nested(random.pick([1, 2, 4, 17, 20_000]), open, random.pick([close, '']));
      break;
    }
    case 12: {
      const { value } = slot;
      slot.value = other.value;
      other.value = value;
      if (random.word() & 1) [slot.key, other.key] = [other.key, slot.key];
    }
  }
}

/** Text of a JSON file after one to three edits to its tree. */
export function mutateJson(random: Random, tree: Tree): string {
  const mutant = copy(tree);
  for (let left = random.pick([1, 1, 2, 3]); left > 0; left--) editTree(random, holders(mutant));
  return print(random, mutant);
}

/** One number of the outermost object becomes a power of two: sizes that are well formed and ask for much. */
export function mutateSize(random: Random, tree: Tree): string {
  const mutant = copy(tree);
  if (typeof mutant === 'string') return mutant;
  const numbers = mutant.slots.filter(({ value }) => typeof value === 'string' && Number(value) > 0);
  if (numbers.length === 0) return mutateJson(random, tree);
  random.pick(numbers).value = String(2 ** random.integer(-16, 32));
  return print(random, mutant);
}

/** Now and then with white space, some of which is not JSON's, inside or around. */
function print(random: Random, tree: Tree): string {
  const space = (odds: number) => (random.integer(1, odds) === 1 ? random.pick(SPACES) : '');
  return space(50) + textOf(tree, space(10)) + space(50);
}

const fieldOf = (slot: Slot, key: string): Slot | undefined =>
  typeof slot.value === 'string' ? undefined : slot.value.slots.find((field) => field.key === key);

const numbersOf = (slot: Slot | undefined): number[] =>
  !slot || typeof slot.value === 'string' ? [] : slot.value.slots.map(({ value }) => Number(value));

/** One edit to what a safetensors header says of its tensors: names, types, shapes and places that lie, or that say the same anew. */
function editTensors(random: Random, slots: Slot[]): void {
  const a = random.pick(slots);
  // Tensors of one shape can change places without a trace in the sizes.
  const shapeOf = (slot: Slot) => numbersOf(fieldOf(slot, '"shape"')).join();
  const b = random.pick(random.word() & 1 ? slots.filter((slot) => shapeOf(slot) === shapeOf(a)) : slots);
  const [shape, offsets, dtype] = ['"shape"', '"data_offsets"', '"dtype"'].map((key) => fieldOf(a, key));
  if (!shape || !offsets || !dtype) return;
  const sizes = numbersOf(shape);
  const [begin = 0, end = 0] = numbersOf(offsets);
  const exchange = (key: string) => {
    const [one, two] = [fieldOf(a, key), fieldOf(b, key)];
    if (one && two) [one.value, two.value] = [two.value, one.value];
  };
  const put = (field: Slot, values: readonly (number | string)[]) => {
    field.value = { open: '[', slots: values.map((value) => ({ key: '', value: String(value) })) };
  };
  const product = sizes.reduce((x, y) => x * y, 1);
  const step = random.pick([1, -1, 2, 4, -4, 8, end - begin, begin - end]);
  const add = (value: Tree) => {
    slots.splice(random.integer(0, slots.length), 0, { key: `"tensor.${random.integer(0, 9)}"`, value });
  };
  switch (random.integer(0, 15)) {
    case 0:
      exchange('"data_offsets"');
      break;
    case 1:
      exchange('"shape"');
      exchange('"data_offsets"');
      exchange('"dtype"');
      break;
    case 2:
      [a.key, b.key] = [b.key, a.key];
      break;
    case 3:
      // An overlap at one end and a hole at the other.
      put(offsets, [begin + step, end + step]);
      break;
    case 4:
      put(offsets, random.pick([[begin, end + step], [begin + step, end], [end, begin], [begin], [begin, end, end]]));
      break;
    case 5:
      put(offsets, numbersOf(fieldOf(b, '"data_offsets"')));
      break;
    case 6:
      dtype.value = JSON.stringify(random.pick(DTYPES));
      break;
    case 7:
      exchange('"dtype"');
      break;
    case 8:
      // The same product from other factors.
      put(shape, random.pick([[product], [...sizes].reverse(), [1, ...sizes], [...sizes, 1], [product / 2, 2]]));
      break;
    case 9:
      // Products that are right modulo 2^32, 2^53 or 2^64, or only after a zero.
      put(
        shape,
        random.pick([
          [...sizes, 4294967297],
          [4294967296, 4294967296],
          [4294967296, 4294967296, 0],
          [0, '9007199254740991', '9007199254740991'],
          [...sizes, '18446744073709551617'],
          [product + 2 ** 32],
        ]),
      );
      break;
    case 10:
      swap(slots, slots.indexOf(a), slots.indexOf(b));
      break;
    case 11: {
      // A tensor of no bytes, at a border of another or inside it, some with a product that overflows before its zero.
      const at = random.pick([0, begin, end, begin + 1, 2 ** 53 - 1]);
      const shape = random.pick([[0], [3, 0], [2 ** 32, 2 ** 32, 0], [0, 2 ** 53 - 1, 2]]);
      add(treeOf({ dtype: random.pick(DTYPES), shape, data_offsets: [at, at] }));
      break;
    }
    case 12:
      slots.splice(slots.indexOf(a), 1);
      break;
    case 13:
      add(copy(a.value));
      break;
    case 14: {
      // As bytes, and some more or fewer of them: all its numbers agree, and it overlaps a neighbour or leaves a hole.
      const [from, to] = random.pick([
        [begin, end + step],
        [begin - step, end],
        [begin + step, end + step],
      ]);
      a.value = treeOf({ dtype: 'U8', shape: [to - from], data_offsets: [from, to] });
      break;
    }
    case 15:
      a.key = random.pick([...KEYS, escaped(random, a.key), b.key]);
  }
}

/** Text of a safetensors header after one to three edits. */
export function mutateTensors(random: Random, tree: Tree): string {
  const mutant = copy(tree);
  if (typeof mutant === 'string') return mutant;
  for (let left = random.pick([1, 1, 2, 3]); left > 0 && mutant.slots.length > 0; left--) {
    if (random.integer(0, 3) === 0) editTree(random, holders(mutant));
    else editTensors(random, mutant.slots);
  }
  return print(random, mutant);
}

const INVALID_UTF8 = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80]];
const encoder = new TextEncoder();

/** One to four edits to bytes; `donor` is another file, pieces of which are put in. */
export function mutateBytes(random: Random, bytes: Uint8Array, donor: Uint8Array): Uint8Array {
  // Not slice(), which on a Buffer is a view: the real file would change.
  let out: Uint8Array = new Uint8Array(bytes);
  for (let left = random.pick([1, 1, 1, 2, 4]); left > 0; left--) out = editBytes(random, out, donor);
  return out;
}

function editBytes(random: Random, bytes: Uint8Array, donor: Uint8Array): Uint8Array {
  const at = random.integer(0, Math.max(0, bytes.length - 1));
  const length = random.integer(1, random.pick([1, 4, 64]));
  const splice = (removed: number, added: ArrayLike<number>) => {
    const tail = bytes.subarray(Math.min(bytes.length, at + removed));
    const out = new Uint8Array(Math.min(at, bytes.length) + added.length + tail.length);
    out.set(bytes.subarray(0, at));
    out.set(added, Math.min(at, bytes.length));
    out.set(tail, out.length - tail.length);
    return out;
  };
  const piece = (source: Uint8Array) => {
    const from = random.integer(0, Math.max(0, source.length - length));
    return source.slice(from, from + length);
  };
  switch (random.integer(0, 9)) {
    case 0:
      if (bytes.length > 0) bytes[at] ^= 1 << random.integer(0, 7);
      return bytes;
    case 1:
      if (bytes.length > 0) bytes[at] = random.pick([0, 0x20, 0x22, 0x2c, 0x30, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0xff]);
      return bytes;
    case 2:
      return splice(length, []);
    case 3:
      return splice(
        0,
        Uint8Array.from({ length }, () => random.word()),
      );
    case 4:
      return splice(0, piece(bytes));
    case 5:
      return splice(length, piece(donor));
    case 6:
      return splice(0, random.pick(INVALID_UTF8));
    case 7:
      return splice(random.integer(0, 3), encoder.encode(random.pick(HOSTILE)));
    case 8:
      return bytes.slice(0, at);
    default: {
      // A number of the text becomes another one.
      let from = at;
      const digit = (i: number) => bytes[i] >= 0x30 && bytes[i] <= 0x39;
      while (from < bytes.length && !digit(from)) from++;
      let to = from;
      while (to < bytes.length && digit(to)) to++;
      const text = encoder.encode(random.pick(HOSTILE));
      const out = new Uint8Array(bytes.length - (to - from) + text.length);
      out.set(bytes.subarray(0, from));
      out.set(text, from);
      out.set(bytes.subarray(to), from + text.length);
      return out;
    }
  }
}

/** A safetensors file (or its header alone, without data) from the JSON's bytes, padded with spaces to 8 as a writer would. */
export function framed(json: Uint8Array | string, data: Uint8Array = new Uint8Array(0), padding = true): Uint8Array {
  const text = typeof json === 'string' ? encoder.encode(json) : json;
  const length = padding ? Math.ceil(text.length / 8) * 8 : text.length;
  const out = new Uint8Array(8 + length + data.length).fill(0x20, 8, 8 + length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  out.set(data, 8 + length);
  return out;
}

/** The first eight bytes say another length: off by a little, or huge. */
export function mutateLength(random: Random, file: Uint8Array): Uint8Array {
  const out = new Uint8Array(file);
  if (out.length < 8) return out;
  const view = new DataView(out.buffer);
  const length = view.getBigUint64(0, true);
  const near = [1n, -1n, 8n, -8n].map((step) => length + step);
  const far = [0n, 1n, 2n ** 32n + length, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 100_000_000n, 100_000_001n, 2n ** 31n];
  view.setBigUint64(0, BigInt.asUintN(64, random.pick([...near, ...far])), true);
  return out;
}
