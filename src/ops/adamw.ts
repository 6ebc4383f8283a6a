/** AdamW on stored state of any format. Kernels: assembly/adamw.ts. */

import type { Runtime } from '../engine/runtime.js';
import { ADAMW_AMAX_WORDS, ADAMW_ELEMENTS, EXPANDED_WORDS } from '../engine/units.js';
import { type DType, formatSpec, philoxKey, STOCHASTIC, TIES_TO_EVEN } from '../formats/index.js';
import type { RandomPosition } from './quantize.js';
import { fullRangeScale, largestAmax, powerOfTwoScale } from './scale.js';
import { idOf, sizeOf, type Tensor } from './tensor.js';

/** One parameter's stored state. An update does not mutate it, but returns new scales over the same memory. */
export interface ParameterState {
  readonly master: Tensor;
  readonly firstMoment: Tensor;
  readonly secondMoment: Tensor;
  /** Float32 scales of groups of elements, where the moments have them: (groups), or (groups, 3) for expanded ones. */
  readonly firstScales?: Tensor;
  readonly secondScales?: Tensor;
}

/** How moments narrower than BF16 are scaled: by MAX / amax or a power of two for the tensor, or per group (assembly/moments.ts). */
export type MomentScaling = 'tensor' | 'power-of-two' | 'block-256' | 'group-128-expanded';

/** Elements per group, and float32 numbers stored for each group. */
const GROUPS: Readonly<Record<MomentScaling, { group: number; words: number }>> = {
  tensor: { group: 0, words: 0 },
  'power-of-two': { group: 0, words: 0 },
  'block-256': { group: 256, words: 1 },
  'group-128-expanded': { group: 128, words: EXPANDED_WORDS },
};

/** The shape of the numbers stored for a moment's groups; undefined if it has none. */
export function momentScalesShape(scaling: MomentScaling, dtype: DType, count: number): readonly number[] | undefined {
  const { group, words } = GROUPS[scaling];
  return group > 0 && scaled(dtype) ? [Math.ceil(count / group), words] : undefined;
}

/** Random words for rounding new states, and which states use them; by default both. */
export interface StateRandom extends RandomPosition {
  readonly moments?: boolean;
  readonly master?: boolean;
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
  /** Factor on the gradient, for clipping. */
  readonly gradScale: number;
}

/** Bytes of thread scratch: the three states in float32, and random words for one of them, filled 64 at a time. */
const SCRATCH = 4 * ADAMW_ELEMENTS * 4 + 256;

/** Whether a stored format needs a scale. */
export const scaled = (dtype: DType): boolean => formatSpec(dtype).bits < 32 && dtype !== 'bfloat16';
const inverse = (t: Tensor) => t.scaleInv as number;

/** A power of two that keeps amax within the format; for zeros, the previous scale (Intel's FusedAdamW). */
function powerScale(amax: number, t: Tensor): { scale: number; scaleInv: number } {
  const scale = amax === 0 ? 1 / inverse(t) : powerOfTwoScale(amax, formatSpec(t.dtype).max);
  return { scale, scaleInv: 1 / scale };
}

/** Streams of random words per parameter: one for each of its states. */
export const ADAMW_STREAMS = 3;

/**
 * Updates one parameter with its float32 gradient. New states are rounded to nearest, except those that `random` selects, which are rounded
 * stochastically with the words of its stream and the next two.
 */
export function adamw(
  rt: Runtime,
  state: ParameterState,
  grad: Tensor,
  step: AdamwStep,
  random?: StateRandom,
  scaling: MomentScaling = 'tensor',
): ParameterState {
  const { master, firstMoment, secondMoment, firstScales, secondScales } = state;
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
    firstScales?.ptr ?? 0, secondScales?.ptr ?? 0, GROUPS[scaling].group, GROUPS[scaling].words > 1 ? 1 : 0,
  ] as const;
  const tensors = [firstMoment, secondMoment, master];
  const scales = tensors.map(() => ({ scale: 1, scaleInv: 1 }));
  const beside = [firstScales, secondScales, undefined];
  const wholes = tensors.map(({ dtype }, i) => scaled(dtype) && !beside[i]);
  if (wholes.some(Boolean)) {
    const amax = rt.scoped(() => {
      const out = rt.arena.alloc(units * ADAMW_AMAX_WORDS * 4);
      rt.parallel('adamwAmax', units, SCRATCH, ...common, out);
      const words = new Uint32Array(rt.arena.buffer, out, units * ADAMW_AMAX_WORDS);
      return tensors.map((_, i) => largestAmax(words, i, ADAMW_AMAX_WORDS));
    });
    tensors.forEach((t, i) => {
      if (!wholes[i]) return;
      const powers = scaling === 'power-of-two' && t !== master;
      scales[i] = powers ? powerScale(amax[i], t) : fullRangeScale(amax[i], t.dtype);
    });
  }
  const [m, v, w] = scales;
  const { seed, stream, step: time } = random ?? { seed: 0, stream: 0, step: 0 };
  const mode = (stochastic = true) => (random && stochastic ? STOCHASTIC : TIES_TO_EVEN);
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'adamwUpdate', units, SCRATCH, ...common, m.scale, v.scale, w.scale,
    mode(random?.moments), mode(random?.master), stream, time, ...philoxKey(seed),
  );
  return {
    ...state,
    firstMoment: { ...firstMoment, scaleInv: m.scaleInv },
    secondMoment: { ...secondMoment, scaleInv: v.scaleInv },
    master: { ...master, scaleInv: w.scaleInv },
  };
}
