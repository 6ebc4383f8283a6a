/**
 * Applies the recipe: how each tensor becomes a GEMM operand. Training scales as the recipe says, with second copies for the backward pass and
 * Smooth-SwiGLU. Inference scales each row by its own amax, so that a token's result does not depend on the tokens beside it.
 */

import type { Runtime } from '../engine/runtime.js';
import { blockScale } from '../formats/blocks.js';
import { type DType, formatSpec, type Rounding } from '../formats/index.js';
import { powerOfTwo } from '../formats/spec.js';
import { amaxOf, type Factors, type Health, type QuantizeOptions, quantize } from '../ops/quantize.js';
import { quantizeBlocks } from '../ops/quantize-blocks.js';
import { isFloat8, MX_BLOCK, type OperandRole, type Recipe, reducedFormat } from '../ops/recipe.js';
import { outlierBound, restrict } from '../ops/restrict.js';
import { adapted, observe, powerOfTwoScale } from '../ops/scale.js';
import { swigluForward } from '../ops/swiglu.js';
import { matrixShape, type Tensor } from '../ops/tensor.js';
import type { Monitor } from './monitor.js';
import { type ChannelScale, channelScale, GRAD_OUTPUT_KEY, type Scales } from './scales.js';

/** A tensor as read by the forward product and by the backward product: the same tensor if their formats and scales agree. */
export interface Operand {
  readonly forward: Tensor;
  readonly backward: Tensor;
}

/** dY as read by the two backward products: dX = dY W sums over its columns, dW = dY^T X over its rows. */
export interface GradOutput {
  readonly forInput: Tensor;
  readonly forWeight: Tensor;
}

/** The smoothed activation y / s, with s per row or per channel, and the factors that undo the division. */
export interface SmoothOperand extends Operand {
  /** s per token (rows), float32: multiplied into the product with W, and into the incoming gradient. */
  readonly rowScale?: Tensor;
  /** s per channel, folded into the columns of W. */
  readonly channel?: ChannelScale;
}

/** Turns activations into operands: all that a transformer block needs to know about a recipe. Does not modify the given tensors. */
export interface Casts {
  input(key: string, x: Tensor): Operand;
  swiglu(key: string, gateUp: Tensor): SmoothOperand;
}

/**
 * What the encoder saw of a tensor role (key 'layers.0.qkv.input') in all its casts of a step, of which there are several when gradients are
 * accumulated. `scale` is then that of the cast with the largest values.
 */
export interface RoleHealth extends Health {
  scale: number;
}

/** Combines casts of one role, all of the same size. */
function together(casts: readonly RoleHealth[]): RoleHealth {
  const mean = (share: 'saturated' | 'underflowed') => casts.reduce((sum, cast) => sum + cast[share], 0) / casts.length;
  const largest = casts.reduce((a, b) => (b.amax > a.amax ? b : a));
  // Math.max propagates NaN.
  const amax = Math.max(...casts.map((cast) => cast.amax));
  return { amax, saturated: mean('saturated'), underflowed: mean('underflowed'), scale: largest.scale };
}

/** Frees a tensor that is needed only as this operand, unless it is the operand itself. */
export function spend(rt: Runtime, x: Tensor, operand: Operand): void {
  if (operand.forward.ptr !== x.ptr && operand.backward.ptr !== x.ptr) rt.arena.free(x.ptr);
}

/** The casts of one training step. */
export class TrainingCasts implements Casts {
  private readonly recorded = new Map<string, RoleHealth[]>();
  private stream = 0;

  constructor(
    private readonly rt: Runtime,
    private readonly recipe: Recipe,
    private readonly scales: Scales,
    private readonly seed: number,
    private readonly step: number,
    private readonly monitor?: Monitor,
  ) {}

  get health(): ReadonlyMap<string, RoleHealth> {
    return new Map(Array.from(this.recorded, ([key, casts]) => [key, together(casts)]));
  }

  input(key: string, x: Tensor): Operand {
    const { forward, backward } = this.recipe;
    return this.operand(`${key}.input`, x, forward.input, backward.input, INPUT);
  }

  /** The operands of a weight, made from its master once per optimizer step. */
  weight(key: string, master: Tensor, columnFactor?: number): Operand {
    const { forward, backward } = this.recipe;
    return this.operand(`${key}.weight`, master, forward.weight, backward.weight, {
      ...WEIGHT,
      columnFactor,
    });
  }

  /** Casts dY, which the default recipe rounds stochastically; rowFactor is the s of Smooth-SwiGLU per token. */
  gradOutput(key: string, dy: Tensor, rowFactor?: number): GradOutput {
    const { gradOutput } = this.recipe.backward;
    const options = { ...GRAD_OUTPUT, rounding: this.recipe.gradOutputRounding, rowFactor };
    const [forInput, forWeight] = this.cast(`${key}${GRAD_OUTPUT_KEY}`, dy, gradOutput, gradOutput, options);
    return { forInput, forWeight };
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
    const restricted = recipe.outlierClip > 0 || INPUT.roles.some((role) => this.reduces(role));
    const scaleOf = restricted ? undefined : this.knownScale(`${key}.input`, first, second);
    const result = swigluForward(
      rt,
      gateUp,
      scaleOf
        ? {
            ...smoothing,
            first: { dtype: first, scale: scaleOf(first) },
            second: first === second ? undefined : { dtype: second, scale: scaleOf(second) },
          }
        : { ...smoothing, first: { dtype: 'float32', scale: 1 } },
    );
    if (channel && result.channelAmax) this.scales.observeChannels(key, result.channelAmax);
    const undo = { rowScale: result.rowScale, channel };
    this.monitor?.swiglu(key, gateUp, undo);
    if (!scaleOf) {
      const operand = this.operand(`${key}.input`, result.y, first, second, {
        ...INPUT,
        amax: result.health.amax,
      });
      spend(rt, result.y, operand);
      return { ...operand, ...undo };
    }
    this.monitor?.smoothed(`${key}.input`, gateUp, smoothing, result.y);
    if (isFloat8(first)) this.record(`${key}.input`, result.health, scaleOf(first));
    return { forward: result.y, backward: result.second ?? result.y, ...undo };
  }

  channelScale(key: string, width: number): ChannelScale {
    return channelScale(this.rt, this.scales.channels.get(key)?.previous ?? new Float32Array(width));
  }

  private operand(key: string, x: Tensor, first: DType, second: DType, options: CastOptions): Operand {
    const [forward, backward] = this.cast(key, x, first, second, options);
    return { forward, backward };
  }

  /** Casts x to two copies for products: the first is summed over the columns of x, the second over its rows. */
  private cast(key: string, x: Tensor, first: DType, second: DType, options: CastOptions): [Tensor, Tensor] {
    const copies = this.copies(key, x, first, second, options);
    this.monitor?.cast(key, x, copies[0], options);
    return copies;
  }

  private copies(key: string, x: Tensor, first: DType, second: DType, options: CastOptions): [Tensor, Tensor] {
    const [one, other] = options.roles;
    if (!isFloat8(first) && !isFloat8(second)) {
      const copy = this.wide(x, first, one, options);
      const same = first === second && this.reduces(one) === this.reduces(other);
      return [copy, same ? copy : this.wide(x, second, other, options)];
    }
    const { outlierClip } = this.recipe;
    if (outlierClip > 0 && options.roles !== WEIGHT.roles) {
      const { rowFactor, columnFactor } = options;
      const clip = outlierBound(this.rt, x, outlierClip, rowFactor);
      const clipped = restrict(this.rt, x, { dtype: 'float32', clip, rowFactor, columnFactor });
      const rest = { ...options, rowFactor: undefined, columnFactor: undefined, amax: undefined };
      const copies = this.scaled(key, clipped, first, second, rest);
      if (copies.every(({ ptr }) => ptr !== clipped.ptr)) this.rt.arena.free(clipped.ptr);
      return copies;
    }
    return this.scaled(key, x, first, second, options);
  }

  private scaled(key: string, x: Tensor, first: DType, second: DType, options: CastOptions): [Tensor, Tensor] {
    const { scaling } = this.recipe;
    return scaling.mode === 'delayed' || scaling.mode === 'current'
      ? this.byTensor(key, x, first, second, options)
      : this.byBlock(key, x, first, second, options);
  }

  /** The scale for each format if it is known before the values are; undefined if it comes from the values. */
  private knownScale(key: string, first: DType, second: DType): ((dtype: DType) => number) | undefined {
    const { scaling } = this.recipe;
    if (!isFloat8(first) && !isFloat8(second)) return () => 1;
    if (scaling.mode !== 'delayed') return undefined;
    const history = this.scales.history(key);
    if (!(history.previous > 0)) return undefined;
    return (dtype) => scaleFor(dtype, history.previous, scaling) * (isFloat8(dtype) ? adapted(history) : 1);
  }

  /** Casts with one scale for the tensor, making both copies in one pass if both are needed. */
  private byTensor(key: string, x: Tensor, first: DType, second: DType, options: CastOptions): [Tensor, Tensor] {
    const { rt } = this;
    const { rowFactor, columnFactor, rounding } = options;
    const factors = { rowFactor, columnFactor };
    let scaleOf = this.knownScale(key, first, second);
    if (!scaleOf) {
      const amax = options.amax ?? amaxOf(rt, x, rowFactor, columnFactor);
      scaleOf = (dtype) => scaleFor(dtype, amax, this.recipe.scaling);
    }
    const {
      codes,
      second: copy,
      health,
    } = quantize(rt, x, {
      ...factors,
      ...this.roundingOf(rounding),
      dtype: first,
      scale: scaleOf(first),
      second: first === second ? undefined : { dtype: second, scale: scaleOf(second) },
    });
    this.record(key, health, scaleOf(first));
    return [codes, copy ?? codes];
  }

  /** Casts with scales along the summed dimension of each product, so the second copy has its own scales unless blocks are square. */
  private byBlock(key: string, x: Tensor, first: DType, second: DType, options: CastOptions): [Tensor, Tensor] {
    const { scaling } = this.recipe;
    const { rowFactor, columnFactor, rounding } = options;
    const [across, down] = blocksOf(scaling, options.roles === WEIGHT.roles, matrixShape(x));
    const mode = scaling.mode === 'mx' ? scaling.scale : 'rceil';
    const copyOf = (dtype: DType, block: Block): Tensor => {
      if (!isFloat8(dtype)) return this.wide(x, dtype, options.roles[block === across ? 0 : 1], options);
      const how = { dtype, block, mode, rowFactor, columnFactor, ...this.roundingOf(rounding) } as const;
      const { codes, health } = quantizeBlocks(this.rt, x, { ...how, measured: block === across });
      if (block === across) this.record(key, health, 1 / blockScale(health.amax, formatSpec(dtype), mode));
      return codes;
    };
    const copy = copyOf(first, across);
    return [copy, first === second && across === down ? copy : copyOf(second, down)];
  }

  /** Operands wider than 8 bits have no scale: the tensor itself if it already has the format and there are no factors. */
  private wide(x: Tensor, dtype: DType, role: OperandRole, { rowFactor, columnFactor }: CastOptions): Tensor {
    const { reduce } = this.recipe;
    if (reduce && this.reduces(role)) {
      const [format, { rounding }] = [reducedFormat(reduce.format), reduce];
      return restrict(this.rt, x, { dtype: dtype as Recipe['storage'], format, rounding, rowFactor, columnFactor });
    }
    if (x.dtype === dtype && x.scaleInv === 1 && !rowFactor && !columnFactor) return x;
    return quantize(this.rt, x, { dtype, scale: 1, rowFactor, columnFactor }).codes;
  }

  private reduces(role: OperandRole): boolean {
    return this.recipe.reduce?.roles.includes(role) ?? false;
  }

  /** The rounding options of a cast; stochastic casts get their own random words. */
  private roundingOf(rounding: Rounding = 'tiesToEven'): Pick<QuantizeOptions, 'rounding' | 'random'> {
    if (rounding !== 'stochastic') return { rounding };
    return { rounding, random: { seed: this.seed, stream: this.stream++, step: this.step } };
  }

  private record(key: string, health: Health, scale: number): void {
    if (this.recipe.scaling.mode === 'delayed') observe(this.scales.history(key), health.amax, health.saturated);
    this.recorded.set(key, [...(this.recorded.get(key) ?? []), { ...health, scale }]);
  }
}

/** Options of a cast besides the formats. */
interface CastOptions extends Factors, Pick<QuantizeOptions, 'rounding'> {
  /** The operand role of each copy. */
  readonly roles: readonly [OperandRole, OperandRole];
  /** Largest magnitude of x, if known. */
  readonly amax?: number;
}

const INPUT: CastOptions = { roles: ['forward.input', 'backward.input'] };
const WEIGHT: CastOptions = { roles: ['forward.weight', 'backward.weight'] };
const GRAD_OUTPUT: CastOptions = { roles: ['backward.gradOutput', 'backward.gradOutput'] };

/** The scale of a whole tensor; 1 for formats that need none. */
function scaleFor(dtype: DType, amax: number, scaling: Recipe['scaling']): number {
  if (!isFloat8(dtype)) return 1;
  const scale = powerOfTwoScale(amax, formatSpec(dtype).max);
  return scaling.mode === 'delayed' ? scale * powerOfTwo(-scaling.margin) : scale;
}

type Block = readonly [rows: number, columns: number];
/** A block of a weight. Blocks of activations and gradients are 128 long and one wide. */
const SQUARE: Block = [128, 128];

/** Block shapes for a product that sums over a tensor's columns, and for one that sums over its rows. */
function blocksOf(
  { mode }: Recipe['scaling'],
  isWeight: boolean,
  [rows, columns]: Block,
): [across: Block, down: Block] {
  if (mode === 'block' && isWeight) return [SQUARE, SQUARE];
  if (mode === 'row')
    return [
      [1, columns],
      [rows, 1],
    ];
  const along = mode === 'mx' ? MX_BLOCK : SQUARE[0];
  return [
    [1, along],
    [along, 1],
  ];
}

/** The casts of inference: every row has its own power-of-two scale, from its amax. */
export class InferenceCasts implements Casts {
  constructor(
    private readonly rt: Runtime,
    /** Format of the linears' inputs. */
    readonly format: DType,
  ) {}

  input(_key: string, x: Tensor): Operand {
    if (!isFloat8(this.format)) return { forward: x, backward: x };
    const { codes } = quantize(this.rt, x, { dtype: this.format, scale: 'row' });
    return { forward: codes, backward: codes };
  }

  /** Smoothing is unnecessary: a row's own power-of-two scale already absorbs any power of two that the row would be divided by. */
  swiglu(key: string, gateUp: Tensor): SmoothOperand {
    const dtype = isFloat8(this.format) ? 'float32' : this.format;
    const { y } = swigluForward(this.rt, gateUp, { first: { dtype, scale: 1 } });
    const operand = this.input(key, y);
    spend(this.rt, y, operand);
    return operand;
  }
}
