import { describe, expect, it } from 'vitest';
import { philox4x32, philoxHalf, philoxKey, philoxWord, type Words4 } from '../src/formats/index.js';

/** Random123 (D. E. Shaw Research), tests/kat_vectors, the lines "philox4x32 10": counter, key, expected. */
const KNOWN_ANSWERS = [
  '00000000 00000000 00000000 00000000  00000000 00000000  6627e8d5 e169c58d bc57ac4c 9b00dbd8',
  'ffffffff ffffffff ffffffff ffffffff  ffffffff ffffffff  408f276d 41c83b0e a20bc7c6 6d5451fd',
  '243f6a88 85a308d3 13198a2e 03707344  a4093822 299f31d0  d16cfe09 94fdcceb 5001e420 24126ea1',
].map((line) => line.split(/ +/).map((word) => Number.parseInt(word, 16)));

/** Philox4x32-10 as the paper writes it, in integers of any size. */
function philoxBigInt(counter: Words4, key: [number, number]): number[] {
  const mask = 0xffffffffn;
  let [c0, c1, c2, c3] = counter.map(BigInt);
  let [k0, k1] = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [c0, c1, c2, c3].map(Number);
}

describe('philox4x32', () => {
  it.each(KNOWN_ANSWERS)('known answer: counter %i %i %i %i, key %i %i', (c0, c1, c2, c3, k0, k1, ...expected) => {
    expect(philox4x32([c0, c1, c2, c3], [k0, k1])).toEqual(expected);
  });

  it('equals a big-integer version on 2,000 chained blocks', () => {
    // Each block is the next counter, so that every bit of the products is exercised.
    let counter: Words4 = [1, 2, 3, 4];
    for (let i = 0; i < 2000; i++) {
      const key: [number, number] = [counter[3], counter[1]];
      const block = philox4x32(counter, key);
      expect(block).toEqual(philoxBigInt(counter, key));
      counter = block;
    }
  });
});

describe('philoxHalf', () => {
  it('is the low half of word index / 2 for an even index, the high half for an odd one', () => {
    for (const index of [0, 1, 2, 7, 8, 9, 4097, 2 ** 32 - 1]) {
      const word = philoxWord(Math.floor(index / 2), 7, 9, 2 ** 40 + 3);
      const half = index % 2 === 0 ? word % 2 ** 16 : Math.floor(word / 2 ** 16);
      expect(philoxHalf(index, 7, 9, 2 ** 40 + 3)).toBe(half);
    }
    expect(() => philoxHalf(2 ** 32, 0, 0, 0)).toThrow(/^index: /);
    expect(() => philoxHalf(0, 0, 0, -1)).toThrow(/^seed: /);
  });
});

describe('philoxWord', () => {
  it('is word (index & 3) of the block (index >>> 2, stream, step, 0) under the halves of the seed', () => {
    const seed = 0x12345 * 2 ** 32 + 0x89abcdef;
    expect(philoxKey(seed)).toEqual([0x89abcdef, 0x12345]);
    for (const index of [0, 1, 2, 3, 4, 4097, 2 ** 32 - 1]) {
      const block = philox4x32([Math.floor(index / 4), 7, 2 ** 32 - 1, 0], [0x89abcdef, 0x12345]);
      expect(philoxWord(index, 7, 2 ** 32 - 1, seed)).toBe(block[index % 4]);
    }
  });

  it('tells index, stream, step and both halves of the seed apart', () => {
    const words = [
      philoxWord(0, 0, 0, 0),
      philoxWord(4, 0, 0, 0),
      philoxWord(0, 1, 0, 0),
      philoxWord(0, 0, 1, 0),
      philoxWord(0, 0, 0, 1),
      philoxWord(0, 0, 0, 2 ** 32),
    ];
    expect(new Set(words).size).toBe(words.length);
  });

  it('refuses what is not an unsigned word or a non-negative safe integer, naming the argument', () => {
    expect(() => philoxWord(-1, 0, 0, 0)).toThrow(/^index: expected .*, got -1$/);
    expect(() => philoxWord(2 ** 32, 0, 0, 0)).toThrow(RangeError);
    expect(() => philoxWord(0, 0.5, 0, 0)).toThrow(/^stream: /);
    expect(() => philoxWord(0, 0, Number.NaN, 0)).toThrow(/^step: /);
    for (const seed of [-1, 0.5, 2 ** 53, Number.NaN]) expect(() => philoxKey(seed)).toThrow(RangeError);
    expect(() => philoxKey('1' as unknown as number)).toThrow(TypeError);
    expect(() => philoxKey(1n as unknown as number)).toThrow(/^seed: expected a number, got 1n$/);
    expect(philoxKey(Number.MAX_SAFE_INTEGER)).toEqual([2 ** 32 - 1, 2 ** 21 - 1]);
  });
});
