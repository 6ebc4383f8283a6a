/** Finds where two runs diverge or two checkpoints differ: the first step, the first tensor, and by how much. */
import { sameBytes } from '../formats/check.js';
import { FileError } from '../interop/errors.js';
import { sizeOf } from '../ops/tensor.js';
import { type StateFile, settingsThatDiffer } from './checkpoint.js';
import type { MetricsLine, StepLine } from './events.js';
import { type ScaledTensor, valuesOf } from './file-tensors.js';
import { dtypeOfFile } from './model-files.js';
import type { Recorded } from './recorded.js';

export interface TensorDifference {
  readonly name: string;
  readonly elements: number;
  readonly differing: number;
  /** Largest difference between two elements, and largest magnitude in either tensor; NaN if shapes differ or elements are NaN. */
  readonly distance: number;
  readonly amax: number;
  /** The formats of both, if they differ. */
  readonly dtypes?: readonly [a: string, b: string];
}

export interface Difference {
  /** Settings that differ, with both values as JSON; `data` with the digests of the texts. */
  readonly settings: readonly (readonly [name: string, a: string, b: string])[];
  /** Number of steps that are in both logs. */
  readonly steps: number;
  /** The first common step whose states differ, with the parameters that differ if both logs record them. */
  readonly firstStep?: {
    readonly step: number;
    readonly losses: readonly [a: number, b: number];
    readonly parameters?: readonly string[];
  };
  /** What was compared tensor by tensor: states of the same step, or models. */
  readonly compared?: { readonly what: string; readonly tensors: number };
  readonly tensors: readonly TensorDifference[];
  /** Tensor roles whose delayed scales differ in those states. */
  readonly scales: readonly string[];
}

export const isDifferent = ({ settings, firstStep, tensors, scales }: Difference): boolean =>
  settings.length > 0 || firstStep !== undefined || tensors.length > 0 || scales.length > 0;

export function difference(a: Recorded, b: Recorded): Difference {
  const [one, other] = [a.states.at(0), b.states.at(0)];
  const settings =
    one && other ? [...settingsThatDiffer(one.settings, other.settings), ...textsThatDiffer(one, other)] : [];
  const names = (one ?? other)?.parameters ?? [];
  return { settings, ...differenceOfLogs(a.lines, b.lines, names), ...differenceOfFiles(a, b) };
}

const textsThatDiffer = (a: StateFile, b: StateFile): Difference['settings'] =>
  a.data === b.data ? [] : [['data', `digest ${a.data}`, `digest ${b.data}`]];

function differenceOfLogs(
  a: readonly MetricsLine[],
  b: readonly MetricsLine[],
  names: readonly string[],
): Pick<Difference, 'steps' | 'firstStep'> {
  const steps = (lines: readonly MetricsLine[]) => lines.filter((line) => line.type === 'step');
  const others = new Map(steps(b).map((line) => [line.step, line]));
  const common = steps(a).flatMap((line): [StepLine, StepLine][] => {
    const other = others.get(line.step);
    return other ? [[line, other]] : [];
  });
  const parted = common.find(([one, other]) => one.digest !== other.digest);
  if (!parted) return { steps: common.length };
  const [one, other] = parted;
  const digests = other.parameters;
  const parameters =
    digests && one.parameters?.flatMap((digest, i) => (digest === digests[i] ? [] : [names[i] ?? `parameter ${i}`]));
  return { steps: common.length, firstStep: { step: one.step, losses: [one.loss, other.loss], parameters } };
}

/** Compares the newest states that both have for the same step, or else their models. */
function differenceOfFiles(a: Recorded, b: Recorded): Pick<Difference, 'compared' | 'tensors' | 'scales'> {
  for (const one of a.states) {
    const other = b.states.find(({ step }) => step === one.step);
    if (!other) continue;
    const keys = [...new Set([...one.scales.keys(), ...other.scales.keys()])];
    const scales = keys.filter((key) => one.scales.get(key) !== other.scales.get(key));
    return { ...differenceOfTensors(`states of step ${one.step}`, one.tensors, other.tensors), scales };
  }
  if (a.model && b.model) return { ...differenceOfTensors('models', a.model, b.model), scales: [] };
  return { tensors: [], scales: [] };
}

function differenceOfTensors(
  what: string,
  a: readonly ScaledTensor[],
  b: readonly ScaledTensor[],
): Pick<Difference, 'compared' | 'tensors'> {
  const [ones, others] = [a, b].map((list) => new Map(list.map((tensor) => [tensor.name, tensor])));
  const names = [...new Set([...ones.keys(), ...others.keys()])];
  const tensors = names.flatMap((name) => distanceOf(name, ones.get(name), others.get(name)) ?? []);
  return { compared: { what, tensors: names.length }, tensors };
}

/** A tensor that is missing from one side, or has another shape there, differs in every element. */
function distanceOf(
  name: string,
  a: ScaledTensor | undefined,
  b: ScaledTensor | undefined,
): TensorDifference | undefined {
  const elements = sizeOf(((a ?? b) as ScaledTensor).shape);
  if (!a || !b || a.shape.join() !== b.shape.join()) {
    return { name, elements, differing: elements, distance: Number.NaN, amax: Number.NaN };
  }
  if (sameBytes(a.data, b.data) && a.dtype === b.dtype && a.scaleInv === b.scaleInv) return undefined;
  const [x, y] = [numbersOf(a), numbersOf(b)];
  let [differing, distance, amax] = [0, 0, 0];
  for (let i = 0; i < elements; i++) {
    amax = Math.max(amax, Math.abs(x[i]), Math.abs(y[i]));
    if (Object.is(x[i], y[i])) continue;
    differing++;
    distance = Math.max(distance, Math.abs(x[i] - y[i]));
  }
  return {
    name,
    elements,
    differing,
    distance,
    amax,
    ...(a.dtype !== b.dtype && { dtypes: [a.dtype, b.dtype] as const }),
  };
}

function numbersOf({ name, dtype: fileDtype, data, scaleInv }: ScaledTensor): Float32Array {
  const dtype = dtypeOfFile(fileDtype);
  if (!dtype) throw new FileError(`${name}: expected a format to read, got ${fileDtype}`);
  const values = valuesOf(dtype, data);
  return scaleInv === 1 ? values : values.map((value) => value * scaleInv);
}
