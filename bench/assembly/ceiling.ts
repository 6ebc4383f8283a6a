/**
 * What this machine can do at best, measured the way the engine works: compiled by asc, run by its threads, called with
 * (begin, end, scratch). The numbers are powers of two, so that a sum is exact and tells how many products went into it.
 */
// biome-ignore lint/style/useImportType: asc has no type imports
import { BF16, F32 } from '../../assembly/formats';
import { lanes } from '../../assembly/lanes';

export { fused, version } from '../../assembly/about';

/** Float operations of a turn: 12 chains of 4 lanes, a product and a sum each. */
export function operationsPerTurn(): i32 {
  return 12 * 4 * 2;
}

/**
 * Twelve independent chains s = s * a + b: more than latency times ports, and with the two constants 14 of 16 registers. The sum feeds the
 * next product, so no compiler can share a product between chains. Measured (GFLOP/s on a 3.65 GHz Zen 4, Node 20): fused 58.3, which is two
 * madd a cycle, with 8, 10, 12 or 14 chains; unfused 46-49 with 12, 37 with 8, 45 with 14.
 */
function chains<F>(turns: i32, x: f32, y: f32): v128 {
  const a = f32x4.splat(x);
  const b = f32x4.splat(y);
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  let s6 = s0;
  let s7 = s0;
  let s8 = s0;
  let s9 = s0;
  let s10 = s0;
  let s11 = s0;
  for (let i = turns; i > 0; i--) {
    s0 = lanes.madd<F>(s0, a, b);
    s1 = lanes.madd<F>(s1, a, b);
    s2 = lanes.madd<F>(s2, a, b);
    s3 = lanes.madd<F>(s3, a, b);
    s4 = lanes.madd<F>(s4, a, b);
    s5 = lanes.madd<F>(s5, a, b);
    s6 = lanes.madd<F>(s6, a, b);
    s7 = lanes.madd<F>(s7, a, b);
    s8 = lanes.madd<F>(s8, a, b);
    s9 = lanes.madd<F>(s9, a, b);
    s10 = lanes.madd<F>(s10, a, b);
    s11 = lanes.madd<F>(s11, a, b);
  }
  const low = f32x4.add(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)), f32x4.add(s4, s5));
  const high = f32x4.add(f32x4.add(f32x4.add(s6, s7), f32x4.add(s8, s9)), f32x4.add(s10, s11));
  return f32x4.add(low, high);
}

/** Multiply-adds of exact products: fused where the build has relaxed SIMD. out: 16 bytes per unit. */
export function exactProducts(begin: i32, end: i32, _scratch: usize, turns: i32, x: f32, y: f32, out: usize): void {
  for (let unit = begin; unit < end; unit++) v128.store(out + ((<usize>unit) << 4), chains<BF16>(turns, x, y));
}

/** Multiply-adds of float32 products: a product, then a sum, in every build. */
export function roundedProducts(begin: i32, end: i32, _scratch: usize, turns: i32, x: f32, y: f32, out: usize): void {
  for (let unit = begin; unit < end; unit++) v128.store(out + ((<usize>unit) << 4), chains<F32>(turns, x, y));
}

/** memory.copy in units of `chunk` bytes. */
export function copy(begin: i32, end: i32, _scratch: usize, from: usize, to: usize, bytes: i32, chunk: i32): void {
  const first = begin * chunk;
  memory.copy(to + first, from + first, min(end * chunk, bytes) - first);
}
