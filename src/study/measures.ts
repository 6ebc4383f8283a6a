/** What a study compares: each measure is a curve read from a run's log, and the one number that the curve comes to. */
import type { Fp8Health, MetricsLine, MonitorLine, SwigluMonitor } from '../train/events.js';

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
  /** The unit that differences are given in; without one, they are shares of the baseline. */
  readonly differences?: 'dB';
  /** Whether the experiment's bound is for it. */
  readonly bounded?: true;
  /** What a run's log has only where it is asked for, with every evaluation. */
  readonly needs?: 'sharpness' | 'monitor' | 'evaluateTraining';
}

/** Points of a curve that the log has at every step, or every few. */
const POINTS = 50;

const last = ({ value }: Curve) => value.at(-1);
const highest = ({ value }: Curve) => (value.length > 0 ? Math.max(...value) : undefined);
/** Past the beginning, where gradients of any run are large. */
const highestLater = ({ step, value }: Curve) => {
  const from = step[step.length - 1] / 10;
  return highest({ step, value: value.filter((_, i) => step[i] > from) });
};
const lowest = ({ value }: Curve) => (value.length > 0 ? Math.min(...value) : undefined);
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** The lines for which `read` gives a number. */
const points = (read: (line: MetricsLine) => number | undefined) => (lines: readonly MetricsLine[]) => {
  const found = lines.flatMap((line) => {
    const value = read(line);
    return value === undefined ? [] : [{ step: line.step, value }];
  });
  return { step: found.map(({ step }) => step), value: found.map(({ value }) => value) };
};

/** One number for a stretch of steps, under its last step. Where they end follows from the steps alone, so that runs match. */
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

/** The worst FP8 tensor of a step, where the step's line has them. */
const worst = (field: keyof Fp8Health) => (line: MetricsLine) => {
  const health = line.type === 'step' ? Object.values(line.fp8 ?? {}) : [];
  return health.length > 0 ? Math.max(...health.map((tensor) => tensor[field])) : undefined;
};

const SHARE = { unit: 'share, of the worst tensor', words: ['more', 'less'] } as const;

const most = (values: readonly number[]) => Math.max(...values);
const shares = (field: keyof Fp8Health) => ({ ...SHARE, curve: stretches(worst(field), most), number: highest });

/** Of the lines of looks into a step. */
const looks = (read: (line: MonitorLine) => number | undefined) =>
  points((line) => (line.type === 'monitor' ? read(line) : undefined));

/** Over the tensors that have the number: all, or inputs of linears alone. */
const extreme =
  (field: 'sqnr_db' | 'kurtosis', merge: (values: readonly number[]) => number, of = '') =>
  ({ tensors }: MonitorLine) => {
    const values = Object.entries(tensors).flatMap(([key, tensor]) => (key.endsWith(of) ? (tensor[field] ?? []) : []));
    return values.length > 0 ? merge(values) : undefined;
  };

/** A layer's outlier channels are this part of its channels with the largest outputs, at least one. */
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

/** How far the largest channel of a layer reaches beyond its median one. */
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
