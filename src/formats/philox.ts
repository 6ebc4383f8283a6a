/**
 * Philox4x32-10, the counter-based generator behind everything random in the project: a word is a function of
 * (index, stream, step, seed), so there is no state to save and the order of evaluation does not matter.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11, section 4 and table 2 (constants);
 * the known answers in the tests are Random123's. The kernels compute the same words.
 */

import { describe } from './check.js';

const ROUNDS = 10;
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
/** Key increments: the fractional bits of the golden ratio and of sqrt(3). */
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

/** Number of values of a 32-bit word. */
export const TWO_32 = 0x100000000;

/** Four unsigned 32-bit words. */
export type Words4 = [number, number, number, number];

/**
 * The upper 32 bits of the 64-bit product of two unsigned words, computed from 16-bit halves because a float64 product would be rounded. No
 * product or sum of them exceeds 32 bits, and each is made an unsigned word at once, so that engines compute with integers.
 */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = ((Math.imul(aHigh, bLow) >>> 0) + (Math.imul(aLow, bLow) >>> 16)) >>> 0;
  const cross = ((Math.imul(aLow, bHigh) >>> 0) + (middle & 0xffff)) >>> 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (cross >>> 16)) >>> 0;
}

/**
 * One block of Philox4x32-10.
 *
 * @param counter four unsigned 32-bit words (taken modulo 2^32).
 * @param key two unsigned 32-bit words (taken modulo 2^32).
 * @returns four unsigned 32-bit words.
 */
export function philox4x32(counter: Readonly<Words4>, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/**
 * The Philox key of a seed: its low and its high 32 bits.
 *
 * @param seed integer from 0 to 2^53 - 1.
 * @throws {TypeError} if the seed is not a number.
 * @throws {RangeError} if it is not a non-negative safe integer.
 */
export function philoxKey(seed: number): [number, number] {
  if (typeof seed !== 'number') throw new TypeError(`seed: expected a number, got ${describe(seed)}`);
  if (!(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new RangeError(`seed: expected an integer from 0 to 2^53 - 1, got ${seed}`);
  }
  return [seed >>> 0, Math.floor(seed / TWO_32)];
}

/**
 * Random word number `index` of a stream at a step: word `index & 3` of the block with counter (index >>> 2, stream, step, 0).
 *
 * @param index unsigned 32-bit integer.
 * @param stream unsigned 32-bit integer: the purpose of the words.
 * @param step unsigned 32-bit integer: the training step, or another moment.
 * @param seed integer from 0 to 2^53 - 1, see {@link philoxKey}.
 * @returns an unsigned 32-bit integer, uniform.
 * @throws {TypeError} if the seed is not a number.
 * @throws {RangeError} if an argument is outside its range.
 */
export function philoxWord(index: number, stream: number, step: number, seed: number): number {
  const key = philoxKey(seed);
  const block = checkWord('index', index) >>> 2;
  return philox4x32([block, checkWord('stream', stream), checkWord('step', step), 0], key)[index & 3];
}

/**
 * The 16 random bits that stochastic rounding uses for element `index`: half `index & 1` (0 is the low one) of word `index >>> 1`.
 *
 * @param index unsigned 32-bit integer; the other parameters and the errors are as for {@link philoxWord}.
 * @returns an integer from 0 to 65535, uniform.
 */
export function philoxHalf(index: number, stream: number, step: number, seed: number): number {
  const block = checkWord('index', index) >>> 3;
  return halfOf(philox4x32([block, checkWord('stream', stream), checkWord('step', step), 0], philoxKey(seed)), index);
}

/** The 16-bit half for element `index` from its block, which serves eight elements. */
export function halfOf(block: Readonly<Words4>, index: number): number {
  return (block[(index >>> 1) & 3] >>> ((index & 1) * 16)) & 0xffff;
}

function checkWord(label: string, value: number): number {
  if (!(Number.isInteger(value) && value >= 0 && value < TWO_32)) {
    throw new RangeError(`${label}: expected an integer from 0 to 2^32 - 1, got ${describe(value)}`);
  }
  return value;
}
