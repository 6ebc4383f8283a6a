/** Comparisons that a NaN fails: each is the passing condition, negated. */
import { expect } from 'vitest';

export type Numbers = Uint8Array | Uint16Array | Uint32Array | Float32Array | Float64Array;

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

/** The bits of a number rounded to float32. */
export function bitsOf(x: number): number {
  real[0] = x;
  return word[0];
}

export function floatOf(bits: number): number {
  word[0] = bits;
  return real[0];
}

/** Equal in every bit, -0 from 0 included. A NaN equals only a NaN (WebAssembly leaves its bits open). */
const same = (a: number, b: number) => Object.is(a, b);

const show = (x: number, like: Numbers) =>
  like instanceof Float32Array
    ? `${x} (0x${bitsOf(x).toString(16)})`
    : like instanceof Float64Array
      ? `${x}`
      : `0x${x.toString(16)}`;

/** What differs, in words; '' where nothing does. */
function difference(actual: Numbers, expected: Numbers): string {
  if (actual.constructor !== expected.constructor)
    return `a ${actual.constructor.name}, not a ${expected.constructor.name}`;
  if (actual.length !== expected.length) return `${actual.length} elements, not ${expected.length}`;
  let count = 0;
  let first = -1;
  for (let i = 0; i < expected.length; i++) {
    if (same(actual[i], expected[i])) continue;
    if (count++ === 0) first = i;
  }
  if (count === 0) return '';
  return `${count} of ${expected.length} differ, first [${first}]: ${show(actual[first], actual)}, not ${show(expected[first], expected)}`;
}

/** Every element the same to the last bit. */
export function expectSame(actual: Numbers, expected: Numbers, label: string): void {
  const found = difference(actual, expected);
  // Formatting an assertion costs more than comparing a short array.
  if (found !== '') expect.fail(`${label}: ${found}`);
}

/** As `expectSame`, with the bits of NaN too: for encoders, which write one NaN. */
export function expectSameBytes(actual: Numbers, expected: Numbers, label: string): void {
  expectSame(bytesAs(actual), bytesAs(expected), label);
}

const bytesAs = (a: Numbers) => (a instanceof Float32Array ? new Uint32Array(a.buffer, a.byteOffset, a.length) : a);

/** The numbers the same to the last bit, or both NaN. */
export function expectSameNumber(actual: number, expected: number, label: string): void {
  if (!same(actual, expected)) expect.fail(`${label}: ${actual}, not ${expected}`);
}

/** |actual - expected| <= bound for every element. */
export function expectWithin(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  label: string,
): void {
  expect(actual.length, `${label}: length`).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(actual[i] - expected[i]) <= bound)) {
      expect.fail(`${label}: [${i}] is ${actual[i]}, not ${expected[i]} within ${bound}`);
    }
  }
}
