/**
 * Rotary position embedding (Su et al., 2021), in the pairing of Hugging Face Llama: channel i is rotated with channel i + D/2. In place,
 * on the first `heads` heads of each row, so that query and key heads of one QKV row are one call.
 */
import { loadRow } from './decode';
import { storeRow } from './encode';
import { format } from './formats';

/**
 * Units: rows. x: rows of `stride` elements. Row r is at position r % time, plus the int32 at `offsetAt` unless that is 0. cosines, sines:
 * (positions, D/2) float32. direction is 1, or -1 to rotate back (the backward pass). Where D/2 is not a multiple of 4, the rest is done one
 * channel at a time.
 */
export function rope(
  begin: i32, end: i32, scratch: usize,
  dtype: i32, x: usize, stride: i32, heads: i32, headDim: i32, time: i32, offsetAt: usize, cosines: usize, sines: usize, direction: f32,
): void {
  const half = headDim >> 1;
  const width = heads * headDim;
  const offset = offsetAt ? load<i32>(offsetAt) : 0;
  for (let row = begin; row < end; row++) {
    const at = x + <usize>(row * stride) * format.bytes(dtype);
    const table = <usize>((offset + (row % time)) * half) << 2;
    loadRow(dtype, at, scratch, width, 1);
    for (let head = 0; head < heads; head++) {
      const low = scratch + (<usize>(head * headDim) << 2);
      const high = low + (half << 2);
      let i = 0;
      for (; i + 4 <= half; i += 4) {
        const p = i << 2;
        const c = v128.load(cosines + table + p);
        const s = f32x4.mul(v128.load(sines + table + p), f32x4.splat(direction));
        const a = v128.load(low + p);
        const b = v128.load(high + p);
        v128.store(low + p, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
        v128.store(high + p, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
      }
      for (; i < half; i++) {
        const p = i << 2;
        const c = load<f32>(cosines + table + p);
        const s = load<f32>(sines + table + p) * direction;
        const a = load<f32>(low + p);
        const b = load<f32>(high + p);
        store<f32>(low + p, a * c - b * s);
        store<f32>(high + p, b * c + a * s);
      }
    }
    storeRow(dtype, scratch, at, width);
  }
}
