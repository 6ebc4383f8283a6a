/** The state of a run: stored optimizer state per parameter, delayed scales, and the step. Everything else follows from the settings. */
import type { Runtime } from '../engine/runtime.js';
import { type DType, formatSpec } from '../formats/index.js';
import { type Casts, InferenceCasts, type Operand, TrainingCasts } from '../model/casts.js';
import { initialValues } from '../model/init.js';
import { type Parameter, parametersOf } from '../model/params.js';
import { type ChannelScale, channelScale, Scales } from '../model/scales.js';
import type { Model } from '../model/transformer.js';
import { momentScalesShape, type ParameterState } from '../ops/adamw.js';
import { amaxOf, quantize } from '../ops/quantize.js';
import { isFloat8, type Recipe } from '../ops/recipe.js';
import { digestOf } from '../ops/reduce.js';
import { type RopeTable, ropeTable } from '../ops/rope.js';
import { fullRangeScale } from '../ops/scale.js';
import { bytesOf, empty, floats, freeTensor, sizeOf, type Tensor, zeros } from '../ops/tensor.js';
import { align } from './alignment.js';
import type { TrainSettings } from './options.js';

export interface TrainingState {
  /** Optimizer steps done or skipped. */
  step: number;
  /** Global batches that rewinds have skipped: step n takes batch number n + offset. */
  offset: number;
  /** Anomalies since the last good step or new rewind point. */
  failures: number;
  readonly table: readonly Parameter[];
  readonly parameters: Map<string, ParameterState>;
  readonly scales: Scales;
  readonly rope: RopeTable;
}

/** Stored tensors of a parameter, in the order of digests and files. */
export const STATE_KEYS = ['master', 'firstMoment', 'secondMoment', 'firstScales', 'secondScales'] as const;

interface Layout {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Formats and shapes of a parameter's stored state: the recipe's for matrices, float32 for norm gains. */
export function stateLayout(
  { role, shape }: Pick<Parameter, 'role' | 'shape'>,
  recipe: Recipe,
): Partial<Record<keyof ParameterState, Layout>> {
  const of = (dtype: DType): Layout => ({ dtype: role === 'norm' ? 'float32' : dtype, shape });
  const [firstMoment, secondMoment] = [of(recipe.firstMoment), of(recipe.secondMoment)];
  const beside = ({ dtype }: Layout): Layout | undefined => {
    const scales = momentScalesShape(recipe.momentScaling, dtype, sizeOf(shape));
    return scales && { dtype: 'float32', shape: scales };
  };
  const [firstScales, secondScales] = [beside(firstMoment), beside(secondMoment)];
  return {
    master: of(recipe.masterWeight),
    firstMoment,
    secondMoment,
    ...(firstScales && { firstScales }),
    ...(secondScales && { secondScales }),
  };
}

/** Bytes of a parameter's stored state. */
export function storedBytes(parameter: Pick<Parameter, 'role' | 'shape'>, recipe: Recipe): number {
  const layout = Object.values(stateLayout(parameter, recipe));
  return layout.reduce((sum, { dtype, shape }) => sum + sizeOf(shape) * formatSpec(dtype).bytes, 0);
}

/** The state before the first step, with initial values drawn from the seed. */
export function initialState(rt: Runtime, settings: TrainSettings): TrainingState {
  const { config, recipe, seed } = settings;
  return rt.wholeOrNothing(() => {
    const parameters = new Map<string, ParameterState>();
    parametersOf(config).forEach((parameter, index) => {
      const values = initialValues(parameter, index, seed);
      if (settings.alignment) align(parameter, values, settings.alignment);
      const layout = Object.entries(stateLayout(parameter, recipe)) as [keyof ParameterState, Layout][];
      const tensors = layout.map(([key, { dtype, shape }]) => {
        if (key === 'master') return [key, stored(rt, values, shape, dtype)];
        return [key, key.endsWith('Scales') ? ones(rt, shape) : zeros(rt, shape, dtype)];
      });
      parameters.set(parameter.name, Object.fromEntries(tensors) as ParameterState);
    });
    return stateOf(rt, settings, parameters);
  });
}

/** Scales of moments that are all zero. */
function ones(rt: Runtime, shape: readonly number[]): Tensor {
  const t = empty(rt, shape, 'float32');
  floats(rt, t).fill(1);
  return t;
}

/** The state before the first step, with these stored parameters. */
export function stateOf(
  rt: Runtime,
  { config }: TrainSettings,
  parameters: Map<string, ParameterState>,
): TrainingState {
  const table = parametersOf(config);
  const rope = ropeTable(rt, config.maxPositions, config.headDim, config.ropeTheta);
  return { step: 0, offset: 0, failures: 0, table, parameters, scales: new Scales(), rope };
}

/** Stores values in a format, with a scale of MAX / amax if the format has a narrower range than BF16. */
function stored(rt: Runtime, values: Float32Array, shape: readonly number[], dtype: DType): Tensor {
  const source = empty(rt, shape, 'float32');
  floats(rt, source).set(values);
  if (dtype === 'float32') return source;
  const { scale, scaleInv } =
    dtype === 'bfloat16' ? { scale: 1, scaleInv: 1 } : fullRangeScale(amaxOf(rt, source), dtype);
  const { codes } = quantize(rt, source, { dtype, scale, saturate: true });
  rt.arena.free(source.ptr);
  return { ...codes, scaleInv };
}

/** Builds a model with the operands of one optimizer step from the masters; `cast` turns the matrix of a linear into its operand. */
function modelWith(
  rt: Runtime,
  settings: TrainSettings,
  state: TrainingState,
  cast: (parameter: Parameter, master: Tensor) => Operand,
): Model {
  const { config, recipe } = settings;
  const weights = new Map<string, Operand>();
  for (const parameter of state.table) {
    const { master } = state.parameters.get(parameter.name)!;
    if (parameter.role === 'norm') weights.set(parameter.name, { forward: master, backward: master });
    else if (parameter.role === 'linear') weights.set(parameter.name, cast(parameter, master));
    else weights.set(parameter.name, same(inStorage(rt, master, recipe.storage)));
  }
  return { rt, config, weights, storage: recipe.storage, rope: state.rope };
}

const same = (t: Tensor): Operand => ({ forward: t, backward: t });

function inStorage(rt: Runtime, master: Tensor, storage: DType): Tensor {
  // Masters in float16 have a scale.
  return master.dtype === storage && master.scaleInv === 1
    ? master
    : quantize(rt, master, { dtype: storage, scale: 1 }).codes;
}

/** The model as one training step sees it. */
export function trainingModel(rt: Runtime, settings: TrainSettings, state: TrainingState, casts: TrainingCasts): Model {
  const smooth = settings.recipe.swiglu === 'smooth-channel';
  return modelWith(rt, settings, state, ({ name, shape }, master) => {
    const channel: ChannelScale | undefined =
      smooth && name.endsWith('.down') ? casts.channelScale(name, shape[1]) : undefined;
    return casts.weight(name, master, channel?.scale.ptr);
  });
}

/**
 * The format of linears in a saved model: a recipe's e4m3 with infinities becomes e4m3fn, the format of files, which has all its finite numbers
 * and more.
 */
const inferenceFormat = (dtype: DType): DType => (dtype === 'float8_e4m3' ? 'float8_e4m3fn' : dtype);

/**
 * The model as it is saved and used: linears in the forward format, scaled by their own amax. Smooth-SwiGLU per channel is folded into them, 1/s
 * into the rows of up and s into the columns of down, so that it costs nothing ("Scaling FP8 training", section 4.4).
 */
export function inferenceModel(rt: Runtime, settings: TrainSettings, state: TrainingState): Model {
  const { recipe } = settings;
  const weight = inferenceFormat(recipe.forward.weight);
  return modelWith(rt, settings, state, ({ name }, master) => {
    const factors = recipe.swiglu === 'smooth-channel' ? foldedFactors(rt, state, name) : undefined;
    if (isFloat8(weight)) return same(quantize(rt, master, { dtype: weight, ...factors }).codes);
    return same(
      factors ? quantize(rt, master, { dtype: weight, scale: 1, ...factors }).codes : inStorage(rt, master, weight),
    );
  });
}

/** The factors by which Smooth-SwiGLU per channel is folded into a down or gate_up weight; undefined for other weights. */
function foldedFactors(
  rt: Runtime,
  state: TrainingState,
  name: string,
): { rowFactor?: number; columnFactor?: number } | undefined {
  const [layer, part] = [name.slice(0, name.lastIndexOf('.')), name.slice(name.lastIndexOf('.') + 1)];
  const seen = state.scales.channels.get(`${layer}.down`);
  if (!seen || (part !== 'down' && part !== 'gate_up')) return undefined;
  const { scale, inverse } = channelScale(rt, seen.previous);
  if (part === 'down') return { columnFactor: scale.ptr };
  const factors = empty(rt, [2 * seen.previous.length], 'float32');
  floats(rt, factors).fill(1).set(floats(rt, inverse), seen.previous.length);
  return { rowFactor: factors.ptr };
}

/** Calls `use` with the model as the next training step would see it, with the recipe's own formats and scales. The state is unchanged afterwards. */
export function withTrainingPass<T>(
  rt: Runtime,
  settings: TrainSettings,
  state: TrainingState,
  use: (model: Model, casts: Casts) => T,
): T {
  return rt.scoped(() => {
    const casts = new TrainingCasts(rt, settings.recipe, state.scales, settings.seed, state.step + 1);
    try {
      return use(trainingModel(rt, settings, state, casts), casts);
    } finally {
      state.scales.discard();
    }
  });
}

export const inferenceCasts = (rt: Runtime, recipe: Recipe): InferenceCasts =>
  new InferenceCasts(rt, inferenceFormat(recipe.forward.input));

const tensorsOf = ({ parameters }: TrainingState, name: string): Tensor[] => {
  const parameter = parameters.get(name)!;
  return STATE_KEYS.flatMap((key) => parameter[key] ?? []);
};

const storedTensors = (state: TrainingState): Tensor[] => state.table.flatMap(({ name }) => tensorsOf(state, name));

export function freeState(rt: Runtime, state: TrainingState): void {
  for (const t of [...storedTensors(state), state.rope.cosines, state.rope.sines]) freeTensor(rt, t);
}

/** Delayed scales sorted by name, as they enter the digest and the checkpoint. */
export function scaleEntries(scales: Scales): {
  histories: [string, number[]][];
  channels: [string, number[]][];
  levels: [string, number[]][];
} {
  const byName = <T>(map: Map<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    histories: byName(scales.histories).map(([key, { previous, recent }]) => [key, [previous, ...recent]]),
    channels: byName(scales.channels).map(([key, { previous }]) => [key, Array.from(previous)]),
    levels: byName(scales.histories).flatMap(([key, { level }]) => (level === 0 ? [] : [[key, [level]]])),
  };
}

export interface StateDigests {
  /** 16 hex digits over everything that decides the rest of the run. */
  readonly state: string;
  /** A digest of the stored state of each parameter, in table order. */
  readonly parameters: readonly string[];
}

export function stateDigests(rt: Runtime, state: TrainingState): StateDigests {
  const parameters = state.table.map(({ name }) => digestOf(rt, tensorsOf(state, name), []));
  const { histories, channels, levels } = scaleEntries(state.scales);
  const numbers = [state.step, state.offset, state.failures];
  const amaxes = [...histories, ...channels, ...levels].flatMap(([, each]) => each);
  return { state: digestOf(rt, [], [...parameters.flatMap(wordsOf), ...numbers, ...amaxes]), parameters };
}

/** A digest as two 32-bit integers. */
const wordsOf = (digest: string) => [digest.slice(0, 8), digest.slice(8)].map((word) => Number.parseInt(word, 16));

export const stateDigest = (rt: Runtime, state: TrainingState): string => stateDigests(rt, state).state;

/** Name of the first parameter whose master weight or moments contain an infinity or NaN. */
export function nonFiniteParameter(rt: Runtime, state: TrainingState): string | undefined {
  return state.table.find(({ name }) => {
    return !tensorsOf(state, name).every((t) => Number.isFinite(amaxOf(rt, t)));
  })?.name;
}

/** Bytes that a recipe stores between steps per element of a matrix of `elements`: the figure that a large model approaches. */
export function matrixStateBytes(recipe: Recipe, elements: number): number {
  const matrix = { role: 'linear', shape: [elements] } as const;
  return storedBytes(matrix, recipe) / elements;
}

/** Bytes of master weights and both moments, with their scales, per parameter. */
export function stateBytesPerParameter(state: TrainingState): number {
  const tensors = storedTensors(state);
  const count = state.table.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const scales = tensors.filter((t) => t.dtype !== 'float32').length * 4;
  return (tensors.reduce((sum, t) => sum + bytesOf(t), 0) + scales) / count;
}
