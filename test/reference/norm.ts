/** assembly/norm.ts: RMSNorm, operation for operation. */
import { add, div, laneSum, mul, sqrt, sub } from './lanes.js';

const UNIT_ROWS = 32;

export function normForward(x: Float32Array, gain: Float32Array, eps: number) {
  const channels = gain.length;
  const rows = x.length / channels;
  const y = new Float32Array(x.length);
  const rstd = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const at = row * channels;
    const squares = laneSum(channels, (i) => mul(x[at + i], x[at + i]));
    rstd[row] = div(1, sqrt(add(div(squares, channels), Math.fround(eps))));
    for (let i = 0; i < channels; i++) y[at + i] = mul(mul(x[at + i], rstd[row]), gain[i]);
  }
  return { y, rstd };
}

/** dx before it is stored, and dGain as it stands after the rows' gradients were added: chunks of 32 rows, then the chunks. */
export function normBackward(
  dy: Float32Array,
  x: Float32Array,
  gain: Float32Array,
  rstd: Float32Array,
  dres: Float32Array,
  dGain: Float32Array,
) {
  const channels = gain.length;
  const rows = rstd.length;
  const dx = new Float32Array(x.length);
  const total = new Float32Array(channels);
  for (let unit = 0; unit * UNIT_ROWS < rows; unit++) {
    const sums = new Float32Array(channels);
    for (let row = unit * UNIT_ROWS; row < Math.min(rows, (unit + 1) * UNIT_ROWS); row++) {
      const at = row * channels;
      const r = rstd[row];
      const xhat = (i: number) => mul(x[at + i], r);
      for (let i = 0; i < channels; i++) sums[i] = add(sums[i], mul(dy[at + i], xhat(i)));
      const mean = div(
        laneSum(channels, (i) => mul(mul(dy[at + i], xhat(i)), gain[i])),
        channels,
      );
      for (let i = 0; i < channels; i++) {
        const inner = sub(mul(dy[at + i], gain[i]), mul(xhat(i), mean));
        dx[at + i] = add(dres[at + i], mul(inner, r));
      }
    }
    for (let i = 0; i < channels; i++) total[i] = add(total[i], sums[i]);
  }
  return { dx, dGain: dGain.map((old, i) => add(old, total[i])) as Float32Array<ArrayBuffer> };
}
