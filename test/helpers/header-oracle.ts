/**
 * A second reader of safetensors headers, which shares nothing with the one under test: `JSON.parse`, then a look at the tokens for
 * what it hides (equal keys, spelling of numbers), sizes in BigInt, and the tiling as a walk from tensor to tensor.
 */
import type { SafetensorsHeader } from '../../src/interop/safetensors.js';

const SIZES: Readonly<Record<string, bigint>> = {
  ...{ F64: 8n, I64: 8n, U64: 8n, F32: 4n, I32: 4n, U32: 4n, F16: 2n, BF16: 2n, I16: 2n, U16: 2n, I8: 1n, U8: 1n },
  ...{ BOOL: 1n, F8_E4M3: 1n, F8_E5M2: 1n, F8_E4M3FNUZ: 1n, F8_E5M2FNUZ: 1n, F8_E8M0: 1n },
};
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s"{}[\]:,]+/g;
const LIMIT = 2n ** 53n;

/** What the header says, or undefined where it must be refused. */
export function oracleHeader(bytes: Uint8Array, fileLength: number): SafetensorsHeader | undefined {
  if (bytes.length < 8 || fileLength < 8) return undefined;
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, 8).readBigUInt64LE();
  if (length > 100_000_000n || 8n + length > BigInt(fileLength) || bytes[8] !== 0x7b) return undefined;
  const dataStart = 8 + Number(length);
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset + 8, dataStart - 8);
  const text = raw.toString('utf8');
  if (!Buffer.from(text, 'utf8').equals(raw)) return undefined;
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return undefined;
  }
  const names = plainKeys(root, text);
  if (!names) return undefined;

  const header: SafetensorsHeader = { entries: new Map(), metadata: Object.create(null), dataStart };
  for (const name of names) {
    const value = (root as Record<string, unknown>)[name];
    if (!isObject(value)) return undefined;
    if (name === '__metadata__') {
      if (!Object.values(value).every((text) => typeof text === 'string')) return undefined;
      for (const key of Object.keys(value)) header.metadata[key] = value[key] as string;
      continue;
    }
    if (Object.keys(value).sort().join() !== 'data_offsets,dtype,shape') return undefined;
    const { dtype, shape, data_offsets: offsets } = value;
    if (typeof dtype !== 'string' || !Object.hasOwn(SIZES, dtype)) return undefined;
    if (!isNumbers(shape) || !isNumbers(offsets) || offsets.length !== 2) return undefined;
    let size = SIZES[dtype];
    for (const n of shape) {
      size *= BigInt(n);
      // Also where a later factor is 0, as the reference implementation has it.
      if (size >= LIMIT) return undefined;
    }
    if (BigInt(offsets[1]) - BigInt(offsets[0]) !== size) return undefined;
    header.entries.set(name, { dtype, shape, begin: dataStart + offsets[0], end: dataStart + offsets[1] });
  }
  return tiles(header, fileLength) ? header : undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => typeof n === 'number');

/** The root's keys in the order of the text; undefined if a key is there twice, a string is no Unicode or a number no count. */
function plainKeys(root: unknown, text: string): string[] | undefined {
  const tokens = text.match(TOKENS) ?? [];
  const own: string[] = [];
  let keys = 0;
  let depth = 0;
  for (const [i, token] of tokens.entries()) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (token[0] === '"') {
      // The text is UTF-8, so half a character can only come from an escape.
      const isPlain = !token.includes('\\');
      const string = isPlain ? token.slice(1, -1) : (JSON.parse(token) as string);
      if (!isPlain && Buffer.from(string, 'utf8').toString('utf8') !== string) return undefined;
      if (tokens[i + 1] !== ':') continue;
      keys++;
      if (depth === 1) own.push(string);
    } else if (/^[-0-9]/.test(token) && !(/^[0-9]+$/.test(token) && BigInt(token) < LIMIT)) return undefined;
  }
  return keys === countKeys(root) ? own : undefined;
}

/** Not recursive by itself: `JSON.parse` accepts any depth. */
function countKeys(root: unknown): number {
  let count = 0;
  const left = [root];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== 'object' || value === null) continue;
    if (!Array.isArray(value)) count += Object.keys(value).length;
    for (const inner of Object.values(value)) left.push(inner);
  }
  return count;
}

/** From offset 0, always on to the tensor that begins where the last one ended: all are met, and the end is the file's. */
function tiles({ entries, dataStart }: SafetensorsHeader, fileLength: number): boolean {
  const all = [...entries.values()];
  const full = all.filter(({ begin, end }) => begin !== end);
  const next = new Map(full.map(({ begin, end }) => [begin, end]));
  const borders = new Set([dataStart]);
  let at = dataStart;
  for (let end = next.get(at); end !== undefined; end = next.get(at)) {
    at = end;
    borders.add(at);
  }
  return borders.size === full.length + 1 && at === fileLength && all.every(({ begin }) => borders.has(begin));
}
