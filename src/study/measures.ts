/** What a study compares: each measure is a curve read from a run's log, and the one number that the curve comes to. */
import type { Fp8Health, MetricsLine } from '../train/events.js';

/** Values at steps, ascending. */
export interface Curve {
  readonly step: readonly number[];
  readonly value: readonly number[];
}

export interface Measure {
  readonly title: string;
  readonly unit: string;
  /** What a larger value is called, and a smaller one. */
  readonly words: readonly [more: string, less: string];
  /** Of a run of `steps` steps. */
  readonly curve: (lines: readonly MetricsLine[], steps: number) => Curve;
  readonly number: (curve: Curve) => number | undefined;
}

/** Points of a curve that the log has at every step. */
const POINTS = 100;

const last = ({ value }: Curve) => value.at(-1);
const highest = ({ value }: Curve) => (value.length > 0 ? Math.max(...value) : undefined);

/** The lines for which `read` gives a number. */
const points = (read: (line: MetricsLine) => number | undefined) => (lines: readonly MetricsLine[]) => {
  const found = lines.flatMap((line) => {
    const value = read(line);
    return value === undefined ? [] : [{ step: line.step, value }];
  });
  return { step: found.map(({ step }) => step), value: found.map(({ value }) => value) };
};

/** Means over stretches of steps, each under its last step. Where they end follows from the steps alone, so that runs match. */
const means = (read: (line: MetricsLine) => number | undefined) => (lines: readonly MetricsLine[], steps: number) => {
  const all = points(read)(lines);
  const stretch = Math.ceil(steps / POINTS);
  const sums = new Map<number, { sum: number; count: number }>();
  all.step.forEach((step, i) => {
    const end = Math.min(steps, Math.ceil(step / stretch) * stretch);
    const { sum, count } = sums.get(end) ?? { sum: 0, count: 0 };
    sums.set(end, { sum: sum + all.value[i], count: count + 1 });
  });
  return { step: [...sums.keys()], value: [...sums.values()].map(({ sum, count }) => sum / count) };
};

/** The worst FP8 tensor of a step, where the step's line has them. */
const worst = (field: keyof Fp8Health) => (line: MetricsLine) => {
  const health = line.type === 'step' ? Object.values(line.fp8 ?? {}) : [];
  return health.length > 0 ? Math.max(...health.map((tensor) => tensor[field])) : undefined;
};

const SHARE = { unit: 'share, of the worst tensor', words: ['more', 'less'] } as const;

const MEASURE_RECORDS = {
  val_loss: {
    title: 'Validation loss',
    unit: 'nats a byte',
    words: ['worse', 'better'],
    curve: points((line) => (line.type === 'eval' ? line.val_loss : undefined)),
    number: last,
  },
  train_loss: {
    title: 'Training loss',
    unit: 'nats a byte, mean over a hundredth of the run',
    words: ['worse', 'better'],
    curve: means((line) => (line.type === 'step' ? line.loss : undefined)),
    number: last,
  },
  grad_norm: {
    title: 'Gradient norm',
    unit: 'before clipping, mean over a hundredth of the run',
    words: ['higher', 'lower'],
    curve: means((line) => (line.type === 'step' ? line.grad_norm : undefined)),
    number: highest,
  },
  sharpness: {
    title: 'Sharpness',
    unit: 'of the loss around the logits, per cent',
    words: ['higher', 'lower'],
    curve: points((line) => (line.type === 'sharpness' ? line.sharpness : undefined)),
    number: last,
  },
  saturated: { title: 'Saturated', ...SHARE, curve: points(worst('saturated')), number: highest },
  underflowed: { title: 'Underflowed', ...SHARE, curve: points(worst('underflowed')), number: highest },
} satisfies Record<string, Measure>;

export type MeasureName = keyof typeof MEASURE_RECORDS;
export const MEASURES: Readonly<Record<MeasureName, Measure>> = MEASURE_RECORDS;

export const isMeasure = (name: unknown): name is MeasureName =>
  typeof name === 'string' && Object.hasOwn(MEASURES, name);
