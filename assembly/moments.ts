/**
 * Moments of AdamW between steps: codes with one scale for the tensor, one for each group of elements (torchao's AdamWFp8), or groups whose
 * range is first expanded to the format's ("COAT", arXiv 2410.19313, section 4: dynamic range expansion).
 *
 *   group     value = code * scale, scale = amax / MAX
 *   expanded  value = sign * (|code| * scale)^(1 / k) * c: three numbers (scale, k, c) per group; c is the geometric mean of its largest and
 *             smallest magnitude, k the ratio of the ranges of format and group, in sixteenths
 *
 * Unlike in COAT's code, zeros do not count as a smallest magnitude (they have a code of their own), and a group of one magnitude has k =
 * 1.
 */

import { EXPANDED_WORDS, LEAST_AMAX_BITS } from '../src/engine/units';
import { loadRow } from './decode';
import { encodeRow } from './encode';
import { format } from './formats';
import { lanes } from './lanes';
import { math } from './math';

function power(x: v128, k: v128): v128 {
  const exponent = f32x4.mul(math.log2(x), k);
  const least = f32x4.splat(-126);
  return math.exp2(f32x4.pmin(f32x4.pmax(exponent, least), f32x4.splat(126)), least);
}

function power1(x: f32, k: f32): f32 {
  return f32x4.extract_lane(power(f32x4.splat(x), f32x4.splat(k)), 0);
}

function log2(x: f32): f32 {
  return f32x4.extract_lane(math.log2(f32x4.splat(x)), 0);
}

/** sign(x) * factor * (|x| * inverse)^k for n float32; zeros stay zeros. */
function powerRow(row: usize, n: i32, inverse: f32, k: f32, factor: f32): void {
  const i4 = f32x4.splat(inverse);
  const k4 = f32x4.splat(k);
  const f4 = f32x4.splat(factor);
  const zero = f32x4.splat(0);
  const least = i32x4.splat(1 << 23);
  for (let i = 0; i < n << 2; i += 16) {
    const x = v128.load(row + i);
    const magnitude = i32x4.max_s(lanes.abs(f32x4.mul(x, i4)), least);
    const y = f32x4.mul(power(magnitude, k4), f4);
    v128.store(row + i, v128.or(v128.andnot(y, f32x4.eq(x, zero)), v128.and(x, i32x4.splat(0x80000000))));
  }
}

export abstract class moments {
  /** Bytes of a group's numbers. */
  @inline static bytes(expanded: i32): usize { return expanded ? EXPANDED_WORDS << 2 : 4; }

  /**
   * Decodes n elements to float32. `scales` holds the numbers of their groups of `group` elements, or is 0: then `inverse` is the factor of
   * all.
   */
  static load(dtype: i32, src: usize, dst: usize, n: i32, inverse: f32, scales: usize, group: i32, expanded: i32): void {
    if (!scales) {
      loadRow(dtype, src, dst, n, inverse);
      return;
    }
    for (let i = 0; i < n; i += group) {
      const count = min(group, n - i);
      const to = dst + (<usize>i << 2);
      loadRow(dtype, src + <usize>i * format.bytes(dtype), to, count, load<f32>(scales));
      if (expanded) powerRow(to, count, 1, 1 / load<f32>(scales, 4), load<f32>(scales, 8));
      scales += moments.bytes(expanded);
    }
  }

  /** Encodes n elements. With groups, `row` is overwritten and `scale` not used. */
  static store(
    dtype: i32, row: usize, dst: usize, n: i32, scale: f32, scales: usize, group: i32, expanded: i32, words: usize, mode: i32,
  ): void {
    if (!scales) {
      encodeRow(dtype, row, dst, n, scale, words, mode, true, 0);
      return;
    }
    const most = reinterpret<f32>(format.maxBits(dtype));
    const smallest = format.quantum(dtype);
    for (let i = 0; i < n; i += group) {
      const count = min(group, n - i);
      const from = row + (<usize>i << 2);
      let largest: u32 = 0;
      let least: u32 = 0x7f800000;
      for (let j = 0; j < count; j++) {
        const bits = load<u32>(from + (j << 2)) & 0x7fffffff;
        largest = max(largest, bits);
        if (bits !== 0) least = min(least, bits);
      }
      let factor: f32 = 1;
      store<f32>(scales, 1);
      if (expanded) {
        store<f32>(scales, 1, 4);
        store<f32>(scales, 1, 8);
      }
      if (largest !== 0 && expanded) {
        const high = reinterpret<f32>(max<u32>(largest, 1 << 23));
        const low = reinterpret<f32>(max<u32>(least, 1 << 23));
        const range = log2(high) - log2(low);
        const k: f32 = range > 0 ? max<f32>(floor<f32>((log2(most / smallest) / range) * 16) * 0.0625, 0.0625) : 1;
        const centre: f32 = sqrt<f32>(high) * sqrt<f32>(low);
        const inverse: f32 = <f32>1 / centre;
        powerRow(from, count, inverse, k, 1);
        const top = power1(high * inverse, k);
        factor = most / top;
        store<f32>(scales, top / most);
        store<f32>(scales, k, 4);
        store<f32>(scales, centre, 8);
      } else if (largest !== 0) {
        const amax = reinterpret<f32>(max<u32>(largest, LEAST_AMAX_BITS));
        factor = most / amax;
        store<f32>(scales, amax / most);
      }
      encodeRow(dtype, from, dst + <usize>i * format.bytes(dtype), count, factor, words + (<usize>i << 2), mode, true, 0);
      scales += moments.bytes(expanded);
    }
  }
}
