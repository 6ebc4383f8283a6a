/**
 * What the loops of `gemv` for weights in panels share (gemv-codes.ts, gemv-pair.ts): from a vector of words (weight-panel.ts) to vectors of
 * weights, four of one-byte codes or two of BF16, their bits at their places in a float32, by shifts and masks. A one-byte weight is then
 * value * 2^(bias - 127).
 */

import { facts } from './formats';
import { splat } from './lanes';
import { TILE } from './tile';

/** Bytes from one tile of sums to the next. */
export const NEXT: usize = TILE << 2;

export abstract class sums {
  /** The eight of a tile's first row. */
  @inline static store(c: usize, low: v128, high: v128): void {
    v128.store(c, low);
    v128.store(c, high, 16);
  }
}

/**
 * Weights as 16-bit lanes, sign and magnitude at their place in the upper half of a float32: in a vector of words the lower halves are four
 * weights of one tile, the upper halves four of the next but one.
 */
export abstract class weights {
  /** From a vector of words to where `halves` finds the weights of tiles 0 and 2, and those of tiles 1 and 3. */
  @inline static even<F>(): usize { return facts.about<F>().bytes === 1 ? -1 : 0; }
  @inline static odd<F>(): usize { return facts.about<F>().bytes === 1 ? 0 : 32; }

  /** The bits of an upper half. */
  @inline static mask<F>(): v128 {
    const f = facts.about<F>();
    return splat.words(0x80000000 | (((1 << (f.expBits + f.manBits)) - 1) << (23 - f.manBits)));
  }

  /** Of one-byte codes, what the upper byte of each 16-bit lane holds, with bits that are not the weight's; BF16 as it is. */
  @inline static halves<F>(words: v128): v128 {
    return facts.about<F>().bytes === 1 ? i16x8.shr_s(words, 1 + facts.about<F>().manBits) : words;
  }

  /** Lower and upper halves as float32. */
  @inline static lower<F>(halves: v128, mask: v128): v128 {
    const low = i32x4.shl(halves, 16);
    return facts.about<F>().bytes === 1 ? v128.and(low, mask) : low;
  }
  @inline static upper(halves: v128, mask: v128): v128 { return v128.and(halves, mask); }
}
