/** assembly/swiglu.ts: silu(gate) * up / s, and its gradient. */
import { add, amax, div, mul, sigmoid, sub } from './lanes.js';

/** The smallest power of two not below the largest |up|, within 2^-126 .. 2^126; 1 for 0, infinity and NaN. */
function smoothingScale(largest: number): number {
  if (!(largest > 0 && Number.isFinite(largest))) return 1;
  let power = 2 ** -126;
  while (power < largest && power < 2 ** 126) power *= 2;
  return power;
}

export interface Smoothing {
  readonly perToken?: boolean;
  /** 1 / s per channel. */
  readonly channelInv?: Float32Array;
}

/** gateUp (rows, 2 * width) -> y before it is encoded, s per row, and the largest |silu(gate) * up / row s| per channel. */
export function swigluForward(gateUp: Float32Array, width: number, { perToken, channelInv }: Smoothing) {
  const rows = gateUp.length / (2 * width);
  const y = new Float32Array(rows * width);
  const rowScale = new Float32Array(rows).fill(1);
  const channelAmax = new Float32Array(width);
  for (let row = 0; row < rows; row++) {
    const gates = gateUp.subarray(2 * row * width, (2 * row + 1) * width);
    const ups = gateUp.subarray((2 * row + 1) * width, (2 * row + 2) * width);
    if (perToken) rowScale[row] = smoothingScale(amax(ups));
    const inverse = div(1, rowScale[row]);
    for (let i = 0; i < width; i++) {
      const value = mul(mul(gates[i], sigmoid(gates[i])), mul(ups[i], inverse));
      channelAmax[i] = amax([channelAmax[i], value]);
      y[row * width + i] = channelInv ? mul(value, channelInv[i]) : value;
    }
  }
  return { y, rowScale, channelAmax };
}

/** dGateUp before it is stored. s is a constant. */
export function swigluBackward(
  dy: Float32Array,
  gateUp: Float32Array,
  width: number,
  { rowScale, channelInv }: { rowScale?: Float32Array; channelInv?: Float32Array },
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(gateUp.length);
  for (let row = 0; row < dy.length / width; row++) {
    const inverse = rowScale ? div(1, rowScale[row]) : 1;
    for (let i = 0; i < width; i++) {
      const at = 2 * row * width + i;
      const [g, up] = [gateUp[at], gateUp[at + width]];
      const sig = sigmoid(g);
      let d = mul(dy[row * width + i], inverse);
      if (channelInv) d = mul(d, channelInv[i]);
      const slope = mul(sig, add(1, mul(g, sub(1, sig))));
      out[at] = mul(mul(d, up), slope);
      out[at + width] = mul(d, mul(g, sig));
    }
  }
  return out;
}
