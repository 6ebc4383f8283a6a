/**
 * Checks all 2^32 float32 inputs against the definition. Rounding is monotonic, so there is one boundary between two neighbouring codes, which a
 * search with the definition finds (its tests check every pair of neighbours). The expected codes are therefore runs, which are filled in and
 * compared. Stochastic rounding uses one fixed random number for all inputs, which makes it a step function too.
 */
import { DIGEST_BYTES, VERIFY_ELEMENTS } from '../engine/units.js';
import { encodeValue, formatSpec, roundingId } from '../formats/index.js';
import { TWO_32 } from '../formats/philox.js';
import { floatOfBits } from '../formats/spec.js';
import type { Engine } from '../ops/engine.js';
import { digestOfBytes } from '../ops/reduce.js';
import type { Finding, Row } from './rows.js';

/** The random word for stochastic rounding; its upper half is used: 0x5555 x 2^-16. */
const WORD = 0x55550000;
/** Inputs compared at a time, few enough that codes and expected codes stay in a core's cache. */
export const CHUNK = 1 << 20;
/** Number of chunks of a row, and of calls of `progress`. */
export const CHUNKS = TWO_32 / CHUNK;

interface Runs {
  /** First input of each run, ascending, as float32 bits. */
  readonly starts: number[];
  readonly codes: number[];
}

/** Evaluates the definition as runs of equal codes over the bit patterns of float32. */
export function runsOf({ dtype, rounding, saturate }: Row): Runs {
  const spec = formatSpec(dtype);
  const random = rounding === 'stochastic' ? (WORD >>> 16) / 0x10000 : undefined;
  const codeAt = (pattern: number): number => {
    return encodeValue(floatOfBits(pattern), spec, { rounding, saturate, random });
  };
  const runs: Runs = { starts: [], codes: [] };
  const add = (start: number, code: number) => {
    if (runs.codes.at(-1) === code) return;
    runs.starts.push(start);
    runs.codes.push(code);
  };
  /** Codes are monotonic from `low` to `high`, so equal codes at both ends mean equal codes throughout. */
  const search = (low: number, lowCode: number, high: number, highCode: number): void => {
    if (lowCode === highCode) return;
    if (high - low === 1) {
      add(high, highCode);
      return;
    }
    const middle = Math.floor((low + high) / 2);
    const code = codeAt(middle);
    search(low, lowCode, middle, code);
    search(middle, code, high, highCode);
  };
  for (const sign of [0, 0x80000000]) {
    // Zero, the finite numbers, infinity and NaN: codes are monotonic within each range, but not from one to the next.
    for (const [low, high] of [
      [0, 0],
      [1, 0x7f7fffff],
      [0x7f800000, 0x7f800000],
      [0x7f800001, 0x7fffffff],
    ]) {
      const [first, last] = [codeAt(sign + low), codeAt(sign + high)];
      add(sign + low, first);
      search(sign + low, first, sign + high, last);
    }
  }
  return runs;
}

/**
 * Checks a row over all 2^32 float32 inputs, in some seconds.
 *
 * @param progress called after every chunk of inputs, {@link CHUNKS} times.
 */
export function exhaustive(engine: Engine, row: Row, progress: () => void = () => {}): Finding {
  const { dtype, rounding, saturate } = row;
  const spec = formatSpec(dtype);
  const runs = runsOf(row);
  return engine.scoped(() => {
    const bytes = CHUNK * spec.bytes;
    const got = engine.arena.alloc(bytes);
    const expected = engine.arena.alloc(bytes);
    const digests = engine.arena.alloc(8 * CHUNKS);
    let run = 0;
    let mismatches = 0;
    let first: string | undefined;
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const start = chunk * CHUNK;
      const codes = codesAt(engine, expected, spec.bytes);
      for (let at = 0; at < CHUNK; ) {
        if (runs.starts[run + 1] <= start + at) run++;
        const end = Math.min(CHUNK, (runs.starts[run + 1] ?? TWO_32) - start);
        codes.fill(runs.codes[run], at, end);
        at = end;
      }
      const mode = roundingId(rounding);
      const scratch = 8 * VERIFY_ELEMENTS;
      const units = CHUNK / VERIFY_ELEMENTS;
      engine.parallel('encodeRange', units, scratch, start, got, spec.id, mode, saturate ? 1 : 0, WORD);
      if (differs(engine, got, expected, bytes)) {
        const stored = codesAt(engine, got, spec.bytes);
        for (let i = 0; i < CHUNK; i++) {
          if (stored[i] === codes[i]) continue;
          mismatches++;
          const bits = start + i;
          first ??= `${floatOfBits(bits)} (0x${bits.toString(16)}): expected ${codes[i]}, got ${stored[i]}`;
        }
      }
      new BigUint64Array(engine.arena.buffer, digests, CHUNKS)[chunk] = BigInt(
        `0x${digestOfBytes(engine, got, bytes)}`,
      );
      progress();
    }
    const digest = digestOfBytes(engine, digests, 8 * CHUNKS);
    return { ...row, source: 'all float32', inputs: TWO_32, mismatches, first, digest };
  });
}

function codesAt(engine: Engine, ptr: number, bytes: number): Uint8Array | Uint16Array {
  return bytes === 1
    ? new Uint8Array(engine.arena.buffer, ptr, CHUNK)
    : new Uint16Array(engine.arena.buffer, ptr, CHUNK);
}

function differs(engine: Engine, a: number, b: number, bytes: number): boolean {
  return engine.scoped(() => {
    const units = bytes / DIGEST_BYTES;
    const counts = engine.arena.alloc(4 * units);
    engine.parallel('differing', units, 0, a, b, bytes, counts);
    return new Int32Array(engine.arena.buffer, counts, units).some((count) => count > 0);
  });
}
