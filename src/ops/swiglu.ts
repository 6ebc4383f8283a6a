/** SwiGLU and Smooth-SwiGLU, fused with encoding. Kernels: assembly/swiglu.ts. */

import type { Runtime } from '../engine/runtime.js';
import { EXP_STEP, STATS_BYTES, SWIGLU_ROWS } from '../engine/units.js';
import type { DType } from '../formats/index.js';
import { floatOfBits } from '../formats/spec.js';
import { type Health, readHealth, rowScratch } from './quantize.js';
import { checkMultipleOf4, empty, idOf, matrixShape, type Tensor } from './tensor.js';

/** A format, and the scale that multiplies before the cast (1 for formats that need none). */
export interface Target {
  readonly dtype: DType;
  readonly scale: number;
}

export interface SwigluOptions {
  readonly first: Target;
  readonly second?: Target;
  /** Smooth per token: y is divided by a power of two per row, to be multiplied back after the next GEMM. */
  readonly perToken?: boolean;
  /** Smooth per channel: 1/s, (F) float32 powers of two, to be undone in the columns of the next weight. */
  readonly channelInv?: Tensor;
  /** Also measure the largest |silu(gate) * up| of each channel. */
  readonly channelAmax?: boolean;
}

export interface SwigluResult {
  readonly y: Tensor;
  readonly second?: Tensor;
  /** s, (rows) float32, if smoothed per token. */
  readonly rowScale?: Tensor;
  readonly channelAmax?: Float32Array;
  readonly health: Health;
}

/** gateUp (rows, 2F), gates before ups -> y (rows, F). */
export function swigluForward(rt: Runtime, gateUp: Tensor, options: SwigluOptions): SwigluResult {
  const { first, second, perToken, channelInv, channelAmax } = options;
  const [rows, both] = matrixShape(gateUp);
  const width = both / 2;
  checkMultipleOf4('feed-forward width', width);
  const y: Tensor = { ...empty(rt, [rows, width], first.dtype), scaleInv: 1 / first.scale };
  const copy: Tensor | undefined = second && { ...empty(rt, [rows, width], second.dtype), scaleInv: 1 / second.scale };
  const rowScale = perToken ? empty(rt, [rows], 'float32') : undefined;
  const units = Math.ceil(rows / SWIGLU_ROWS);
  return rt.scoped(() => {
    const stats = rt.arena.alloc(units * STATS_BYTES);
    const peaks = channelAmax ? rt.arena.alloc(units * width * 4) : 0;
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'swigluForward', units, rowScratch(2 * width + 2 * EXP_STEP),
      idOf(gateUp.dtype), gateUp.ptr, rows, width, rowScale?.ptr ?? 0, channelInv?.ptr ?? 0, peaks,
      y.ptr, idOf(first.dtype), first.scale,
      copy?.ptr ?? 0, copy ? idOf(copy.dtype) : 0, second?.scale ?? 1, stats,
    );
    return {
      y,
      second: copy,
      rowScale,
      channelAmax: peaks ? largestPerColumn(new Uint32Array(rt.arena.buffer, peaks, units * width), width) : undefined,
      health: readHealth(rt, stats, units, rows * width),
    };
  });
}

function largestPerColumn(bits: Uint32Array, columns: number): Float32Array {
  const largest = bits.slice(0, columns);
  for (let i = columns; i < bits.length; i++) {
    if (bits[i] > largest[i % columns]) largest[i % columns] = bits[i];
  }
  return Float32Array.from(largest, floatOfBits);
}

/** Overwrites gateUp with dGateUp, computed from the gradient dy (rows, F) of the smoothed y. */
export function swigluBackward(
  rt: Runtime,
  dy: Tensor,
  gateUp: Tensor,
  smoothing: { rowScale?: Tensor; channelInv?: Tensor },
): Tensor {
  const [rows, width] = matrixShape(dy);
  const row = smoothing.rowScale?.ptr ?? 0;
  const channel = smoothing.channelInv?.ptr ?? 0;
  const scratch = rowScratch(4 * width + 2 * EXP_STEP);
  const id = idOf(gateUp.dtype);
  rt.parallel('swigluBackward', rows, scratch, id, dy.ptr, gateUp.ptr, width, row, channel, gateUp.ptr);
  return gateUp;
}
