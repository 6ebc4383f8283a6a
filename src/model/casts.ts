/**
 * The recipe at work: how each tensor becomes a GEMM operand. Training uses delayed scales, second copies for the backward pass and
 * Smooth-SwiGLU; inference scales each row by its own amax, so that a token's result does not depend on the tokens beside it.
 */

import type { Runtime } from '../engine/runtime.js';
import { type DType, formatSpec } from '../formats/index.js';
import { amaxOf, type Health, type QuantizeOptions, quantize } from '../ops/quantize.js';
import { isFloat8, type Recipe, usesFloat8 } from '../ops/recipe.js';
import { type AmaxHistory, advance, discard, newHistory, observe, powerOfTwoScale } from '../ops/scale.js';
import { swigluForward } from '../ops/swiglu.js';
import { empty, floats, type Tensor } from '../ops/tensor.js';

/** A tensor as the forward product reads it, and as the two backward products do. The same tensor where the formats agree. */
export interface Operand {
  readonly forward: Tensor;
  readonly backward: Tensor;
}

/** The smoothed activation: y / s per row or per channel, and what undoes it. */
export interface SmoothOperand extends Operand {
  /** s per token (rows) float32: multiplied into the product with W, and into the gradient that comes back. */
  readonly rowScale?: Tensor;
  /** s per channel and its inverse (F) float32: s is folded into the columns of W. */
  readonly channel?: ChannelScale;
}

export interface ChannelScale {
  readonly scale: Tensor;
  readonly inverse: Tensor;
}

/** Reads activations into operands: what a transformer block needs to know of a recipe. The tensors given stay as they are. */
export interface Casts {
  input(key: string, x: Tensor): Operand;
  swiglu(key: string, gateUp: Tensor): SmoothOperand;
}

/** Scale of a tensor role (key 'layers.0.qkv.input') and what the encoder saw at its last cast. */
export interface RoleHealth extends Health {
  scale: number;
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

  /** Ends a global batch: what was seen in it sets the scales of the next. */
  advance(): void {
    for (const history of this.histories.values()) advance(history);
    for (const channel of this.channels.values()) {
      channel.previous.set(channel.current);
      channel.current.fill(0);
    }
  }

  /** Forgets what was seen in a global batch whose step is not taken. */
  discard(): void {
    for (const history of this.histories.values()) discard(history);
    for (const channel of this.channels.values()) channel.current.fill(0);
  }
}

/** Frees a tensor whose operand is all that is still needed, unless it is the operand. */
export function spend(rt: Runtime, x: Tensor, operand: Operand): void {
  if (operand.forward.ptr !== x.ptr && operand.backward.ptr !== x.ptr) rt.arena.free(x.ptr);
}

export class TrainingCasts implements Casts {
  readonly health = new Map<string, RoleHealth>();
  private stream = 0;

  constructor(
    private readonly rt: Runtime,
    private readonly recipe: Recipe,
    private readonly scales: Scales,
    private readonly seed: number,
    private readonly step: number,
  ) {}

  input(key: string, x: Tensor): Operand {
    const { forward, backward } = this.recipe;
    return this.cast(`${key}.input`, x, forward.input, backward.input, {});
  }

  /** A weight's operands, made once per optimizer step from its master. */
  weight(key: string, master: Tensor, columnFactor?: number): Operand {
    const { forward, backward } = this.recipe;
    return this.cast(`${key}.weight`, master, forward.weight, backward.weight, { columnFactor });
  }

  /** dY, rounded stochastically by the default recipe; rowFactor is the s of Smooth-SwiGLU per token. */
  gradOutput(key: string, dy: Tensor, rowFactor?: number): Tensor {
    const { gradOutput } = this.recipe.backward;
    const rounding = this.recipe.gradOutputRounding;
    const random = { seed: this.seed, stream: this.stream++, step: this.step };
    return this.cast(`${key}.grad_output`, dy, gradOutput, gradOutput, { rounding, random, rowFactor }).backward;
  }

  swiglu(key: string, gateUp: Tensor): SmoothOperand {
    const { rt, recipe } = this;
    const perToken = recipe.swiglu === 'smooth-token';
    const channel = recipe.swiglu === 'smooth-channel' ? this.channelScale(key, gateUp.shape[1] / 2) : undefined;
    const smoothing = {
      perToken,
      channelInv: channel?.inverse,
      channelAmax: channel !== undefined,
    };
    const [first, second] = [recipe.forward.input, recipe.backward.input];
    const history = usesFloat8(recipe) ? this.scales.history(`${key}.input`) : undefined;
    // Without a history the scale must come from the values, so they are computed before they are encoded.
    const direct = !history || history.previous > 0;
    const scaleOf = (dtype: DType) => (history ? powerOfTwoScale(history.previous, formatSpec(dtype).max) : 1);
    const result = swigluForward(
      rt,
      gateUp,
      direct
        ? {
            ...smoothing,
            first: { dtype: first, scale: scaleOf(first) },
            second: first === second ? undefined : { dtype: second, scale: scaleOf(second) },
          }
        : { ...smoothing, first: { dtype: 'float32', scale: 1 } },
    );
    if (channel && result.channelAmax) this.observeChannels(key, result.channelAmax);
    const undo = { rowScale: result.rowScale, channel };
    if (!direct) {
      const operand = this.cast(`${key}.input`, result.y, first, second, {});
      spend(rt, result.y, operand);
      return { ...operand, ...undo };
    }
    if (history) this.record(`${key}.input`, history, result.health, scaleOf(first));
    return { forward: result.y, backward: result.second ?? result.y, ...undo };
  }

  /** Powers of two not below the channels' largest values in the previous global batch; 1 where nothing was seen. */
  channelScale(key: string, width: number): ChannelScale {
    const seen = this.scales.channels.get(key);
    const scale = empty(this.rt, [width], 'float32');
    const inverse = empty(this.rt, [width], 'float32');
    const [s, inv] = [floats(this.rt, scale), floats(this.rt, inverse)];
    for (let i = 0; i < width; i++) {
      // 2^-floor(log2(1 / amax)) is amax rounded up to a power of two.
      inv[i] = seen ? powerOfTwoScale(seen.previous[i], 1) : 1;
      s[i] = 1 / inv[i];
    }
    return { scale, inverse };
  }

  private observeChannels(key: string, amax: Float32Array): void {
    let seen = this.scales.channels.get(key);
    if (!seen) {
      seen = { previous: new Float32Array(amax.length), current: new Float32Array(amax.length) };
      this.scales.channels.set(key, seen);
    }
    for (let i = 0; i < amax.length; i++) if (seen.current[i] < amax[i]) seen.current[i] = amax[i];
  }

  private cast(key: string, x: Tensor, first: DType, second: DType, options: Partial<QuantizeOptions>): Operand {
    const { rt } = this;
    if (!isFloat8(first)) return this.plainCast(x, first, options);
    const history = this.scales.history(key);
    const amax = history.previous > 0 ? history.previous : amaxOf(rt, x, options.rowFactor);
    const scale = powerOfTwoScale(amax, formatSpec(first).max);
    const {
      codes,
      second: copy,
      health,
    } = quantize(rt, x, {
      ...options,
      dtype: first,
      scale,
      second: first === second ? undefined : { dtype: second, scale: powerOfTwoScale(amax, formatSpec(second).max) },
    });
    this.record(key, history, health, scale);
    return { forward: codes, backward: copy ?? codes };
  }

  /** BF16 and float32 operands carry no scale: the tensor itself where it has the format and nothing to multiply. */
  private plainCast(x: Tensor, dtype: DType, { rowFactor, columnFactor }: Partial<QuantizeOptions>): Operand {
    if (x.dtype === dtype && x.scaleInv === 1 && !rowFactor && !columnFactor) return { forward: x, backward: x };
    const { codes } = quantize(this.rt, x, { dtype, scale: 1, rowFactor, columnFactor });
    return { forward: codes, backward: codes };
  }

  private record(key: string, history: AmaxHistory, health: Health, scale: number): void {
    observe(history, health.amax);
    this.health.set(key, { ...health, scale });
  }
}

export class InferenceCasts implements Casts {
  constructor(
    private readonly rt: Runtime,
    private readonly format: DType,
  ) {}

  input(_key: string, x: Tensor): Operand {
    if (!isFloat8(this.format)) return { forward: x, backward: x };
    const { codes } = quantize(this.rt, x, { dtype: this.format, scale: 'row' });
    return { forward: codes, backward: codes };
  }

  /** No smoothing: a row's own power-of-two scale already takes up any power of two the row was divided by. */
  swiglu(key: string, gateUp: Tensor): SmoothOperand {
    const dtype = isFloat8(this.format) ? 'float32' : this.format;
    const { y } = swigluForward(this.rt, gateUp, { first: { dtype, scale: 1 } });
    const operand = this.input(key, y);
    spend(this.rt, y, operand);
    return operand;
  }
}
