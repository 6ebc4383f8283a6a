/** assembly/rope.ts: channel i of a head turns with channel i + D/2. */
import { add, mul, sub } from './lanes.js';

export interface RopeShape {
  readonly heads: number;
  readonly headDim: number;
  readonly time: number;
  readonly offset: number;
}

/** Rows of `stride` numbers; the first `heads` heads of each are turned, the rest is left. */
export function rope(
  x: Float32Array,
  stride: number,
  { heads, headDim, time, offset }: RopeShape,
  cosines: Float32Array,
  sines: Float32Array,
  direction: 1 | -1,
): Float32Array<ArrayBuffer> {
  const out = x.slice() as Float32Array<ArrayBuffer>;
  const half = headDim / 2;
  for (let row = 0; row < x.length / stride; row++) {
    const table = (offset + (row % time)) * half;
    for (let head = 0; head < heads; head++) {
      const low = row * stride + head * headDim;
      for (let i = 0; i < half; i++) {
        const [a, b] = [x[low + i], x[low + half + i]];
        const [c, s] = [cosines[table + i], mul(sines[table + i], direction)];
        out[low + i] = sub(mul(a, c), mul(b, s));
        out[low + half + i] = add(mul(b, c), mul(a, s));
      }
    }
  }
  return out;
}
