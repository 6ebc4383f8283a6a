/**
 * The quick checks: all codes, all BF16 and float16 inputs, and every midpoint with its neighbours. They take seconds and cover where mistakes
 * occur.
 */
import { type Codes, decode, encode, type FormatSpec, formatSpec } from '../formats/index.js';
import { bitsOfFloat, floatOfBits } from '../formats/spec.js';
import type { Engine } from '../ops/engine.js';
import { type Finding, FORMATS, ROWS, type Row } from './rows.js';

const SEED = 1;

/** A float32 and its two neighbours, with either sign. */
function around(x: number): number[] {
  const middle = bitsOfFloat(x);
  return [middle - 1, middle, middle + 1].map(floatOfBits).flatMap((value) => [value, -value]);
}

function codesOf({ bits: width }: FormatSpec): Codes {
  const codes = width <= 8 ? new Uint8Array(1 << width) : new Uint16Array(1 << width);
  return codes.map((_, code) => code);
}

/**
 * The inputs that decide rounding: each value and the midpoint to the next one, both with their float32 neighbours. The last midpoint decides
 * overflow.
 */
function decisive(spec: FormatSpec): Float32Array {
  const ascending = Array.from(decode(codesOf(spec), spec.name).subarray(0, spec.maxCode + 1));
  const last = ascending.length - 1;
  ascending.push(spec.manBits === 0 ? 2 * ascending[last] : 2 * ascending[last] - ascending[last - 1]);
  return Float32Array.from(
    ascending
      .slice(0, -1)
      .flatMap((low, i) => [...(low > 0 ? around(low) : [0, -0]), ...around((low + ascending[i + 1]) / 2)]),
  );
}

/** The inputs for a format, by name of their source. */
function sources(spec: FormatSpec): [name: string, values: Float32Array][] {
  return [
    ['all bfloat16', decode(codesOf(formatSpec('bfloat16')), 'bfloat16')],
    ['all float16', decode(codesOf(formatSpec('float16')), 'float16')],
    ['midpoints and neighbours', decisive(spec)],
  ];
}

/** Number of checks that {@link quick} yields. */
export const QUICK_CHECKS = FORMATS.length + 3 * ROWS.length;

/** Yields one finding per check: decoding of all codes of every format, then encoding of every source in every mode. */
export function* quick(engine: Engine): Generator<Finding> {
  for (const dtype of FORMATS) {
    const spec = formatSpec(dtype);
    const codes = codesOf(spec);
    const [expected, got] = [decode(codes, dtype), engine.decode(codes, dtype)];
    const row: Row = { dtype, rounding: 'tiesToEven', saturate: true };
    yield compared(row, 'all codes, decoded', codes, expected, got);
    const inputs = sources(spec);
    for (const row of ROWS.filter((candidate) => candidate.dtype === dtype)) {
      const { rounding, saturate } = row;
      for (const [source, values] of inputs) {
        const options = { rounding, saturate, seed: SEED };
        yield compared(
          row,
          source,
          values,
          encode(values, dtype, options),
          engine.encode(values, { dtype, ...options }),
        );
      }
    }
  }
}

function compared(
  row: Row,
  source: string,
  inputs: ArrayLike<number>,
  expected: ArrayLike<number>,
  got: ArrayLike<number>,
): Finding {
  let mismatches = 0;
  let first: string | undefined;
  for (let i = 0; i < inputs.length; i++) {
    if (Object.is(expected[i], got[i])) continue;
    mismatches++;
    first ??= `${inputs[i]}: expected ${expected[i]}, got ${got[i]}`;
  }
  return { ...row, source, inputs: inputs.length, mismatches, first };
}
