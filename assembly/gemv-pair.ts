/**
 * The loop of the turbo builds for weights in panels, two panels at once: V8 merges neighbouring vectors of words, and of sums, into one of
 * 256 bits. The eight sums of one panel would become four, which wait for each other's additions: GFLOP/s at 2048 x 2048, Zen 4, Node 26, two panels and
 * one, and without turbo: E4M3FN 66, 53, 34; BF16 79, 54, 46.
 */

import { WEIGHT_COLUMNS } from '../src/engine/units';
import { BF16, facts } from './formats';
import { NEXT, sums, weights } from './gemv-weights';
import { lanes } from './lanes';

/** Adds the products of `count` k (1 or more) and two panels' words to their 64 sums, one k after another, as `coded.addOne` does. */
export function addPair<F>(c: usize, x: usize, words: usize, next: usize, count: i32): void {
  const bytes = facts.about<F>().bytes;
  const mask = weights.mask<F>();
  let a0 = v128.load(c), a1 = v128.load(c, 16);
  let b0 = v128.load(c, NEXT), b1 = v128.load(c, NEXT + 16);
  let c0 = v128.load(c, 2 * NEXT), c1 = v128.load(c, 2 * NEXT + 16);
  let d0 = v128.load(c, 3 * NEXT), d1 = v128.load(c, 3 * NEXT + 16);
  let e0 = v128.load(c, 4 * NEXT), e1 = v128.load(c, 4 * NEXT + 16);
  let f0 = v128.load(c, 5 * NEXT), f1 = v128.load(c, 5 * NEXT + 16);
  let g0 = v128.load(c, 6 * NEXT), g1 = v128.load(c, 6 * NEXT + 16);
  let h0 = v128.load(c, 7 * NEXT), h1 = v128.load(c, 7 * NEXT + 16);
  words += weights.even<F>();
  next += weights.even<F>();
  const end = x + (<usize>count << 2);
  do {
    const value = v128.load32_splat(x);
    let halves = weights.halves<F>(v128.load(words));
    let second = weights.halves<F>(v128.load(words, 16));
    c0 = lanes.madd<BF16>(value, weights.upper(halves, mask), c0);
    c1 = lanes.madd<BF16>(value, weights.upper(second, mask), c1);
    a0 = lanes.madd<BF16>(value, weights.lower<F>(halves, mask), a0);
    a1 = lanes.madd<BF16>(value, weights.lower<F>(second, mask), a1);
    halves = weights.halves<F>(bytes === 1 ? v128.load(words, 1) : v128.load(words, 32));
    second = weights.halves<F>(bytes === 1 ? v128.load(words, 17) : v128.load(words, 48));
    d0 = lanes.madd<BF16>(value, weights.upper(halves, mask), d0);
    d1 = lanes.madd<BF16>(value, weights.upper(second, mask), d1);
    b0 = lanes.madd<BF16>(value, weights.lower<F>(halves, mask), b0);
    b1 = lanes.madd<BF16>(value, weights.lower<F>(second, mask), b1);
    halves = weights.halves<F>(v128.load(next));
    second = weights.halves<F>(v128.load(next, 16));
    g0 = lanes.madd<BF16>(value, weights.upper(halves, mask), g0);
    g1 = lanes.madd<BF16>(value, weights.upper(second, mask), g1);
    e0 = lanes.madd<BF16>(value, weights.lower<F>(halves, mask), e0);
    e1 = lanes.madd<BF16>(value, weights.lower<F>(second, mask), e1);
    halves = weights.halves<F>(bytes === 1 ? v128.load(next, 1) : v128.load(next, 32));
    second = weights.halves<F>(bytes === 1 ? v128.load(next, 17) : v128.load(next, 48));
    h0 = lanes.madd<BF16>(value, weights.upper(halves, mask), h0);
    h1 = lanes.madd<BF16>(value, weights.upper(second, mask), h1);
    f0 = lanes.madd<BF16>(value, weights.lower<F>(halves, mask), f0);
    f1 = lanes.madd<BF16>(value, weights.lower<F>(second, mask), f1);
    x += 4;
    words += WEIGHT_COLUMNS * bytes;
    next += WEIGHT_COLUMNS * bytes;
  } while (x < end);
  sums.store(c, a0, a1);
  sums.store(c + NEXT, b0, b1);
  sums.store(c + 2 * NEXT, c0, c1);
  sums.store(c + 3 * NEXT, d0, d1);
  sums.store(c + 4 * NEXT, e0, e1);
  sums.store(c + 5 * NEXT, f0, f1);
  sums.store(c + 6 * NEXT, g0, g1);
  sums.store(c + 7 * NEXT, h0, h1);
}
