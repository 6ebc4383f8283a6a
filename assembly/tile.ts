/**
 * The one microkernel: a 6 x 8 tile of C += A B from packed panels, each element summed over k in ascending order. Panels and tiles of C
 * are 16-byte aligned.
 *
 * Fused, 12 accumulators + 2 vectors of B + 1 broadcast of A fill the 15 registers that V8 allocates. Measured (share of the madd ceiling
 * with panels in L1, Zen 5, Node 26 / 20): 101 / 101 %; refused: unrolled by 2 69 / 67 %, by 4 83 / 84 %, 4 x 8 unrolled by 2 94 / 92 %,
 * and before that 8x8 (spills), 4x16, 4x12, 12x8.
 *
 * Unfused, a product needs a register of its own, and an accumulator that V8 spills goes through memory on every k: 52 / 51 % for the same
 * loop. There GEMM takes 5 x 8: 96 / 99 %, and a product of 1024^3 runs at 93 % of the mul + add ceiling. Attention, whose blocks are
 * multiples of six rows, takes two halves of 3 x 8, unrolled by 2: 94 / 95 %, but only 64 % in many a run of GEMM. Refused: 6x8 unrolled by
 * 2 81 / 85 %, 3x8 unrolled by 4 62 / 69 %, 4x12 51 / 52 %.
 */

import { TILE_COLUMNS, TILE_ROWS } from '../src/engine/units';
import { lanes } from './lanes';

/** Floats in a tile of C, stored row by row. */
export const TILE = TILE_ROWS * TILE_COLUMNS;

abstract class rows {
  /** Five rows of a tile, or all of them where `six`, which is a constant so that each case has a loop of its own. */
  @inline static of<F>(a: usize, b: usize, kc: i32, c: usize, resume: bool, six: bool): void {
    let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
    let c30 = c00, c31 = c00, c40 = c00, c41 = c00, c50 = c00, c51 = c00;
    if (resume) {
      if (six) {
        c50 = v128.load(c, 160);
        c51 = v128.load(c, 176);
      }
      c00 = v128.load(c);
      c01 = v128.load(c, 16);
      c10 = v128.load(c, 32);
      c11 = v128.load(c, 48);
      c20 = v128.load(c, 64);
      c21 = v128.load(c, 80);
      c30 = v128.load(c, 96);
      c31 = v128.load(c, 112);
      c40 = v128.load(c, 128);
      c41 = v128.load(c, 144);
    }
    const end = b + (<usize>kc << 5);
    while (b < end) {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      let x = v128.load32_splat(a);
      c00 = lanes.madd<F>(x, b0, c00);
      c01 = lanes.madd<F>(x, b1, c01);
      x = v128.load32_splat(a, 4);
      c10 = lanes.madd<F>(x, b0, c10);
      c11 = lanes.madd<F>(x, b1, c11);
      x = v128.load32_splat(a, 8);
      c20 = lanes.madd<F>(x, b0, c20);
      c21 = lanes.madd<F>(x, b1, c21);
      x = v128.load32_splat(a, 12);
      c30 = lanes.madd<F>(x, b0, c30);
      c31 = lanes.madd<F>(x, b1, c31);
      x = v128.load32_splat(a, 16);
      c40 = lanes.madd<F>(x, b0, c40);
      c41 = lanes.madd<F>(x, b1, c41);
      if (six) {
        x = v128.load32_splat(a, 20);
        c50 = lanes.madd<F>(x, b0, c50);
        c51 = lanes.madd<F>(x, b1, c51);
      }
      a += 24;
      b += 32;
    }
    v128.store(c, c00);
    v128.store(c, c01, 16);
    v128.store(c, c10, 32);
    v128.store(c, c11, 48);
    v128.store(c, c20, 64);
    v128.store(c, c21, 80);
    v128.store(c, c30, 96);
    v128.store(c, c31, 112);
    v128.store(c, c40, 128);
    v128.store(c, c41, 144);
    if (six) {
      v128.store(c, c50, 160);
      v128.store(c, c51, 176);
    }
  }
}

/**
 * c[6][8] (+)= sum over k < kc of a[k][6] * b[k][8]. `resume` continues from the sums in c, so that splitting K changes no bit. F says
 * whether the products are exact (lanes.madd).
 */
export function tile<F>(a: usize, b: usize, kc: i32, c: usize, resume: bool): void {
  if (lanes.fuses<F>()) {
    whole<F>(a, b, kc, c, resume);
  } else {
    const even = kc & ~1;
    half<F>(a, b, even, c, resume);
    half<F>(a + 12, b, even, c + 96, resume);
    // A loop for the odd k in this function would cost Node 20 more than half of the speed.
    if (even < kc) whole<F>(a + <usize>even * 24, b + <usize>even * 32, 1, c, true);
  }
}

/**
 * Five rows of a tile whose products are not fused: 10 accumulators, 2 vectors of B, 1 broadcast of A, 1 product. The A panel still has six
 * rows, the last of which is not read: packing is shared with the six-row tile, and a sixth of it is done twice.
 */
export function fiveRows<F>(a: usize, b: usize, kc: i32, c: usize, resume: bool): void {
  rows.of<F>(a, b, kc, c, resume, false);
}

/**
 * The first three rows of a tile, where no more count: 3 x 1024 x 1024 in 0.35 / 0.33 ms (fused / not), where whole tiles took 0.44 / 0.53.
 */
export function threeRows<F>(a: usize, b: usize, kc: i32, c: usize, resume: bool): void {
  const even = kc & ~1;
  half<F>(a, b, even, c, resume);
  if (even < kc) whole<F>(a + <usize>even * 24, b + <usize>even * 32, 1, c, true);
}

function whole<F>(a: usize, b: usize, kc: i32, c: usize, resume: bool): void {
  rows.of<F>(a, b, kc, c, resume, true);
}

/** Rows 0 to 2 of the tile, or with a + 12 and c + 96 rows 3 to 5; kc is even. */
function half<F>(a: usize, b: usize, kc: i32, c: usize, resume: bool): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
  if (resume) {
    c00 = v128.load(c);
    c01 = v128.load(c, 16);
    c10 = v128.load(c, 32);
    c11 = v128.load(c, 48);
    c20 = v128.load(c, 64);
    c21 = v128.load(c, 80);
  }
  const end = b + (<usize>kc << 5);
  while (b < end) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = lanes.madd<F>(x, b0, c00);
    c01 = lanes.madd<F>(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = lanes.madd<F>(x, b0, c10);
    c11 = lanes.madd<F>(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = lanes.madd<F>(x, b0, c20);
    c21 = lanes.madd<F>(x, b1, c21);
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a, 24);
    c00 = lanes.madd<F>(x, b0, c00);
    c01 = lanes.madd<F>(x, b1, c01);
    x = v128.load32_splat(a, 28);
    c10 = lanes.madd<F>(x, b0, c10);
    c11 = lanes.madd<F>(x, b1, c11);
    x = v128.load32_splat(a, 32);
    c20 = lanes.madd<F>(x, b0, c20);
    c21 = lanes.madd<F>(x, b1, c21);
    a += 48;
    b += 64;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c10, 32);
  v128.store(c, c11, 48);
  v128.store(c, c20, 64);
  v128.store(c, c21, 80);
}
