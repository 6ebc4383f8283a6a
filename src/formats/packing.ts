/**
 * Codes of 4 and 6 bits packed into bytes: two codes in one byte, or four in three. Earlier codes take the lower bits, as in torch's
 * `float4_e2m1fn_x2` and the F4 and F6 tensors of safetensors: a row is one little-endian number.
 */

import { describe, isUint8Array } from './check.js';
import { type FormatSpec, formatSpec } from './spec.js';

/** The smallest group of codes that fills whole bytes, and its size: 2 codes in 1 byte, or 4 in 3. */
function groupOf(dtype: string): { spec: FormatSpec; codes: number; bytes: number } {
  const spec = formatSpec(dtype);
  if (spec.bits >= 8) throw new RangeError(`dtype: expected a format of 4 or 6 bits, got ${spec.name}`);
  const codes = spec.bits === 4 ? 2 : 4;
  return { spec, codes, bytes: (codes * spec.bits) / 8 };
}

function checkBytes(name: string, array: Uint8Array): void {
  if (!isUint8Array(array)) {
    throw new TypeError(`${name}: expected a Uint8Array, got ${describe(array)}`);
  }
}

/**
 * Packs codes given one per byte, as returned by {@link encode}.
 *
 * @returns Uint8Array of `codes.length * bits / 8` bytes.
 * @throws {TypeError} if `codes` is not a Uint8Array.
 * @throws {RangeError} for a format of 8 bits or more, a number of codes that does not fill whole bytes, or a byte that is not a code.
 */
export function pack(codes: Uint8Array, dtype: string): Uint8Array<ArrayBuffer> {
  checkBytes('codes', codes);
  const { spec, codes: count, bytes } = groupOf(dtype);
  if (codes.length % count !== 0) {
    throw new RangeError(`codes: expected a multiple of ${count} codes of ${spec.name}, got ${codes.length}`);
  }
  const packed = new Uint8Array((codes.length / count) * bytes);
  for (let i = 0, at = 0; i < codes.length; at += bytes) {
    let group = 0;
    for (let j = 0; j < count; j++, i++) {
      if (codes[i] >>> spec.bits !== 0) {
        throw new RangeError(`codes[${i}]: expected a code below ${1 << spec.bits} (${spec.name}), got ${codes[i]}`);
      }
      group |= codes[i] << (j * spec.bits);
    }
    for (let j = 0; j < bytes; j++) packed[at + j] = group >>> (8 * j);
  }
  return packed;
}

/**
 * Unpacks codes to one per byte, as taken by {@link decode}.
 *
 * @returns Uint8Array of `packed.length * 8 / bits` codes.
 * @throws {TypeError | RangeError} as {@link pack}.
 */
export function unpack(packed: Uint8Array, dtype: string): Uint8Array<ArrayBuffer> {
  checkBytes('packed', packed);
  const { spec, codes: count, bytes } = groupOf(dtype);
  if (packed.length % bytes !== 0) {
    throw new RangeError(`packed: expected a multiple of ${bytes} bytes of ${spec.name}, got ${packed.length}`);
  }
  const codes = new Uint8Array((packed.length / bytes) * count);
  for (let i = 0, at = 0; i < codes.length; at += bytes) {
    let group = 0;
    for (let j = 0; j < bytes; j++) group |= packed[at + j] << (8 * j);
    for (let j = 0; j < count; j++, i++) codes[i] = (group >>> (j * spec.bits)) & ((1 << spec.bits) - 1);
  }
  return codes;
}
