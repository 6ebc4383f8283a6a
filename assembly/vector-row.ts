/**
 * A row of A prepared for `gemv`: its float32 values and, for one-byte weights, a scaled copy of them and a factor. The copy is multiplied
 * by 2^(127 - bias) of the weights' format, to undo the 2^(bias - 127) of weights decoded by a shift alone (gemv-codes.ts). Where that
 * would overflow, both copies are divided by the factor, a power of two, and the sums multiplied by it in the end: for exact products only,
 * whose lowest bit is known (docs/numerics.md), and only so far that no bit is lost. Otherwise there is no scaled copy, and the factor is
 * 0.
 */

import { TILE_COLUMNS } from '../src/engine/units';
import { BF16, E4M3, E4M3FN, E5M2, F16, F32, facts, format } from './formats';
import { lanes } from './lanes';
import { pack } from './pack';
import { TILE } from './tile';

/** Exponent field of the largest finite float32. */
const MAX_EXPONENT = 254;
/**
 * Binades that exact products have to spare: they have no bit below 2^-67 (BF16) times 2^-16 (E5M2), and float32 reaches down to 2^-149.
 */
const MOST_OVER = 64;

export abstract class vectorRow {
  /** Offset in bytes of the scaled copy: the values, with zeros after them. */
  @inline static scaledCopy(depth: i32): usize {
    return <usize>(((depth + 3) & ~3) + 4) << 2;
  }
  @inline static bytes(depth: i32): usize {
    return 2 * vectorRow.scaledCopy(depth) + 16;
  }
  @inline static factor(x: usize, depth: i32): f32 {
    return load<f32>(x + 2 * vectorRow.scaledCopy(depth));
  }

  static load(x: usize, a: usize, dtype: i32, depth: i32, weights: i32): void {
    if (dtype === facts.about<F32>().id) pack.row<F32>(x, a, depth);
    else if (dtype === facts.about<BF16>().id) pack.row<BF16>(x, a, depth);
    else if (dtype === facts.about<F16>().id) pack.row<F16>(x, a, depth);
    else if (dtype === facts.about<E4M3FN>().id) pack.row<E4M3FN>(x, a, depth);
    else if (dtype === facts.about<E5M2>().id) pack.row<E5M2>(x, a, depth);
    else if (dtype === facts.about<E4M3>().id) pack.row<E4M3>(x, a, depth);
    const end = x + (<usize>depth << 2);
    const copy = vectorRow.scaledCopy(depth);
    v128.store(end, i32x4.splat(0));
    store<f32>(x + 2 * copy, 0);
    if (format.bytes(weights) > 1) return;
    let most = i32x4.splat(0);
    for (let p = x; p < end; p += 16) most = i32x4.max_u(most, lanes.abs(v128.load(p)));
    const up = 127 - format.bias(weights);
    const over = max(0, <i32>(lanes.maxU32(most) >>> 23) + up - MAX_EXPONENT);
    if (over > (dtype === facts.about<F32>().id ? 0 : MOST_OVER)) return;
    store<f32>(x + 2 * copy, vectorRow.power(over));
    const larger = f32x4.splat(vectorRow.power(up - over));
    const smaller = f32x4.splat(vectorRow.power(-over));
    for (let p = x; p < end; p += 16) {
      const numbers = v128.load(p);
      v128.store(p + copy, f32x4.mul(numbers, larger));
      v128.store(p, f32x4.mul(numbers, smaller));
    }
  }

  /** Multiplies the sums, one tile after another, by the factor. */
  static unscale(x: usize, depth: i32, sums: usize, columns: i32): void {
    const factor = vectorRow.factor(x, depth);
    if (factor <= 1) return;
    for (let j = 0; j < columns; j += TILE_COLUMNS) {
      v128.store(sums, f32x4.mul(v128.load(sums), f32x4.splat(factor)));
      v128.store(sums, f32x4.mul(v128.load(sums, 16), f32x4.splat(factor)), 16);
      sums += TILE << 2;
    }
  }

  @inline private static power(exponent: i32): f32 {
    return reinterpret<f32>((127 + exponent) << 23);
  }
}
