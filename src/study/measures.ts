/** The measures that a study compares: each is a curve read from a run's log, and one number derived from the curve. */

import type { RoleHealth } from '../model/casts.js';
import type { MetricsLine, MonitorLine, SwigluMonitor } from '../train/events.js';

/** Values at steps, ascending. */
export interface Curve {
  readonly step: readonly number[];
  readonly value: readonly number[];
}

export interface Measure {
  readonly title: string;
  readonly unit: string;
  /** Words for a larger and a smaller value. */
  readonly words: readonly [more: string, less: string];
  /** Reads the curve of a run of `steps` steps. */
  readonly curve: (lines: readonly MetricsLine[], steps: number) => Curve;
  readonly number: (curve: Curve) => number | undefined;
  /** Unit of differences; without it they are fractions of the baseline. */
  readonly differences?: 'dB';
  /** Whether the experiment's bound applies to this measure. */
  readonly bounded?: true;
  /** Records that a log contains only if requested, with every evaluation. */
  readonly needs?: 'sharpness' | 'monitor' | 'evaluateTraining';
}

/** Maximum points of a curve whose values are logged at every step, or every few. */
const POINTS = 50;

const last = ({ value }: Curve) => value.at(-1);
const highest = ({ value }: Curve) => (value.length > 0 ? Math.max(...value) : undefined);
/** The highest value after the first tenth, where the gradients of any run are large. */
const highestLater = ({ step, value }: Curve) => {
  const from = step[step.length - 1] / 10;
  return highest({ step, value: value.filter((_, i) => step[i] > from) });
};
const lowest = ({ value }: Curve) => (value.length > 0 ? Math.min(...value) : undefined);
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** The curve of the lines for which `read` returns a number. */
const points = (read: (line: MetricsLine) => number | undefined) => (lines: readonly MetricsLine[]) => {
  const found = lines.flatMap((line) => {
    const value = read(line);
    return value === undefined ? [] : [{ step: line.step, value }];
  });
  return { step: found.map(({ step }) => step), value: found.map(({ value }) => value) };
};

/** Merges each stretch of steps into one value at its last step. The ends depend on the steps alone, so that runs are comparable. */
const stretches =
  (read: (line: MetricsLine) => number | undefined, merge: (values: readonly number[]) => number) =>
  (lines: readonly MetricsLine[], steps: number) => {
    const all = points(read)(lines);
    const stretch = Math.ceil(steps / POINTS);
    const values = new Map<number, number[]>();
    all.step.forEach((step, i) => {
      const end = Math.min(steps, Math.ceil(step / stretch) * stretch);
      values.set(end, [...(values.get(end) ?? []), all.value[i]]);
    });
    return { step: [...values.keys()], value: [...values.values()].map(merge) };
  };

/** The value of the worst FP8 tensor of a step, if the step's line records them. */
const worst = (field: keyof RoleHealth) => (line: MetricsLine) => {
  const health = line.type === 'step' ? Object.values(line.fp8 ?? {}) : [];
  return health.length > 0 ? Math.max(...health.map((tensor) => tensor[field])) : undefined;
};

const SHARE = { unit: 'share, of the worst tensor', words: ['more', 'less'] } as const;

const most = (values: readonly number[]) => Math.max(...values);
const shares = (field: keyof RoleHealth) => ({ ...SHARE, curve: stretches(worst(field), most), number: highest });

/** The curve of `monitor` lines. */
const looks = (read: (line: MonitorLine) => number | undefined) =>
  points((line) => (line.type === 'monitor' ? read(line) : undefined));

/** Merges a field over the tensors that have it: all of them, or only those whose key ends with `of`. */
const extreme =
  (field: 'sqnr_db' | 'kurtosis', merge: (values: readonly number[]) => number, of = '') =>
  ({ tensors }: MonitorLine) => {
    const values = Object.entries(tensors).flatMap(([key, tensor]) => (key.endsWith(of) ? (tensor[field] ?? []) : []));
    return values.length > 0 ? merge(values) : undefined;
  };

/** The outlier channels of a layer are this fraction of its channels, at least one, with the largest outputs. */
const OUTLIER_PART = 1 / 50;

/** Mean |cosine| of gate and up rows over the outlier channels of all layers, or over all other channels. */
const alignment =
  (outliers: boolean) =>
  ({ swiglu }: MonitorLine) => {
    const layers = Object.values(swiglu).map(({ channel_amax: amax, cosines }) => {
      const order = amax.map((_, channel) => channel).sort((a, b) => amax[b] - amax[a]);
      const count = Math.max(1, Math.round(order.length * OUTLIER_PART));
      const chosen = outliers ? order.slice(0, count) : order.slice(count);
      return mean(chosen.map((channel) => Math.abs(cosines[channel] ?? 0)));
    });
    return layers.length > 0 ? mean(layers) : undefined;
  };

/** Largest output of a channel relative to that of the median channel in the layer. */
const reach = ({ channel_amax }: SwigluMonitor) => {
  const sorted = [...channel_amax].sort((a, b) => a - b);
  return sorted[sorted.length - 1] / sorted[Math.floor(sorted.length / 2)];
};

const MEASURE_RECORDS = {
  val_loss: {
    title: 'Validation loss',
    unit: 'nats a byte, of the model as it is saved',
    words: ['worse', 'better'],
    curve: points((line) => (line.type === 'eval' ? line.val_loss : undefined)),
    number: last,
    bounded: true,
  },
  val_loss_in_training: {
    title: 'Validation loss in training precision',
    unit: 'nats a byte, by the forward pass of training',
    words: ['worse', 'better'],
    curve: points((line) => (line.type === 'eval' ? line.val_loss_in_training : undefined)),
    number: last,
    bounded: true,
    needs: 'evaluateTraining',
  },
  train_loss: {
    title: 'Training loss',
    unit: 'nats a byte, mean over a fiftieth of the run',
    words: ['worse', 'better'],
    curve: stretches((line) => (line.type === 'step' ? line.loss : undefined), mean),
    number: last,
  },
  grad_norm: {
    title: 'Gradient norm',
    unit: 'before clipping, mean over a fiftieth of the run; the highest after the first tenth',
    words: ['higher', 'lower'],
    curve: stretches((line) => (line.type === 'step' ? line.grad_norm : undefined), mean),
    number: highestLater,
  },
  sharpness: {
    title: 'Sharpness',
    unit: 'of the loss around the logits, per cent',
    words: ['higher', 'lower'],
    curve: points((line) => (line.type === 'sharpness' ? line.sharpness : undefined)),
    number: last,
    needs: 'sharpness',
  },
  saturated: { title: 'Saturated', ...shares('saturated') },
  underflowed: { title: 'Underflowed', ...shares('underflowed') },
  sqnr: {
    title: 'Signal to quantisation noise',
    unit: 'dB, of the worst tensor',
    words: ['higher', 'lower'],
    differences: 'dB',
    curve: looks(extreme('sqnr_db', (values) => Math.min(...values))),
    number: lowest,
    needs: 'monitor',
  },
  kurtosis: {
    title: 'Kurtosis',
    unit: "not centred, of the worst linear's input",
    words: ['higher', 'lower'],
    curve: looks(extreme('kurtosis', most, '.input')),
    number: highest,
    needs: 'monitor',
  },
  alignment: {
    title: 'Alignment of outlier channels',
    unit: 'mean |cosine| of gate and up rows, fiftieth of the channels with the largest outputs',
    words: ['higher', 'lower'],
    curve: looks(alignment(true)),
    number: last,
    needs: 'monitor',
  },
  alignment_rest: {
    title: 'Alignment of the other channels',
    unit: 'mean |cosine| of gate and up rows',
    words: ['higher', 'lower'],
    curve: looks(alignment(false)),
    number: last,
    needs: 'monitor',
  },
  channel_reach: {
    title: 'Reach of the largest SwiGLU channel',
    unit: 'largest output, in those of the median channel, of the worst layer',
    words: ['higher', 'lower'],
    curve: looks(({ swiglu }) => Math.max(...Object.values(swiglu).map(reach))),
    number: last,
    needs: 'monitor',
  },
} satisfies Record<string, Measure>;

export type MeasureName = keyof typeof MEASURE_RECORDS;
export const MEASURES: Readonly<Record<MeasureName, Measure>> = MEASURE_RECORDS;

export const isMeasure = (name: unknown): name is MeasureName =>
  typeof name === 'string' && Object.hasOwn(MEASURES, name);
