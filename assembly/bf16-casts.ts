/**
 * Casts of BF16 rows, times powers of two, to one-byte codes in 16-bit lanes: eight numbers to a vector, and no float32 in between.
 * Exponent and mantissa of a BF16 number are where rounding needs them, so the code of a normal result is
 *
 *   (|x| rounded to manBits of mantissa, the others shifted out) - ((bias of BF16 - bias - log2 scale) << manBits)
 *
 * Saturating subtraction gives 0 for everything smaller, which is right for zero. Sixteen numbers with a subnormal result among them go
 * through encode.ts; so does a row with NaN, or with many such sixteens.
 *
 * Node 26 on an EPYC, with statistics, to E4M3FN 0.50 -> 0.155 ns a number, with a copy in E5M2 0.75 -> 0.235, stochastic to E5M2 1.33 ->
 * 0.71 (0.61 since Philox shares its first rounds), most of which is Philox. In a training step of 10.7 M parameters casts took 87 ms of
 * 2690, and then 50.
 */

import { loadRow } from './decode';
import { encodeRow } from './encode';
import { BF16, facts, format, rounding } from './formats';
import { lanes, splat } from './lanes';
import { sixteen } from './sixteen';

/** BF16 bits of infinity. */
const INFINITE = 0x7f80;

// Scratch: in 16-bit lanes, the largest magnitudes, and how many exceed the largest code's; sixteen numbers, their random words, two
// counts.
const OVER: usize = 16;
const NUMBERS: usize = 32;
const WORDS: usize = NUMBERS + 64;
const COUNTS: usize = WORDS + 64;

export abstract class bf16Cast {
  @inline static get scratch(): i32 { return <i32>COUNTS + 8; }

  /** Whether `row` can do this cast: to nearest, E4M3, alone or with a copy in E5M2; stochastic, E5M2 alone. `copy` is -1 for none. */
  static takes(dtype: i32, to: i32, mode: i32, saturate: i32, copy: i32): bool {
    if (dtype !== facts.about<BF16>().id || !saturate || !format.isSignedByte(to, mode === rounding.stochastic ? 2 : 3)) return false;
    if (copy >= 0) return mode === rounding.tiesToEven && format.isSignedByte(copy, 2);
    return mode === rounding.tiesToEven || mode === rounding.stochastic;
  }

  /** The BF16 exponent field of x that becomes 0 in a code; 0 unless x and x * factor are normal for every exponent of the code. */
  private static origin(dtype: i32, factor: f32, scale: f32): i32 {
    const most = 254 - (format.maxCode(dtype) >> format.manBits(dtype));
    const value = 127 - format.bias(dtype) - sixteen.exponentOf(scale);
    const origin = value - sixteen.exponentOf(factor);
    return value > 0 && value <= most && origin > 0 && origin <= most ? origin : 0;
  }

  /**
   * `quantize` of n numbers, a row or part of one: value = x * factor, which `stats` describe; dst1 gets value * scale1 and dst2, unless 0,
   * value * scale2. `halves`: 16 random bits for each. False, with no statistics, where a scale or the numbers do not suit this path.
   */
  static row(
    src: usize, n: i32, factor: f32, dst1: usize, format1: i32, scale1: f32, mode: i32, dst2: usize, format2: i32, scale2: f32, halves: usize,
    stats: usize, scratch: usize,
  ): bool {
    const origin1 = bf16Cast.origin(format1, factor, scale1);
    const origin2 = dst2 ? bf16Cast.origin(format2, factor, scale2) : 1;
    if (!origin1 || !origin2) return false;
    memory.fill(scratch, 0, NUMBERS);
    store<u64>(scratch + COUNTS, 0);
    const whole = n & ~15;
    let misses = 0;
    for (let i = 0; i < n;) {
      if (i < whole) {
        if (mode === rounding.stochastic) i = bf16Cast.run(2, true, false, src, i, whole, dst1, format1, origin1, 0, 0, 1, halves, scratch);
        else if (dst2) i = bf16Cast.run(3, false, true, src, i, whole, dst1, format1, origin1, dst2, format2, origin2, 0, scratch);
        else i = bf16Cast.run(3, false, false, src, i, whole, dst1, format1, origin1, 0, 0, 1, 0, scratch);
        // More than an eighth of the sixteens, and two of a short row: for such a row the other path is faster.
        if (i < whole && ++misses * 128 > n + 256) return false;
      }
      const count = min(16, n - i);
      if (count > 0) bf16Cast.few(src + (i << 1), count, factor, dst1 + i, format1, scale1, mode, dst2 ? dst2 + i : 0, format2, scale2, halves + (i << 1), scratch);
      i += count;
    }
    const most = lanes.maxU16(v128.load(scratch));
    if (most > INFINITE) return false;
    if (stats) {
      store<u32>(stats, max(load<u32>(stats), reinterpret<u32>(reinterpret<f32>(most << 16) * factor)));
      store<i32>(stats, load<i32>(stats, 4) + load<i32>(scratch + COUNTS) + lanes.sumI32(i32x4.extadd_pairwise_i16x8_u(v128.load(scratch, OVER))), 4);
      store<i32>(stats, load<i32>(stats, 8) + load<i32>(scratch + COUNTS, 4), 8);
    }
    return true;
  }

  /** Sixteen at a time from element `from` to `to`, or to the first sixteen with a subnormal result among them, whose index it returns. */
  @inline private static run(
    manBits: i32, random: bool, twice: bool, src: usize, from: i32, to: i32, dst1: usize, format1: i32, origin1: i32, dst2: usize, format2: i32,
    origin2: i32, halves: usize, scratch: usize,
  ): i32 {
    const absolute = splat.pairs(0x7fff);
    const one = splat.pairs(1);
    const signs = splat.bytes(0x80);
    // Added below a code's last bit: all ones, or half a unit less 1.
    const rest1 = splat.pairs((1 << (random ? 7 - manBits : 6 - manBits)) - 1);
    const rest2 = splat.pairs((1 << (6 - 2)) - 1);
    const base1 = splat.pairs(origin1 << manBits);
    const base2 = splat.pairs(origin2 << 2);
    const most1 = splat.bytes(format.maxCode(format1));
    const most2 = splat.bytes(format.maxCode(format2));
    const beyond = splat.pairs((format.maxCode(format1) << (7 - manBits)) + (origin1 << 7));
    // A magnitude less 1 is below this where the result is subnormal; that of zero wraps to the largest.
    const least = splat.pairs(((max(origin1, origin2) + 1) << 7) - 1);
    let largest = v128.load(scratch);
    let over = v128.load(scratch, OVER);
    let i = from;
    for (; i < to; i += 16) {
      const x0 = v128.load(src + (i << 1));
      const x1 = v128.load(src + (i << 1), 16);
      const m0 = v128.and(x0, absolute);
      const m1 = v128.and(x1, absolute);
      if (v128.any_true(i16x8.lt_u(i16x8.min_u(i16x8.sub(m0, one), i16x8.sub(m1, one)), least))) break;
      largest = i16x8.max_u(largest, i16x8.max_u(m0, m1));
      over = i16x8.sub(over, i16x8.add(i16x8.gt_s(m0, beyond), i16x8.gt_s(m1, beyond)));
      const negative = v128.and(i8x16.narrow_i16x8_s(x0, x1), signs);
      const r0 = random ? bf16Cast.stochastic(manBits, m0, rest1, v128.load(halves + (i << 1))) : bf16Cast.nearest(manBits, m0, rest1, one);
      const r1 = random ? bf16Cast.stochastic(manBits, m1, rest1, v128.load(halves + (i << 1), 16)) : bf16Cast.nearest(manBits, m1, rest1, one);
      v128.store(dst1 + i, v128.or(negative, bf16Cast.codes(r0, r1, base1, most1)));
      if (twice) v128.store(dst2 + i, v128.or(negative, bf16Cast.codes(bf16Cast.nearest(2, m0, rest2, one), bf16Cast.nearest(2, m1, rest2, one), base2, most2)));
    }
    v128.store(scratch, largest);
    v128.store(scratch, over, OVER);
    return i;
  }

  /** BF16 magnitudes rounded to nearest-even to manBits of mantissa, the others shifted out. */
  @inline private static nearest(manBits: i32, m: v128, almostHalf: v128, one: v128): v128 {
    return i16x8.shr_u(i16x8.add(i16x8.add(m, almostHalf), v128.and(i16x8.shr_u(m, 7 - manBits), one)), 7 - manBits);
  }

  /**
   * The same, rounded up where the dropped bits exceed as many upper bits of the random halves, which is what all 16 of each would decide.
   */
  @inline private static stochastic(manBits: i32, m: v128, rest: v128, halves: v128): v128 {
    return i16x8.shr_u(i16x8.sub(i16x8.add(m, rest), i16x8.shr_u(halves, 9 + manBits)), 7 - manBits);
  }

  @inline private static codes(r0: v128, r1: v128, base: v128, most: v128): v128 {
    return i8x16.min_u(i8x16.narrow_i16x8_u(i16x8.sub_sat_u(r0, base), i16x8.sub_sat_u(r1, base)), most);
  }

  /** Up to sixteen numbers of any kind, through float32 and encode.ts. */
  private static few(
    src: usize, n: i32, factor: f32, dst1: usize, format1: i32, scale1: f32, mode: i32, dst2: usize, format2: i32, scale2: f32, halves: usize,
    scratch: usize,
  ): void {
    let most: i32 = load<u16>(scratch);
    for (let i = 0; i < n; i++) {
      most = max(most, load<u16>(src + (i << 1)) & 0x7fff);
      if (mode === rounding.stochastic) store<u32>(scratch + WORDS + (i << 2), <u32>load<u16>(halves + (i << 1)) << 16);
    }
    store<u16>(scratch, most);
    const numbers = scratch + NUMBERS;
    loadRow(facts.about<BF16>().id, src, numbers, n, factor);
    encodeRow(format1, numbers, dst1, n, scale1, scratch + WORDS, mode, true, scratch + COUNTS);
    if (dst2) encodeRow(format2, numbers, dst2, n, scale2, 0, rounding.tiesToEven, true, 0);
  }
}
