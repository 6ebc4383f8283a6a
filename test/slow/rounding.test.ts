/** One rounding from float64: ten million numbers per format, most of them so near a midpoint that float32 cannot tell. */
import { describe, expect, it } from 'vitest';
import { DTYPES, decodeValue, encode, formatSpec } from '../../src/formats/index.js';
import { Random } from '../helpers/rng.js';

const COUNT = 10_000_000;
const PART = 100_000;
/** Cases in which rounding by way of float32 must go wrong, for the list to be worth its name. */
const DOUBLY_ROUNDED = 100_000;

describe.each(DTYPES.filter((dtype) => dtype !== 'float32'))('%s', (dtype) => {
  it('the nearest value, where float32 first would find a tie', () => {
    const spec = formatSpec(dtype);
    const random = new Random(7);
    const values = new Float64Array(PART);
    const expected = new Uint16Array(PART);
    let doublyRounded = 0;
    let wrong = 0;
    for (let part = 0; part < COUNT / PART; part++) {
      for (let i = 0; i < PART; i++) {
        // By construction: just above or below the midpoint of two neighbours, by a part of 2^-20 to 2^-50.
        const low = random.integer(0, spec.maxCode - 1);
        const middle = (decodeValue(low, spec) + decodeValue(low + 1, spec)) / 2;
        const up = (random.word() & 1) === 1;
        const offset = 2 ** -random.integer(20, 50);
        const negative = spec.signCode > 0 && (random.word() & 1) === 1;
        values[i] = (negative ? -1 : 1) * middle * (up ? 1 + offset : 1 - offset);
        const magnitude = up ? low + 1 : low;
        expected[i] = negative && (magnitude > 0 || spec.hasNegativeZero) ? magnitude + spec.signCode : magnitude;
      }
      const codes = encode(values, dtype);
      const twice = encode(Float32Array.from(values), dtype);
      for (let i = 0; i < PART; i++) {
        if (codes[i] !== expected[i]) wrong++;
        if (twice[i] !== expected[i]) doublyRounded++;
      }
    }
    expect(wrong).toBe(0);
    expect(doublyRounded).toBeGreaterThan(DOUBLY_ROUNDED);
  });
});
