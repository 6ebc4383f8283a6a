/** AdamW on stored state of any format. Kernels: assembly/adamw.ts. */

import type { Runtime } from '../engine/runtime.js';
import { ADAMW_ELEMENTS } from '../engine/units.js';
import { type DType, formatSpec, STOCHASTIC, TIES_TO_EVEN } from '../formats/index.js';
import type { RandomPosition } from './quantize.js';
import { floatOfBits, fullRangeScale } from './scale.js';
import { idOf, sizeOf, type Tensor } from './tensor.js';

/** One parameter's stored state. Replaced, not mutated: an update gives new scales over the same memory. */
export interface ParameterState {
  readonly master: Tensor;
  readonly firstMoment: Tensor;
  readonly secondMoment: Tensor;
}

export interface AdamwStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** beta1^t and beta2^t at this step t >= 1, for the bias corrections. */
  readonly beta1Power: number;
  readonly beta2Power: number;
  /** Multiplies the gradient: the clip. */
  readonly gradScale: number;
}

/** The three states in float32, and random words for one of them, filled by 64. */
const SCRATCH = 4 * ADAMW_ELEMENTS * 4 + 256;

const scaled = (dtype: DType) => formatSpec(dtype).bits < 32 && dtype !== 'bfloat16';
const inverse = (t: Tensor) => t.scaleInv as number;

/** Streams of random words a parameter takes: one for each of its states. */
export const ADAMW_STREAMS = 3;

/**
 * One update of one parameter by its float32 gradient. The new states are rounded to nearest, or, with `random`, stochastically with the
 * words of its stream and the two after it.
 */
export function adamw(
  rt: Runtime,
  state: ParameterState,
  grad: Tensor,
  step: AdamwStep,
  random?: RandomPosition,
): ParameterState {
  const { master, firstMoment, secondMoment } = state;
  const total = sizeOf(master.shape);
  const units = Math.ceil(total / ADAMW_ELEMENTS);
  const rate = (step.learningRate * Math.sqrt(1 - step.beta2Power)) / (1 - step.beta1Power);
  // biome-ignore format: one line per group of the kernel's signature
  const common = [
    total, grad.ptr, step.gradScale,
    firstMoment.ptr, idOf(firstMoment.dtype), inverse(firstMoment),
    secondMoment.ptr, idOf(secondMoment.dtype), inverse(secondMoment),
    master.ptr, idOf(master.dtype), inverse(master),
    step.beta1, step.beta2, rate, step.eps, 1 - step.learningRate * step.weightDecay,
  ] as const;
  const tensors = [firstMoment, secondMoment, master];
  const scales = tensors.map(() => ({ scale: 1, scaleInv: 1 }));
  if (tensors.some((t) => scaled(t.dtype))) {
    const amax = rt.scoped(() => {
      const out = rt.arena.alloc(units * 16);
      rt.parallel('adamwAmax', units, SCRATCH, ...common, out);
      const words = new Uint32Array(rt.arena.buffer, out, units * 4);
      return tensors.map((_, i) => {
        let largest = 0;
        for (let j = i; j < words.length; j += 4) if (words[j] > largest) largest = words[j];
        return floatOfBits(largest);
      });
    });
    tensors.forEach((t, i) => {
      if (scaled(t.dtype)) scales[i] = fullRangeScale(amax[i], t.dtype);
    });
  }
  const [m, v, w] = scales;
  const { seed, stream, step: time } = random ?? { seed: 0, stream: 0, step: 0 };
  const mode = random ? STOCHASTIC : TIES_TO_EVEN;
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'adamwUpdate', units, SCRATCH, ...common, m.scale, v.scale, w.scale,
    mode, stream, time, seed >>> 0, Math.floor(seed / 0x100000000),
  );
  return {
    firstMoment: { ...firstMoment, scaleInv: m.scaleInv },
    secondMoment: { ...secondMoment, scaleInv: v.scaleInv },
    master: { ...master, scaleInv: w.scaleInv },
  };
}
