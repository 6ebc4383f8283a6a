/** Token sequences in a seeded order. Each epoch visits every window once; the offset at which windows begin changes from epoch to epoch. */
import { philoxWord } from '../formats/index.js';
import { DATA_STREAM } from '../model/init.js';

export interface Split {
  readonly train: Uint8Array;
  readonly validation: Uint8Array;
}

/** Holds out the last `valFraction` of the tokens. Both parts must hold a window of blockSize tokens and the token after it. */
export function splitTokens(tokens: Uint8Array, valFraction: number, blockSize: number): Split {
  const cut = Math.floor(tokens.length * (1 - valFraction));
  const split = { train: tokens.subarray(0, cut), validation: tokens.subarray(cut) };
  // Training needs one more window, because an epoch may shift its windows by up to one.
  const needed = { train: 2 * blockSize + 1, validation: blockSize + 1 };
  for (const part of ['train', 'validation'] as const) {
    if (split[part].length < needed[part]) {
      throw new RangeError(
        `data: expected at least ${needed[part]} tokens in the ${part} part for block size ${blockSize}, got ${split[part].length} of ${tokens.length}`,
      );
    }
  }
  return split;
}

export class DataOrder {
  /** Number of windows in an epoch, the same for every shift. */
  readonly windows: number;
  private epoch = -1;
  private shift = 0;
  private order = new Uint32Array(0);

  constructor(
    private readonly tokens: Uint8Array,
    private readonly blockSize: number,
    private readonly seed: number,
  ) {
    this.windows = Math.floor((tokens.length - blockSize) / blockSize);
  }

  /** Inputs and targets, (count, blockSize) each, of the sequences numbered first, first + 1, ... since the run began. */
  batch(first: number, count: number): { inputs: Int32Array; targets: Int32Array } {
    const { blockSize, tokens } = this;
    const inputs = new Int32Array(count * blockSize);
    const targets = new Int32Array(count * blockSize);
    for (let i = 0; i < count; i++) {
      const at = this.startOf(first + i);
      inputs.set(tokens.subarray(at, at + blockSize), i * blockSize);
      targets.set(tokens.subarray(at + 1, at + 1 + blockSize), i * blockSize);
    }
    return { inputs, targets };
  }

  private startOf(sequence: number): number {
    const epoch = Math.floor(sequence / this.windows);
    if (epoch !== this.epoch) this.shuffle(epoch);
    return this.shift + this.order[sequence % this.windows] * this.blockSize;
  }

  private shuffle(epoch: number): void {
    this.epoch = epoch;
    this.shift = philoxWord(0, DATA_STREAM, epoch, this.seed) % this.blockSize;
    this.order = Uint32Array.from({ length: this.windows }, (_, i) => i);
    for (let i = this.windows - 1; i > 0; i--) {
      const j = philoxWord(i, DATA_STREAM, epoch, this.seed) % (i + 1);
      [this.order[i], this.order[j]] = [this.order[j], this.order[i]];
    }
  }
}
