/** Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random bits as a pure function of a position. */
import { quad } from './lanes';

/** The multipliers of words 0 and 2, and what each word of the key grows by from one round to the next. */
const M0: u32 = 0xd2511f53;
const M1: u32 = 0xcd9e8d57;
const KEY0: u32 = 0x9e3779b9;
const KEY1: u32 = 0xbb67ae85;

/** Constants of the loops, four lanes each. Loaded, since V8 rebuilds a v128 constant at every use. */
const CONSTANTS = memory.data<u32>([
  M0, M0, M0, M0,
  M1, M1, M1, M1,
  0, 1, 2, 3, // the lanes' numbers
  4, 4, 4, 4, // from four counters to the next
  0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000, // the upper half of a word
  KEY0, KEY0, KEY0, KEY0,
  KEY1, KEY1, KEY1, KEY1,
], 16);

abstract class philox {
  /** High 32 bits of four unsigned products. */
  @inline static high(a: v128, b: v128): v128 {
    const low = i64x2.extmul_low_i32x4_u(a, b);
    const high = i64x2.extmul_high_i32x4_u(a, b);
    return i8x16.shuffle(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }

  /**
   * Stores the 32 halves of the words of four counters, in order, as they are or each as the upper half of a word. Lane j of c0 is word 0
   * of counter j.
   */
  @inline static store(p: usize, packed: bool, c0: v128, c1: v128, c2: v128, c3: v128): void {
    // Four counters of four words each, transposed into word order.
    const a = quad.lo(c0, c1);
    const b = quad.hi(c0, c1);
    const c = quad.lo(c2, c3);
    const d = quad.hi(c2, c3);
    const first = quad.evenHalves(a, c);
    const second = quad.oddHalves(a, c);
    const third = quad.evenHalves(b, d);
    const fourth = quad.oddHalves(b, d);
    if (packed) {
      v128.store(p, first);
      v128.store(p, second, 16);
      v128.store(p, third, 32);
      v128.store(p, fourth, 48);
    } else {
      philox.storeHalves(p, first);
      philox.storeHalves(p + 32, second);
      philox.storeHalves(p + 64, third);
      philox.storeHalves(p + 96, fourth);
    }
  }

  @inline static storeHalves(p: usize, words: v128): void {
    const even = i32x4.shl(words, 16);
    const odd = v128.and(words, v128.load(CONSTANTS, 64));
    v128.store(p, quad.lo(even, odd));
    v128.store(p, quad.hi(even, odd), 16);
  }
}

/**
 * Fills dst with the random halves of `count` elements from `first` (a multiple of 4) on: 16 bits each where `packed`, else 32-bit words
 * with the half above 16 zeros. Element i has the half (i & 1), low then high, of word (i >> 1) & 3 of Philox(key = seed, counter = (i >>
 * 3, stream, step, 0)). Writes whole groups of 64 elements from a multiple of 8: up to 16 bytes before dst, and 252 past the last element.
 *
 * Half of the first two rounds is the same for all counters, since three of their words are, and is computed once.
 */
export function fillRandom(
  dst: usize, first: u32, count: i32, packed: bool, stream: u32, step: u32, seedLow: u32, seedHigh: u32,
): void {
  const bytes: usize = packed ? 2 : 4;
  const m0 = v128.load(CONSTANTS);
  const m1 = v128.load(CONSTANTS, 16);
  const four = v128.load(CONSTANTS, 48);
  const fromStep = <u64>step * M1;
  const fromStream = <u64>(<u32>(fromStep >> 32) ^ stream ^ seedLow) * M0;
  const firstKey1 = i32x4.splat(seedHigh);
  const word0 = i32x4.splat(<u32>fromStep ^ (seedLow + KEY0));
  const word2 = i32x4.splat(<u32>(fromStream >> 32) ^ (seedHigh + KEY1));
  const word3 = i32x4.splat(<u32>fromStream);
  const thirdKey0 = i32x4.splat(seedLow + 2 * KEY0);
  const thirdKey1 = i32x4.splat(seedHigh + 2 * KEY1);
  const end = dst + <usize>count * bytes;
  let counters = i32x4.add(i32x4.splat(first >> 3), v128.load(CONSTANTS, 32));
  // Two groups of four counters at once, as each round's products wait for those of the round before.
  for (let p = dst - <usize>(first & 7) * bytes; p < end; p += 64 * bytes) {
    let a2 = v128.xor(philox.high(counters, m0), firstKey1);
    let a3 = i32x4.mul(counters, m0);
    counters = i32x4.add(counters, four);
    let b2 = v128.xor(philox.high(counters, m0), firstKey1);
    let b3 = i32x4.mul(counters, m0);
    counters = i32x4.add(counters, four);
    let a0 = v128.xor(philox.high(a2, m1), word0);
    let b0 = v128.xor(philox.high(b2, m1), word0);
    let a1 = i32x4.mul(a2, m1);
    let b1 = i32x4.mul(b2, m1);
    a2 = v128.xor(a3, word2);
    b2 = v128.xor(b3, word2);
    a3 = word3;
    b3 = word3;
    let key0 = thirdKey0;
    let key1 = thirdKey1;
    for (let round = 2; round < 10; round++) {
      const a = v128.xor(v128.xor(philox.high(a2, m1), a1), key0);
      const b = v128.xor(v128.xor(philox.high(b2, m1), b1), key0);
      a1 = i32x4.mul(a2, m1);
      b1 = i32x4.mul(b2, m1);
      a2 = v128.xor(v128.xor(philox.high(a0, m0), a3), key1);
      b2 = v128.xor(v128.xor(philox.high(b0, m0), b3), key1);
      a3 = i32x4.mul(a0, m0);
      b3 = i32x4.mul(b0, m0);
      a0 = a;
      b0 = b;
      key0 = i32x4.add(key0, v128.load(CONSTANTS, 80));
      key1 = i32x4.add(key1, v128.load(CONSTANTS, 96));
    }
    philox.store(p, packed, a0, a1, a2, a3);
    philox.store(p + 32 * bytes, packed, b0, b1, b2, b3);
  }
}
