/**
 * Turns metrics.jsonl into columns, the form in which the report draws and embeds it.
 * Values are kept exactly; only rows are thinned, and never so that an outlier disappears.
 */
import type {
  AnomalyLine,
  CheckpointLine,
  DoneLine,
  EvalLine,
  MetricsLine,
  SampleLine,
  StepLine,
} from '../train/events.js';

/** A value that JSON can hold: null if it is missing, NaN or infinite. */
export type Cell = number | null;

export interface StepColumns {
  step: number[];
  loss: Cell[];
  /** See `RunData.smooth`. */
  smooth: Cell[];
  lr: Cell[];
  grad_norm: Cell[];
  tokens_per_sec: Cell[];
}

export interface EvalColumns {
  step: number[];
  val_loss: Cell[];
  val_bits_per_byte: Cell[];
}

/** One FP8 tensor over the run; its columns correspond to `Fp8Columns.step`. */
export interface Fp8Tensor {
  key: string;
  layer: string;
  linear: string;
  role: string;
  amax: Cell[];
  scale: Cell[];
  saturated: Cell[];
  underflowed: Cell[];
}

export interface Fp8Columns {
  step: number[];
  tensors: Fp8Tensor[];
}

/** The data embedded in the page as JSON: only what the charts need. */
export interface ChartData {
  train: StepColumns;
  val: EvalColumns;
  anomalies: number[];
  /** Absent if the recipe has no FP8 tensors. */
  fp8?: Fp8Columns;
}

export interface RunData {
  chart: ChartData;
  /** Every step, ascending; if a resumed run repeats a step, the later line counts. */
  steps: StepLine[];
  /** Mean of the loss over about `smoothing` steps, one value per step. */
  smooth: Cell[];
  evals: EvalLine[];
  samples: SampleLine[];
  checkpoints: CheckpointLine[];
  anomalies: AnomalyLine[];
  done?: DoneLine;
  smoothing: number;
  /** Recorded steps per group of drawn ones, 1 if every step is drawn; likewise for FP8 health. */
  thinned: { steps: number; fp8: number };
}

/** Limits that keep the page below 1.5 MB at full precision (test/report.test.ts measures it). */
const MAX_STEP_ROWS = 2000;
const MAX_FP8_CELLS = 10_000;

export function collect(metrics: readonly MetricsLine[]): RunData {
  const steps = byStep(metrics.filter((line) => line.type === 'step'));
  const evals = byStep(metrics.filter((line) => line.type === 'eval'));
  const anomalies = byStep(
    metrics.filter((line) => line.type === 'anomaly'),
    (line) => `${line.step} ${line.what}`,
  );
  const smoothing = Math.max(10, Math.round(steps.length / 40));
  const smooth = smoothed(
    steps.map((line) => cell(line.loss)),
    smoothing,
  );
  const groupOfSteps = Math.max(1, Math.ceil((3 * steps.length) / MAX_STEP_ROWS));
  const rows = steps.length > MAX_STEP_ROWS ? thin(steps, groupOfSteps) : steps.map((_, row) => row);
  const health = fp8Columns(steps);

  return {
    chart: {
      train: {
        step: rows.map((row) => steps[row].step),
        loss: rows.map((row) => cell(steps[row].loss)),
        smooth: rows.map((row) => smooth[row]),
        lr: rows.map((row) => cell(steps[row].lr)),
        grad_norm: rows.map((row) => cell(steps[row].grad_norm)),
        tokens_per_sec: rows.map((row) => cell(steps[row].tokens_per_sec)),
      },
      val: {
        step: evals.map((line) => line.step),
        val_loss: evals.map((line) => cell(line.val_loss)),
        val_bits_per_byte: evals.map((line) => cell(line.val_bits_per_byte)),
      },
      anomalies: [...new Set(anomalies.map((line) => line.step))],
      ...(health && { fp8: health.columns }),
    },
    steps,
    smooth,
    evals,
    samples: byStep(
      metrics.filter((line) => line.type === 'sample'),
      (line) => `${line.step} ${line.prompt}`,
    ),
    checkpoints: byStep(metrics.filter((line) => line.type === 'checkpoint')),
    anomalies,
    done: metrics.findLast((line) => line.type === 'done'),
    smoothing,
    thinned: { steps: rows.length < steps.length ? groupOfSteps : 1, fp8: health?.group ?? 1 },
  };
}

/** Converts to a number that JSON can hold, or null. */
export function cell(value: unknown): Cell {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Sorts by step, keeping only the last line of each step (or of each `id`): a resumed run repeats the steps after its checkpoint. */
function byStep<T extends { step: number }>(lines: T[], id: (line: T) => unknown = (line) => line.step): T[] {
  return [...new Map(lines.map((line) => [id(line), line])).values()].sort((a, b) => a.step - b.step);
}

/**
 * Mean over about `span` steps centred on each step, so that the curve does not lag; windows shrink at both ends, symmetrically at the steep
 * start.
 */
function smoothed(values: Cell[], span: number): Cell[] {
  const sums = [0];
  const counts = [0];
  values.forEach((value, i) => {
    sums.push(sums[i] + (value ?? 0));
    counts.push(counts[i] + (value === null ? 0 : 1));
  });
  return values.map((value, i) => {
    const reach = Math.min(i, span >> 1);
    const from = i - reach;
    const to = Math.min(i + reach + 1, values.length);
    return value === null ? null : (sums[to] - sums[from]) / (counts[to] - counts[from]);
  });
}

/** Picks from each group of consecutive steps the rows with the lowest loss, the highest loss and the highest gradient norm, plus both ends. */
function thin(steps: StepLine[], group: number): number[] {
  const orInfinity = (value: unknown) => cell(value) ?? Number.POSITIVE_INFINITY; // a missing loss is the one not to lose
  const kept = new Set([0, steps.length - 1]);
  for (let start = 0; start < steps.length; start += group) {
    let low = start;
    let high = start;
    let steep = start;
    for (let row = start; row < Math.min(start + group, steps.length); row++) {
      if (orInfinity(steps[row].loss) < orInfinity(steps[low].loss)) low = row;
      if (orInfinity(steps[row].loss) > orInfinity(steps[high].loss)) high = row;
      if (orInfinity(steps[row].grad_norm) > orInfinity(steps[steep].grad_norm)) steep = row;
    }
    kept.add(low).add(high).add(steep);
  }
  return [...kept].sort((a, b) => a - b);
}

/** FP8 health by tensor. If thinned, each group shows its worst values: the highest amax and fractions, and the last scale. */
function fp8Columns(steps: StepLine[]): { columns: Fp8Columns; group: number } | undefined {
  const sampled = steps.filter((line) => line.fp8 && Object.keys(line.fp8).length > 0);
  if (sampled.length === 0) return undefined;
  const keys = [...new Set(sampled.flatMap((line) => Object.keys(line.fp8!)))].sort(compareKeys);
  const rows = Math.max(2, Math.floor(MAX_FP8_CELLS / keys.length));
  const group = Math.ceil(sampled.length / rows);
  const groups = Array.from({ length: Math.ceil(sampled.length / group) }, (_, i) =>
    sampled.slice(i * group, (i + 1) * group),
  );
  const tensors = keys.map((key) => {
    const column = (field: 'amax' | 'scale' | 'saturated' | 'underflowed') =>
      groups.map((lines) => {
        const values = lines.map((line) => cell(line.fp8?.[key]?.[field])).filter((value) => value !== null);
        if (values.length === 0) return null;
        return field === 'scale' ? values[values.length - 1] : Math.max(...values);
      });
    return {
      ...parseKey(key),
      amax: column('amax'),
      scale: column('scale'),
      saturated: column('saturated'),
      underflowed: column('underflowed'),
    };
  });
  return { columns: { step: groups.map((lines) => lines[lines.length - 1].step), tensors }, group };
}

/** `layers.0.qkv.input` is layer 0, linear qkv, role input. */
function parseKey(key: string): Pick<Fp8Tensor, 'key' | 'layer' | 'linear' | 'role'> {
  const [, layer = '', linear = '', role = ''] = key.split('.');
  return { key, layer, linear, role };
}

const LINEARS = ['qkv', 'o', 'gate_up', 'down'];
const ROLES = ['input', 'weight', 'grad_output'];

/** Reading order of tensors: by layer number, then linear, then role; unknown names come last. */
function compareKeys(a: string, b: string): number {
  const [x, y] = [parseKey(a), parseKey(b)];
  const rank = (names: string[], name: string) => (names.includes(name) ? names.indexOf(name) : names.length);
  return (
    Number(x.layer) - Number(y.layer) ||
    rank(LINEARS, x.linear) - rank(LINEARS, y.linear) ||
    x.linear.localeCompare(y.linear, 'en') ||
    rank(ROLES, x.role) - rank(ROLES, y.role) ||
    x.role.localeCompare(y.role, 'en')
  );
}
