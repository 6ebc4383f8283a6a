/** assembly/reduce.ts and assembly/embedding.ts: sums in their order. */
import { add } from './lanes.js';

const CHUNK = 4096;

/** Square root of the sum of squares of all tensors in float64: four lanes per chunk of 4096, chunks in order. */
export function globalNorm(tensors: readonly Float32Array[]): number {
  let total = 0;
  for (const t of tensors) {
    for (let first = 0; first < t.length; first += CHUNK) {
      const part = t.subarray(first, first + CHUNK);
      const whole = part.length - (part.length % 4);
      const lanes = [0, 0, 0, 0];
      for (let i = 0; i < whole; i++) lanes[i % 4] += part[i] * part[i];
      let sum = lanes[0] + lanes[2] + (lanes[1] + lanes[3]);
      for (let i = whole; i < part.length; i++) sum += part[i] * part[i];
      total += sum;
    }
  }
  return Math.sqrt(total);
}

/** out + the sum of the rows, float32, rows in order. */
export function sumRows(values: Float32Array, columns: number, out: Float32Array): Float32Array<ArrayBuffer> {
  const sums = new Float32Array(columns);
  values.forEach((x, i) => {
    sums[i % columns] = add(sums[i % columns], x);
  });
  return out.map((old, i) => add(old, sums[i])) as Float32Array<ArrayBuffer>;
}

/** table + rows of dy at their ids, in order. */
export function embeddingBackward(dy: Float32Array, channels: number, ids: Int32Array, table: Float32Array) {
  const out = table.slice();
  dy.forEach((d, i) => {
    const at = ids[Math.floor(i / channels)] * channels + (i % channels);
    out[at] = add(out[at], d);
  });
  return out;
}

const MULTIPLIERS = [0x9e3779b97f4a7c15n, 0xbf58476d1ce4e5b9n, 0x94d049bb133111ebn, 0x9e3779b97f4a7c15n];
const SHIFTS = [0n, 29n, 32n, 29n];
const mask64 = (x: bigint) => BigInt.asUintN(64, x);

/** The digest of up to 65536 bytes: four 32-bit lanes over 16-byte words, then mixed with the length. */
function digestChunk(bytes: Uint8Array): bigint {
  const padded = new Uint8Array(Math.ceil(bytes.length / 16) * 16);
  padded.set(bytes);
  const words = new Uint32Array(padded.buffer);
  const h = Uint32Array.of(0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35);
  words.forEach((word, i) => {
    h[i % 4] = Math.imul(h[i % 4] ^ word, 0x01000193);
    h[i % 4] ^= h[i % 4] >>> 15;
  });
  let mixed = BigInt(bytes.length);
  h.forEach((lane, i) => {
    mixed = mask64((mixed ^ (SHIFTS[i] && mixed >> SHIFTS[i]) ^ BigInt(lane)) * MULTIPLIERS[i]);
  });
  return mixed ^ (mixed >> 32n);
}

/** 16 hex digits; over 65536 bytes, the digest of the chunks' digests. */
export function digestOfBytes(bytes: Uint8Array): string {
  const chunks: bigint[] = [];
  for (let at = 0; at < Math.max(1, bytes.length); at += 65536)
    chunks.push(digestChunk(bytes.subarray(at, at + 65536)));
  if (chunks.length > 1) return digestOfBytes(new Uint8Array(BigUint64Array.from(chunks).buffer));
  return chunks[0].toString(16).padStart(16, '0');
}
