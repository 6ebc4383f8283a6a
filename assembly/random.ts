/** Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random bits as a pure function of a position. */

abstract class philox {
  /** High 32 bits of four unsigned products a * m, m the same in each lane. */
  @inline static mulhi(a: v128, m: v128): v128 {
    const low = i64x2.extmul_low_i32x4_u(a, m);
    const high = i64x2.extmul_high_i32x4_u(a, m);
    return i8x16.shuffle(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
}

/**
 * Fills dst with `count` 32-bit words, rounded up to 16: words number first, first + 1, ... of the stream. Word i is word i & 3 of
 * Philox(key = seed, counter = (i >> 2, stream, step, 0)). `first` must be a multiple of 4.
 */
export function fillRandom(dst: usize, first: u32, count: i32, stream: u32, step: u32, seedLow: u32, seedHigh: u32): void {
  const m0 = i32x4.splat(0xd2511f53);
  const m1 = i32x4.splat(0xcd9e8d57);
  let block = first >> 2;
  for (let i = 0; i < count; i += 16) {
    // Lane j holds the state of counter block + j.
    let c0 = i32x4.add(i32x4.splat(block), i32x4(0, 1, 2, 3));
    let c1 = i32x4.splat(stream);
    let c2 = i32x4.splat(step);
    let c3 = i32x4.splat(0);
    let k0 = seedLow;
    let k1 = seedHigh;
    for (let round = 0; round < 10; round++) {
      const hi0 = philox.mulhi(c0, m0);
      const lo0 = i32x4.mul(c0, m0);
      const hi1 = philox.mulhi(c2, m1);
      const lo1 = i32x4.mul(c2, m1);
      c0 = v128.xor(v128.xor(hi1, c1), i32x4.splat(k0));
      c1 = lo1;
      c2 = v128.xor(v128.xor(hi0, c3), i32x4.splat(k1));
      c3 = lo0;
      k0 += 0x9e3779b9;
      k1 += 0xbb67ae85;
    }
    // Four counters of four words each, transposed into word order.
    const a = i8x16.shuffle(c0, c1, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const b = i8x16.shuffle(c0, c1, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    const c = i8x16.shuffle(c2, c3, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const d = i8x16.shuffle(c2, c3, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    const p = dst + (i << 2);
    v128.store(p, i8x16.shuffle(a, c, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
    v128.store(p, i8x16.shuffle(a, c, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 16);
    v128.store(p, i8x16.shuffle(b, d, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), 32);
    v128.store(p, i8x16.shuffle(b, d, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 48);
    block += 4;
  }
}
