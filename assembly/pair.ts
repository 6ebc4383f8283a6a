/**
 * The tile of the turbo builds: 6 x 16 of C from one panel of A and two of B, in which V8 merges the two vectors of a panel's row into one
 * of 256 bits: 12 accumulators, 2 vectors of B, 1 broadcast of A. Measured, panels of 512 in L1, Node 26, fused, against 58 GFLOP/s of the
 * 6 x 8 tile in 128 bits: 105; refused: 6 x 8 77, 4 x 16 103, 5 x 16 109 (needs A panels of its own), 12 x 8 90, 6 x 24 69.
 */
import { lanes } from './lanes';

/**
 * Adds sum over k < kc of a[k][6] * b[k][8] to tile c for the panel b, and to d for the panel `next`. F and the order of sums are those of
 * `tile`. The sums are always loaded from memory: V8 merges no vectors where an accumulator can start in two ways.
 */
export function pair<F>(a: usize, b: usize, next: usize, kc: i32, c: usize, d: usize): void {
  let c00 = v128.load(c);
  let c01 = v128.load(c, 16);
  let c02 = v128.load(d);
  let c03 = v128.load(d, 16);
  let c10 = v128.load(c, 32);
  let c11 = v128.load(c, 48);
  let c12 = v128.load(d, 32);
  let c13 = v128.load(d, 48);
  let c20 = v128.load(c, 64);
  let c21 = v128.load(c, 80);
  let c22 = v128.load(d, 64);
  let c23 = v128.load(d, 80);
  let c30 = v128.load(c, 96);
  let c31 = v128.load(c, 112);
  let c32 = v128.load(d, 96);
  let c33 = v128.load(d, 112);
  let c40 = v128.load(c, 128);
  let c41 = v128.load(c, 144);
  let c42 = v128.load(d, 128);
  let c43 = v128.load(d, 144);
  let c50 = v128.load(c, 160);
  let c51 = v128.load(c, 176);
  let c52 = v128.load(d, 160);
  let c53 = v128.load(d, 176);
  const end = b + (<usize>kc << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(next);
    const b3 = v128.load(next, 16);
    let x = v128.load32_splat(a);
    c00 = lanes.madd<F>(x, b0, c00);
    c01 = lanes.madd<F>(x, b1, c01);
    c02 = lanes.madd<F>(x, b2, c02);
    c03 = lanes.madd<F>(x, b3, c03);
    x = v128.load32_splat(a, 4);
    c10 = lanes.madd<F>(x, b0, c10);
    c11 = lanes.madd<F>(x, b1, c11);
    c12 = lanes.madd<F>(x, b2, c12);
    c13 = lanes.madd<F>(x, b3, c13);
    x = v128.load32_splat(a, 8);
    c20 = lanes.madd<F>(x, b0, c20);
    c21 = lanes.madd<F>(x, b1, c21);
    c22 = lanes.madd<F>(x, b2, c22);
    c23 = lanes.madd<F>(x, b3, c23);
    x = v128.load32_splat(a, 12);
    c30 = lanes.madd<F>(x, b0, c30);
    c31 = lanes.madd<F>(x, b1, c31);
    c32 = lanes.madd<F>(x, b2, c32);
    c33 = lanes.madd<F>(x, b3, c33);
    x = v128.load32_splat(a, 16);
    c40 = lanes.madd<F>(x, b0, c40);
    c41 = lanes.madd<F>(x, b1, c41);
    c42 = lanes.madd<F>(x, b2, c42);
    c43 = lanes.madd<F>(x, b3, c43);
    x = v128.load32_splat(a, 20);
    c50 = lanes.madd<F>(x, b0, c50);
    c51 = lanes.madd<F>(x, b1, c51);
    c52 = lanes.madd<F>(x, b2, c52);
    c53 = lanes.madd<F>(x, b3, c53);
    a += 24;
    b += 32;
    next += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(d, c02);
  v128.store(d, c03, 16);
  v128.store(c, c10, 32);
  v128.store(c, c11, 48);
  v128.store(d, c12, 32);
  v128.store(d, c13, 48);
  v128.store(c, c20, 64);
  v128.store(c, c21, 80);
  v128.store(d, c22, 64);
  v128.store(d, c23, 80);
  v128.store(c, c30, 96);
  v128.store(c, c31, 112);
  v128.store(d, c32, 96);
  v128.store(d, c33, 112);
  v128.store(c, c40, 128);
  v128.store(c, c41, 144);
  v128.store(d, c42, 128);
  v128.store(d, c43, 144);
  v128.store(c, c50, 160);
  v128.store(c, c51, 176);
  v128.store(d, c52, 160);
  v128.store(d, c53, 176);
}
