/** Sums and digests over fixed chunks, whose results the host combines in order: the number of threads cannot change them. */
import { DIGEST_BYTES, REDUCE_ELEMENTS } from '../src/engine/units';

/** Units: REDUCE_ELEMENTS elements of a float32 array. out[unit] float64 = sum of squares. */
export function sumSquares(begin: i32, end: i32, _scratch: usize, src: usize, total: i32, out: usize): void {
  for (let unit = begin; unit < end; unit++) {
    const first = unit * REDUCE_ELEMENTS;
    const n = min(REDUCE_ELEMENTS, total - first);
    const from = src + (<usize>first << 2);
    let a = f64x2.splat(0);
    let b = f64x2.splat(0);
    let i = 0;
    for (; i + 4 <= n; i += 4) {
      const v = v128.load(from + (i << 2));
      const low = f64x2.promote_low_f32x4(v);
      const high = f64x2.promote_low_f32x4(i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
      a = f64x2.add(a, f64x2.mul(low, low));
      b = f64x2.add(b, f64x2.mul(high, high));
    }
    a = f64x2.add(a, b);
    let sum = f64x2.extract_lane(a, 0) + f64x2.extract_lane(a, 1);
    for (; i < n; i++) {
      const x = <f64>load<f32>(from + (i << 2));
      sum += x * x;
    }
    store<f64>(out + (unit << 3), sum);
  }
}

/** Units: REDUCE_ELEMENTS columns. out[column] += sum over the rows of src (rows, columns) float32, in order. */
export function sumRows(begin: i32, end: i32, _scratch: usize, src: usize, rows: i32, columns: i32, out: usize): void {
  const last = min(columns, end * REDUCE_ELEMENTS);
  for (let column = begin * REDUCE_ELEMENTS; column < last; column++) {
    let sum: f32 = 0;
    for (let row = 0; row < rows; row++) sum += load<f32>(src + (<usize>(row * columns + column) << 2));
    const at = out + (<usize>column << 2);
    store<f32>(at, load<f32>(at) + sum);
  }
}

/**
 * Units: DIGEST_BYTES bytes. out[unit] u64: four lanes of h = (h ^ word) * odd constant over the words (zero-padded), then mixed.
 * Finds accidents and differences; not a cryptographic hash.
 */
export function digest(begin: i32, end: i32, scratch: usize, src: usize, bytes: usize, out: usize): void {
  for (let unit = begin; unit < end; unit++) {
    const first = <usize>unit * DIGEST_BYTES;
    const n = <i32>min<usize>(DIGEST_BYTES, bytes - first);
    const from = src + first;
    const prime = i32x4.splat(0x01000193);
    let h = i32x4(0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35);
    const whole = n & ~15;
    for (let i = 0; i < whole; i += 16) {
      h = i32x4.mul(v128.xor(h, v128.load(from + i)), prime);
      h = v128.xor(h, i32x4.shr_u(h, 15));
    }
    if (n & 15) {
      memory.fill(scratch, 0, 16);
      memory.copy(scratch, from + whole, n & 15);
      h = i32x4.mul(v128.xor(h, v128.load(scratch)), prime);
      h = v128.xor(h, i32x4.shr_u(h, 15));
    }
    let mixed: u64 = <u64>n;
    mixed = (mixed ^ <u64>(<u32>i32x4.extract_lane(h, 0))) * 0x9e3779b97f4a7c15;
    mixed = ((mixed ^ (mixed >> 29)) ^ <u64>(<u32>i32x4.extract_lane(h, 1))) * 0xbf58476d1ce4e5b9;
    mixed = ((mixed ^ (mixed >> 32)) ^ <u64>(<u32>i32x4.extract_lane(h, 2))) * 0x94d049bb133111eb;
    mixed = ((mixed ^ (mixed >> 29)) ^ <u64>(<u32>i32x4.extract_lane(h, 3))) * 0x9e3779b97f4a7c15;
    store<u64>(out + (unit << 3), mixed ^ (mixed >> 32));
  }
}
