/** Observes the casts of a training step: it reads their inputs and outputs, records numbers, and changes nothing. */
import type { Runtime } from '../engine/runtime.js';
import { exponentOf } from '../formats/spec.js';
import { type CastMonitor, monitorCast } from '../ops/monitor.js';
import type { Factors } from '../ops/quantize.js';
import { type SwigluOptions, swigluForward } from '../ops/swiglu.js';
import { floats, type Tensor } from '../ops/tensor.js';
import type { SmoothOperand } from './casts.js';

/** The s of Smooth-SwiGLU, each a power of two. */
export type SmoothingMonitor =
  /** counts[i] tokens have s = 2^(exponent + i). */
  | { by: 'token'; exponent: number; counts: number[] }
  /** log2 s, channel by channel. */
  | { by: 'channel'; exponents: number[] };

export interface ActivationMonitor {
  /** Largest |silu(gate) * up| of each channel before smoothing, to four digits. */
  channel_amax: number[];
  /** Present if the recipe smooths. */
  smoothing?: SmoothingMonitor;
}

type Smoothing = Pick<SwigluOptions, 'perToken' | 'channelInv'>;

const FLOATS = { dtype: 'float32', scale: 1 } as const;

/** Keeps only the last cast of a tensor: with several micro-batches, that of the last one. */
export class Monitor {
  readonly casts = new Map<string, CastMonitor>();
  readonly activations = new Map<string, ActivationMonitor>();

  constructor(private readonly rt: Runtime) {}

  cast(key: string, source: Tensor, codes: Tensor, factors?: Factors): void {
    this.casts.set(key, monitorCast(this.rt, source, codes, factors));
  }

  /** The input of a down projection is encoded as it is computed, so it is computed again here to be measured. */
  smoothed(key: string, gateUp: Tensor, { perToken, channelInv }: Smoothing, codes: Tensor): void {
    const { rt } = this;
    rt.scoped(() => this.cast(key, swigluForward(rt, gateUp, { perToken, channelInv, first: FLOATS }).y, codes));
  }

  swiglu(key: string, gateUp: Tensor, { rowScale, channel }: Pick<SmoothOperand, 'rowScale' | 'channel'>): void {
    const { rt } = this;
    const plain = rt.scoped(() => swigluForward(rt, gateUp, { channelAmax: true, first: FLOATS }));
    const exponents = (scales: Tensor) => Array.from(floats(rt, scales), exponentOf);
    this.activations.set(key, {
      channel_amax: Array.from(plain.channelAmax!, (x) => Number(x.toPrecision(4))),
      ...(rowScale && { smoothing: counted(exponents(rowScale)) }),
      ...(channel && { smoothing: { by: 'channel' as const, exponents: exponents(channel.scale) } }),
    });
  }
}

function counted(exponents: readonly number[]): SmoothingMonitor {
  let [low, high] = [exponents[0], exponents[0]];
  for (const exponent of exponents) [low, high] = [Math.min(low, exponent), Math.max(high, exponent)];
  const counts: number[] = new Array(high - low + 1).fill(0);
  for (const exponent of exponents) counts[exponent - low]++;
  return { by: 'token', exponent: low, counts };
}
