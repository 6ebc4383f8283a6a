/**
 * Initialises feed-forward channels as long training may leave them. "Scaling FP8 training to trillion-token LLMs" shows that under weight
 * decay the two rows of a SwiGLU channel tend to become equal or opposite, which makes its output quadratic in the input. A run that starts
 * this way has from the beginning the outliers that otherwise appear late in a long run.
 *
 * In every layer, the channels i < `channels` are changed to
 *   gate row   w1 <- gain w1         (w1 as it was drawn)
 *   up row     w2 <- sign gain w1    sign +1 for even i, -1 for odd i
 *   down column   <- column / gain^2
 * so that its output is gain^2 times that of a channel with equal rows, while its contribution to the residual stream stays as large as before.
 */
import type { LlamaConfig } from '../model/config.js';
import type { Parameter } from '../model/params.js';

/** Which channels are aligned, and how strongly. */
export interface Alignment {
  /** Number of aligned channels in each layer, starting from channel 0. */
  readonly channels: number;
  /** Length of their rows, relative to the length as drawn. */
  readonly gain: number;
}

/**
 * Checks the alignment against the model's sizes.
 *
 * @throws TypeError for the wrong kind or an unknown field, RangeError for the wrong value.
 */
export function alignmentOf(given: Alignment, { intermediateSize }: LlamaConfig): Alignment {
  if (typeof given !== 'object' || given === null) throw new TypeError(`alignment: expected a record, got ${given}`);
  const unknown = Object.keys(given).find((name) => name !== 'channels' && name !== 'gain');
  if (unknown !== undefined) throw new TypeError(`alignment.${unknown}: expected a field of channels, gain`);
  const { channels, gain } = given;
  if (!(Number.isInteger(channels) && channels >= 1 && channels <= intermediateSize)) {
    throw new RangeError(`alignment.channels: expected an integer from 1 to ${intermediateSize}, got ${channels}`);
  }
  if (!(typeof gain === 'number' && gain > 0 && gain < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`alignment.gain: expected a number above 0, got ${gain}`);
  }
  return Object.freeze({ channels, gain });
}

/** Applies the alignment in place to the initial values of a parameter, if it is one of the two feed-forward matrices. */
export function align({ name, shape }: Parameter, values: Float32Array, { channels, gain }: Alignment): void {
  const [rows, columns] = shape;
  if (name.endsWith('.gate_up')) {
    const up = rows / 2;
    for (let i = 0; i < channels; i++) {
      const sign = i % 2 === 0 ? 1 : -1;
      for (let k = i * columns; k < (i + 1) * columns; k++) {
        values[k] *= gain;
        values[k + up * columns] = sign * values[k];
      }
    }
  }
  if (name.endsWith('.down')) {
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < channels; i++) values[row * columns + i] /= gain * gain;
    }
  }
}
