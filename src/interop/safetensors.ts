/**
 * Reads and writes the safetensors file format.
 *
 * ```
 * u64 N, little endian | N bytes of JSON, padded with spaces | tensor bytes, little endian, C order, without holes
 * ```
 *
 * The JSON is one object: tensor name -> `{dtype, shape, data_offsets: [begin, end)}`, with offsets relative to the end of the JSON;
 * `__metadata__` holds string -> string. Source: README, "Format", of github.com/huggingface/safetensors, and its `validate()`.
 * Not supported: F4 and F6_*, whose elements share bytes, and C64, which is not one of our number formats.
 */
import { checkObject, isUint8Array } from '../formats/check.js';
import { FileError, quote } from './errors.js';
import { describeJson, type JsonValue, parseJsonObject } from './json.js';

export { FileError } from './errors.js';

/** Bytes per element, by safetensors dtype name. */
export const SAFETENSORS_DTYPES: ReadonlyMap<string, number> = new Map([
  ['F64', 8],
  ['F32', 4],
  ['F16', 2],
  ['BF16', 2],
  ['I64', 8],
  ['I32', 4],
  ['I16', 2],
  ['I8', 1],
  ['U64', 8],
  ['U32', 4],
  ['U16', 2],
  ['U8', 1],
  ['BOOL', 1],
  ['F8_E4M3', 1],
  ['F8_E5M2', 1],
  ['F8_E4M3FNUZ', 1],
  ['F8_E5M2FNUZ', 1],
  ['F8_E8M0', 1],
]);

/** Largest header that the reference implementation accepts. */
const MAX_HEADER_BYTES = 100_000_000;
/** Maximum number of JSON values in a header: about half a million tensors. The reference has no such limit; it bounds our memory. */
const MAX_HEADER_VALUES = 4_000_000;
const WHAT = 'safetensors';

/** One tensor of a file. `data` is a view into the file's bytes, not necessarily aligned to the element size. */
export interface SafetensorsTensor {
  /** A key of {@link SAFETENSORS_DTYPES}. `F8_E4M3` is float8_e4m3fn. */
  dtype: string;
  /** Empty for a scalar. */
  shape: number[];
  /** Little endian, C order; its length is the number of elements times the bytes per element. */
  data: Uint8Array;
}

export interface NamedSafetensorsTensor extends SafetensorsTensor {
  name: string;
}

/** The content of a file. */
export interface Safetensors {
  /** In the order of the header. */
  tensors: Map<string, SafetensorsTensor>;
  /** Has no prototype, so that any key is safe. */
  metadata: Record<string, string>;
}

/** Location of a tensor: `begin` and `end` are byte offsets from the start of the file. */
export interface SafetensorsEntry {
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

/** Everything in a file except the data. */
export interface SafetensorsHeader {
  /** In the order of the header. */
  entries: Map<string, SafetensorsEntry>;
  metadata: Record<string, string>;
  /** Offset of the first byte of tensor data. */
  dataStart: number;
}

/**
 * Number of bytes that {@link parseSafetensorsHeader} needs, from the first 8 bytes of a file. Use it to read the header of a large file without
 * its data.
 *
 * @throws FileError if no header of a file of `fileLength` bytes can have this length.
 */
export function safetensorsDataStart(bytes: Uint8Array, fileLength: number): number {
  if (bytes.length < 8 || fileLength < 8) {
    const got = Math.min(bytes.length, fileLength);
    throw new FileError(`${WHAT}: expected at least 8 bytes (the length of the header), got ${got}`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new FileError(`${WHAT}: expected a header of at most ${MAX_HEADER_BYTES} bytes, got a length of ${length}`);
  }
  const dataStart = 8 + Number(length);
  if (dataStart > fileLength) {
    throw new FileError(
      `${WHAT}: expected a header of at most ${fileLength - 8} bytes (the rest of the file), got a length of ${length}`,
    );
  }
  return dataStart;
}

/**
 * Reads and checks everything except the data.
 *
 * @param bytes - the file, or at least its first `safetensorsDataStart(...)` bytes.
 * @param fileLength - size of the whole file in bytes.
 * @throws FileError naming the tensor, what was expected and what was got.
 */
export function parseSafetensorsHeader(bytes: Uint8Array, fileLength = bytes.length): SafetensorsHeader {
  const dataStart = safetensorsDataStart(bytes, fileLength);
  if (bytes.length < dataStart) {
    throw new RangeError(`parseSafetensorsHeader: expected the first ${dataStart} bytes, got ${bytes.length}`);
  }
  // The format requires '{' as the very first byte, although JSON itself would allow white space.
  if (dataStart === 8 || bytes[8] !== 0x7b) {
    const got = dataStart === 8 ? 'an empty header' : `byte ${bytes[8]}`;
    throw new FileError(`${WHAT}: expected a header that begins with "{" (byte 123), got ${got}`);
  }
  const header = parseJsonObject(bytes.subarray(8, dataStart), `${WHAT} header`, {
    maxBytes: MAX_HEADER_BYTES,
    maxDepth: 3,
    maxValues: MAX_HEADER_VALUES,
    numbers: 'counts',
  });

  const entries = new Map<string, SafetensorsEntry>();
  let metadata: Record<string, string> = Object.create(null);
  for (const [name, info] of header) {
    if (name === '__metadata__') metadata = readMetadata(info);
    else entries.set(name, readEntry(name, info, dataStart));
  }
  checkCoverage(entries, dataStart, fileLength);
  return { entries, metadata, dataStart };
}

/**
 * Reads a whole file without copying: each `data` is a view into `bytes`.
 *
 * @throws FileError naming the tensor, what was expected and what was got; by then only the header has been allocated.
 */
export function parseSafetensors(bytes: Uint8Array): Safetensors {
  if (!isUint8Array(bytes)) {
    throw new TypeError(`parseSafetensors: bytes: expected a Uint8Array, got ${typeof bytes}`);
  }
  const { entries, metadata } = parseSafetensorsHeader(bytes);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, { dtype, shape, begin, end }] of entries) {
    // Not subarray(), which on a Node Buffer would return a Buffer.
    tensors.set(name, { dtype, shape, data: new Uint8Array(bytes.buffer, bytes.byteOffset + begin, end - begin) });
  }
  return { tensors, metadata };
}

function readMetadata(info: JsonValue): Record<string, string> {
  if (!(info instanceof Map)) {
    throw new FileError(`${WHAT}: "__metadata__": expected an object of strings, got ${describeJson(info)}`);
  }
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, value] of info) {
    if (typeof value !== 'string') {
      throw new FileError(`${WHAT}: "__metadata__" ${quote(key)}: expected a string, got ${describeJson(value)}`);
    }
    metadata[key] = value;
  }
  return metadata;
}

function readEntry(name: string, info: JsonValue, dataStart: number): SafetensorsEntry {
  const refuse = (expected: string, got: string): never => {
    throw new FileError(`${WHAT}: tensor ${quote(name)}: expected ${expected}, got ${got}`);
  };
  if (!(info instanceof Map)) return refuse('an object with dtype, shape and data_offsets', describeJson(info));
  for (const key of info.keys()) {
    if (key !== 'dtype' && key !== 'shape' && key !== 'data_offsets') {
      refuse('only dtype, shape and data_offsets', quote(key));
    }
  }
  const dtype = info.get('dtype');
  const size = typeof dtype === 'string' ? SAFETENSORS_DTYPES.get(dtype) : undefined;
  if (typeof dtype !== 'string' || size === undefined) {
    return refuse(`a dtype of ${[...SAFETENSORS_DTYPES.keys()].join(', ')}`, describeJson(dtype));
  }
  const shape = info.get('shape');
  if (!isCounts(shape)) return refuse('shape to be a list of non-negative integers', describeJson(shape));
  const offsets = info.get('data_offsets');
  if (!isCounts(offsets) || offsets.length !== 2) {
    return refuse('data_offsets to be two non-negative integers', describeJson(offsets));
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) refuse('data_offsets with begin <= end', describeJson(offsets));
  const length = byteLength(shape, size);
  if (length === undefined) return refuse('a shape of less than 2^53 bytes', describeJson(shape));
  if (end - begin !== length) {
    refuse(`${length} bytes for ${dtype} ${describeJson(shape)}`, `${end - begin} (data_offsets [${begin}, ${end}])`);
  }
  return { dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** Whether the value is a list of counts. The JSON reader has already refused numbers that are not non-negative safe integers. */
function isCounts(value: JsonValue | undefined): value is number[] {
  return Array.isArray(value) && value.every((n) => typeof n === 'number');
}

/** Bytes of a tensor, or undefined if a partial product exceeds the safe integers (even if a later dimension is 0). */
function byteLength(shape: readonly number[], size: number): number | undefined {
  let length = size;
  for (const n of shape) {
    length *= n;
    if (!Number.isSafeInteger(length)) return undefined;
  }
  return length;
}

/** Throws unless the tensors tile the data section exactly: no overlap and no hole, including at both ends. */
function checkCoverage(entries: Map<string, SafetensorsEntry>, dataStart: number, fileLength: number): void {
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = dataStart;
  let before = 'the header';
  for (const [name, { begin, end }] of inOrder) {
    if (begin !== at) {
      const kind = begin < at ? 'an overlap' : 'a hole';
      throw new FileError(
        `${WHAT}: tensor ${quote(name)}: expected its data to begin at offset ${at - dataStart}, behind ${before}, ` +
          `got ${begin - dataStart} (${kind} of ${begin < at ? at - begin : begin - at} bytes)`,
      );
    }
    at = end;
    before = `tensor ${quote(name)}`;
  }
  if (at !== fileLength) {
    throw new FileError(
      `${WHAT}: expected ${at - dataStart} bytes of data, up to the end of ${before}, got ${fileLength - dataStart}`,
    );
  }
}

type NamedTensors =
  | ReadonlyMap<string, SafetensorsTensor>
  | Readonly<Record<string, SafetensorsTensor>>
  | Iterable<NamedSafetensorsTensor>;

/**
 * Serializes a whole file into new memory, with tensors in the given order, so that equal input gives equal bytes. The header is padded with
 * spaces so that the data begins at a multiple of 8; a tensor after one of odd length may be unaligned (order by element size if that matters).
 *
 * @param tensors - `name -> tensor`, in a Map or a plain record, or tensors with their names.
 * @throws TypeError or RangeError naming the tensor, what was expected and what was got.
 */
export function serializeSafetensors(
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const list = withNames(tensors);
  const header = serializeSafetensorsHeader(
    list.map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, byteLength: data.length })),
    metadata,
  );
  const file = new Uint8Array(list.reduce((sum, [, { data }]) => sum + data.length, header.length));
  file.set(header);
  let at = header.length;
  for (const [, { data }] of list) {
    file.set(data, at);
    at += data.length;
  }
  return file;
}

function withNames(tensors: NamedTensors): [string, SafetensorsTensor][] {
  checkObject('tensors', tensors);
  const list: [string, SafetensorsTensor][] =
    tensors instanceof Map
      ? [...tensors]
      : Symbol.iterator in tensors
        ? Array.from(tensors as Iterable<NamedSafetensorsTensor>, (tensor) => [tensor?.name, tensor])
        : Object.entries(tensors);
  for (const [name, tensor] of list) {
    if (!isUint8Array(tensor?.data)) {
      throw new TypeError(`serializeSafetensors: tensor ${quote(String(name))}: expected data to be a Uint8Array`);
    }
  }
  return list;
}

/**
 * Serializes everything before the data (length, JSON, padding), for writing a large file piece by piece. The caller then writes the bytes of
 * each tensor in the same order.
 *
 * @throws TypeError or RangeError naming the tensor, what was expected and what was got.
 */
export function serializeSafetensorsHeader(
  tensors: Iterable<{ name: string; dtype: string; shape: readonly number[]; byteLength: number }>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  checkObject('metadata', metadata);
  const parts: string[] = [];
  const strings = Object.entries(metadata).map(([key, value]) => `${jsonString(key)}:${jsonString(value)}`);
  if (strings.length > 0) parts.push(`"__metadata__":{${strings.join(',')}}`);

  const names = new Set<string>(['__metadata__']);
  let at = 0;
  for (const { name, dtype, shape, byteLength: length } of tensors) {
    const key = jsonString(name);
    if (names.has(name)) {
      throw new RangeError(`serializeSafetensors: expected a name not used before, got ${quote(name)}`);
    }
    names.add(name);
    const size = SAFETENSORS_DTYPES.get(dtype);
    if (size === undefined) {
      const known = [...SAFETENSORS_DTYPES.keys()].join(', ');
      throw new RangeError(
        `serializeSafetensors: tensor ${quote(name)}: expected a dtype of ${known}, got ${quote(String(dtype))}`,
      );
    }
    if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
      throw new RangeError(
        `serializeSafetensors: tensor ${quote(name)}: expected a shape of non-negative integers, got [${shape}]`,
      );
    }
    const expected = byteLength(shape, size);
    if (expected === undefined || expected !== length) {
      throw new RangeError(
        `serializeSafetensors: tensor ${quote(name)}: expected ${expected ?? 'less than 2^53'} bytes for ${dtype} [${shape}], got ${length}`,
      );
    }
    parts.push(`${key}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${at},${at + length}]}`);
    at += length;
  }

  const json = new TextEncoder().encode(`{${parts.join(',')}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new RangeError(
      `serializeSafetensors: expected a header of at most ${MAX_HEADER_BYTES} bytes, got ${padded} (${names.size - 1} tensors)`,
    );
  }
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

/** Encodes a name or metadata string as JSON; refuses text without a UTF-8 form, which could not be read back. */
function jsonString(text: string): string {
  if (typeof text !== 'string') {
    throw new TypeError(`serializeSafetensors: expected names and metadata to be strings, got ${typeof text}`);
  }
  if (/\p{Surrogate}/u.test(text)) {
    throw new RangeError(`serializeSafetensors: expected text without unpaired surrogates, got ${quote(text)}`);
  }
  return JSON.stringify(text);
}
