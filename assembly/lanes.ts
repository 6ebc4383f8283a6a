/**
 * v128 helpers, among them the readers of ASC_FEATURE_RELAXED_SIMD, which is all that `relaxed` and `simd` differ in. What `turbo` does
 * differently depends on isDefined(TURBO) in gemm.ts, gemv.ts, gemv-codes.ts and attention-block.ts.
 */
import { facts } from './formats';

export abstract class lanes {
  /**
   * acc + a * b for operands decoded from format F. Fused only where the build allows it and the product of two F values is exact in
   * float32 (at most 12 significand bits each): then fused and unfused round once, at the same place, and give the same bits.
   */
  @inline static madd<F>(a: v128, b: v128, acc: v128): v128 {
    if (lanes.fuses<F>()) return f32x4.relaxed_madd(a, b, acc);
    return f32x4.add(f32x4.mul(a, b), acc);
  }

  /** Whether products of two F values are exact in float32. */
  @inline static exact<F>(): bool {
    return facts.about<F>().manBits < 12;
  }

  @inline static fuses<F>(): bool {
    return ASC_FEATURE_RELAXED_SIMD && lanes.exact<F>();
  }

  /** (l0 + l1) + (l2 + l3): the order of every horizontal sum. */
  @inline static sum(v: v128): f32 {
    return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
  }

  /** Largest lane, NaN if one is. */
  @inline static max(v: v128): f32 {
    return max(max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)), max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)));
  }

  /** Largest lane, read as unsigned integers. On |x| bits this orders NaN above infinity above the finite numbers. */
  static maxU32(v: v128): u32 {
    let m = i32x4.max_u(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    m = i32x4.max_u(m, i8x16.shuffle(m, m, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    return <u32>i32x4.extract_lane(m, 0);
  }

  /** Largest of the 16-bit, and of the 8-bit lanes, unsigned. */
  static maxU16(v: v128): i32 {
    let m = i16x8.max_u(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    m = i16x8.max_u(m, i64x2.shr_u(m, 32));
    m = i16x8.max_u(m, i64x2.shr_u(m, 16));
    return i16x8.extract_lane_u(m, 0);
  }
  static maxU8(v: v128): i32 {
    return lanes.maxU16(i16x8.max_u(i16x8.shr_u(v, 8), v128.and(v, i16x8.splat(255))));
  }

  /** Sum of the lanes as integers. */
  static sumI32(v: v128): i32 {
    return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
  }

  @inline static abs(v: v128): v128 {
    return v128.and(v, i32x4.splat(0x7fffffff));
  }

  /** The first n (0 to 3) float32 at p, other lanes zero; reads nothing beyond them. */
  @inline static loadTail(p: usize, n: i32): v128 {
    let v = i32x4.splat(0);
    if (n > 0) v = v128.load32_zero(p);
    if (n > 1) v = v128.load_lane<u32>(p + 4, v, 1);
    if (n > 2) v = v128.load_lane<u32>(p + 8, v, 2);
    return v;
  }

  /** Stores the first n (0 to 3) lanes and touches nothing beyond them. */
  @inline static storeTail(p: usize, v: v128, n: i32): void {
    if (n > 0) v128.store_lane<u32>(p, v, 0);
    if (n > 1) v128.store_lane<u32>(p + 4, v, 1);
    if (n > 2) v128.store_lane<u32>(p + 8, v, 2);
  }
}

/** An opaque zero: the compiler cannot fold what it is combined with. */
const ZERO = memory.data<i64>([0], 8);

/** Constant vectors for loops. V8 14 rebuilds a constant it knows at each use, in three instructions; these it keeps in registers. */
export abstract class splat {
  @inline static bytes(byte: i32): v128 {
    return i8x16.splat(<i8>(byte | load<i32>(ZERO)));
  }
  @inline static pairs(bits: i32): v128 {
    return i16x8.splat(<i16>(bits | load<i32>(ZERO)));
  }
  @inline static words(bits: i32): v128 {
    return i32x4.splat(bits | load<i32>(ZERO));
  }
}

/** Shuffles of pairs of vectors, and the steps of a 4 x 4 transpose. */
export abstract class quad {
  // Bytes of the lower and of the upper halves, interleaved.
  @inline static lowBytes(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
  @inline static highBytes(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  // 16-bit lanes of the lower and of the upper halves, interleaved.
  @inline static lowPairs(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
  }
  @inline static highPairs(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
  }
  // The lower and the upper halves of 32-bit lanes.
  @inline static lowerHalves(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29);
  }
  @inline static upperHalves(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  }
  // The two steps of a 4 x 4 transpose: 32-bit lanes interleaved, then 64-bit halves combined into the columns.
  @inline static lo(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  }
  @inline static hi(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  }
  @inline static evenHalves(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  }
  @inline static oddHalves(a: v128, b: v128): v128 {
    return i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
}
