/** What the casts of a step pass on to the scales of later steps: histories for delayed scaling, and the largest values of channels. */
import type { Runtime } from '../engine/runtime.js';
import type { Recipe } from '../ops/recipe.js';
import { type AmaxHistory, adapt, advance, discard, newHistory, powerOfTwoScale } from '../ops/scale.js';
import { empty, floats, type Tensor } from '../ops/tensor.js';

/** Suffix of the key of a linear's dY. */
export const GRAD_OUTPUT_KEY = '.grad_output';

/** s of each channel and its inverse, both (F) float32. */
export interface ChannelScale {
  readonly scale: Tensor;
  readonly inverse: Tensor;
}

/** Everything delayed scaling remembers between steps. */
export class Scales {
  readonly histories = new Map<string, AmaxHistory>();
  /** Per `down` linear, the largest |silu(gate) * up| of each channel in the previous global batch, for 'smooth-channel'. */
  readonly channels = new Map<string, { previous: Float32Array; current: Float32Array }>();

  history(key: string): AmaxHistory {
    let history = this.histories.get(key);
    if (!history) {
      history = newHistory();
      this.histories.set(key, history);
    }
    return history;
  }

  observeChannels(key: string, amax: Float32Array): void {
    let seen = this.channels.get(key);
    if (!seen) {
      seen = { previous: new Float32Array(amax.length), current: new Float32Array(amax.length) };
      this.channels.set(key, seen);
    }
    for (let i = 0; i < amax.length; i++) if (seen.current[i] < amax[i]) seen.current[i] = amax[i];
  }

  /** Ends the global batch of a step: the values seen in it determine the scales of later steps. */
  advance({ scaling, gradOutputScale }: Recipe, step: number): void {
    for (const [key, history] of this.histories) {
      if (gradOutputScale === 'adaptive' && key.endsWith(GRAD_OUTPUT_KEY)) adapt(history);
      else if (scaling.mode === 'delayed') advance(history, scaling, step);
    }
    for (const channel of this.channels.values()) {
      channel.previous.set(channel.current);
      channel.current.fill(0);
    }
  }

  /** Discards what was seen in a global batch whose step is not taken. */
  discard(): void {
    for (const history of this.histories.values()) discard(history);
    for (const channel of this.channels.values()) channel.current.fill(0);
  }
}

/** Per channel, the smallest power of two not below its largest value in the previous global batch; 1 if nothing was seen. */
export function channelScale(rt: Runtime, largest: Float32Array): ChannelScale {
  const scale = empty(rt, [largest.length], 'float32');
  const inverse = empty(rt, [largest.length], 'float32');
  const [s, inv] = [floats(rt, scale), floats(rt, inverse)];
  for (let i = 0; i < largest.length; i++) {
    // 2^-floor(log2(1 / amax)) is amax rounded up to a power of two.
    inv[i] = powerOfTwoScale(largest[i], 1);
    s[i] = 1 / inv[i];
  }
  return { scale, inverse };
}
