/**
 * Results of a study: its runs as numbers, and its cells as means over seeds with the difference to the baseline. Nothing here depends on
 * the clock, the machine or interruptions: the same runs give the same record.
 */
import type { MetricsLine } from '../train/events.js';
import type { AxisValue, Experiment, Size } from './experiment.js';
import { type Curve, MEASURES, type MeasureName } from './measures.js';
import { baselineOf, type Cell, cellsOf, type PlannedRun } from './plan.js';
import { type Estimate, estimate } from './statistics.js';

export interface RunRecord {
  readonly digest: string;
  readonly cell: Cell;
  readonly seed: number;
  /** Steps taken, and tokens of a complete run. */
  readonly steps: number;
  readonly tokens: number;
  /** Digest of the state after the last step. */
  readonly stateDigest: string | null;
  /** Why and at which step the run counts as diverged; null if it does not. */
  readonly diverged: { readonly step: number; readonly why: string } | null;
  /** Null if the run has no value, for instance because it ended before the first evaluation. */
  readonly measures: Readonly<Partial<Record<MeasureName, number | null>>>;
  readonly curves: Readonly<Partial<Record<MeasureName, Curve>>>;
}

/** Difference to the runs of the same seeds in the baseline cell, if neither diverged. */
export interface Difference {
  readonly absolute: Estimate;
  /** As a fraction of the baseline's mean. */
  readonly relative: Estimate;
  readonly words: string;
}

export interface CellRecord {
  readonly cell: Cell;
  /** The cell it is compared with. */
  readonly baseline: Cell | null;
  readonly runs: number;
  readonly diverged: number;
  /** Estimates over the seeds that did not diverge. */
  readonly measures: Readonly<Partial<Record<MeasureName, { value: Estimate | null; difference: Difference | null }>>>;
}

/** The text that all runs were trained on. */
export interface Text {
  readonly name: string;
  readonly bytes: number;
  readonly digest: string;
}

export interface Results {
  readonly study: string;
  /** Path to the study's file from the folder of its results; undefined for shipped studies. */
  readonly file?: string;
  readonly size: Size;
  readonly text: Text;
  readonly experiment: Experiment;
  readonly runs: readonly RunRecord[];
  readonly cells: readonly CellRecord[];
}

/** Builds the record of an ended run from its log. */
export function runRecord(experiment: Experiment, run: PlannedRun, lines: readonly MetricsLine[]): RunRecord {
  const { steps } = run.settings;
  const curves = Object.fromEntries(
    experiment.measures.map((name) => [name, MEASURES[name].curve(lines, steps)] as const),
  ) as Record<MeasureName, Curve>;
  const measures = Object.fromEntries(
    experiment.measures.map((name) => [name, MEASURES[name].number(curves[name]) ?? null] as const),
  );
  const done = lines.findLast((line) => line.type === 'step');
  return {
    digest: run.digest,
    cell: run.cell,
    seed: run.seed,
    steps: done?.step ?? 0,
    tokens: run.tokens,
    stateDigest: done?.digest ?? null,
    diverged: divergenceOf(experiment.divergence, lines),
    measures,
    curves: Object.fromEntries(Object.entries(curves).map(([name, curve]) => [name, drawn(curve)])),
  };
}

/** Rounds values to as many digits as a chart can show. */
const drawn = ({ step, value }: Curve): Curve => ({ step, value: value.map((x) => Number(x.toPrecision(5))) });

/** The criterion for divergence: an anomaly ended the run, or its final validation loss is too far above its lowest, or above `maxLoss`. */
export function divergenceOf(
  { rise, maxLoss }: Experiment['divergence'],
  lines: readonly MetricsLine[],
): RunRecord['diverged'] {
  const anomaly = lines.findLast((line) => line.type === 'anomaly');
  if (anomaly?.action === 'stop') return { step: anomaly.step, why: anomaly.kind };
  const evals = lines.filter((line) => line.type === 'eval');
  const last = evals.at(-1);
  if (!last) return null;
  const bounds = evals.map((_, i) => rise * Math.min(...evals.slice(0, i + 1).map((line) => line.val_loss)));
  if (last.val_loss > bounds[bounds.length - 1]) {
    // The evaluation from which on the loss stayed above the bound.
    const below = evals.findLastIndex((line, i) => !(line.val_loss > bounds[i]));
    return { step: evals[below + 1].step, why: `validation loss above ${rise} times its lowest` };
  }
  if (last.val_loss > maxLoss) return { step: last.step, why: `validation loss above ${maxLoss}` };
  return null;
}

/** Builds the results; `runs` must be in plan order. */
export function resultsOf(
  { study, file, size, text, experiment }: Omit<Results, 'runs' | 'cells'>,
  runs: readonly RunRecord[],
): Results {
  const cells = cellsOf(experiment).map(({ cell, values }): CellRecord => {
    const own = runsOf(cell, runs);
    const other = Object.keys(experiment.baseline).length > 0 ? baselineOf(cell, experiment.baseline) : undefined;
    const base = other && runsOf(other, runs);
    const measures = experiment.measures.map((name) => {
      const within = MEASURES[name].bounded && boundOf(values, experiment.within);
      return [
        name,
        {
          value: estimate(numbersOf(own, name)) ?? null,
          difference: base ? differenceOf(own, base, name, within) : null,
        },
      ] as const;
    });
    return {
      cell,
      baseline: other ?? null,
      runs: own.length,
      diverged: own.filter(({ diverged }) => diverged !== null).length,
      measures: Object.fromEntries(measures),
    };
  });
  return { study, file, size, text, experiment, runs, cells };
}

/** The runs of a cell. */
export const runsOf = (cell: Cell, runs: readonly RunRecord[]): RunRecord[] =>
  runs.filter((run) => Object.keys(cell).every((axis) => run.cell[axis] === cell[axis]));

/** The bound of the last axis value that has one. */
const boundOf = (values: readonly AxisValue[], common: number | undefined): number | undefined =>
  values.findLast(({ within }) => within !== undefined)?.within ?? common;

/** The number of a run; null if it diverged. */
const numberOf = (run: RunRecord, name: MeasureName): number | null =>
  run.diverged === null ? (run.measures[name] ?? null) : null;

const numbersOf = (runs: readonly RunRecord[], name: MeasureName): number[] =>
  runs.map((run) => numberOf(run, name)).filter((value) => value !== null);

function differenceOf(
  own: readonly RunRecord[],
  base: readonly RunRecord[],
  name: MeasureName,
  within: number | undefined,
): Difference | null {
  const pairs = own.flatMap((run) => {
    const other = base.find(({ seed }) => seed === run.seed);
    const [a, b] = [numberOf(run, name), other ? numberOf(other, name) : null];
    return a === null || b === null ? [] : [{ a, b }];
  });
  const absolute = estimate(pairs.map(({ a, b }) => a - b));
  const mean = estimate(pairs.map(({ b }) => b))?.mean;
  if (!absolute || mean === undefined) return null;
  const part = (x: number | null) => (x === null ? null : x / mean);
  const { n, sd, low, high } = absolute;
  const relative = { n, mean: absolute.mean / mean, sd: part(sd), low: part(low), high: part(high) };
  const { words, differences } = MEASURES[name];
  return { absolute, relative, words: effectWords(differences ? absolute : relative, words, within, differences) };
}

/** Describes the interval of a difference, relative or in a unit, with or without a bound within which two results count as equal. */
export function effectWords(
  { n, mean, low, high }: Pick<Estimate, 'n' | 'mean' | 'low' | 'high'>,
  [more, less]: readonly [string, string],
  within?: number,
  unit?: string,
): string {
  const amount = (x: number) =>
    unit ? `${Number(x.toPrecision(3))} ${unit}` : `${Number((100 * x).toPrecision(3))} %`;
  if (low === null || high === null) return `${n} seed: no interval`;
  if (within === undefined) {
    if (low > 0) return `${more}, by ${amount(low)} to ${amount(high)}`;
    if (high < 0) return `${less}, by ${amount(-high)} to ${amount(-low)}`;
    return `no difference seen: ${amount(low)} to ${amount(high)}`;
  }
  if (low >= -within && high <= within) return `the same within ${amount(within)}`;
  if (low > within) return `${more} by more than ${amount(within)}`;
  if (high < -within) return `${less} by more than ${amount(within)}`;
  const side = Math.abs(mean) <= within ? 'inside' : 'outside';
  return `undecided: the mean is ${side} ${amount(within)}, the interval on both sides`;
}

/** The results as JSON, one run or cell per line. */
export function resultsJson({ runs, cells, ...about }: Results): string {
  const list = (all: readonly unknown[]) => `[\n${all.map((one) => JSON.stringify(one)).join(',\n')}\n]`;
  return `${JSON.stringify(about).slice(0, -1)},\n"runs":${list(runs)},\n"cells":${list(cells)}}\n`;
}

/** The results as CSV, one line per run. */
export function resultsCsv({ experiment, runs }: Results): string {
  const axes = Object.keys(experiment.axes);
  const head = [
    'digest',
    ...axes,
    'seed',
    'steps',
    'state_digest',
    'diverged_at',
    'diverged_why',
    ...experiment.measures,
  ];
  const rows = runs.map((run) => [
    run.digest,
    ...axes.map((axis) => run.cell[axis]),
    run.seed,
    run.steps,
    run.stateDigest,
    run.diverged?.step,
    run.diverged?.why,
    ...experiment.measures.map((name) => run.measures[name]),
  ]);
  return [head, ...rows].map((row) => `${row.map(csvField).join(',')}\r\n`).join('');
}

/** Quotes a field according to RFC 4180. */
function csvField(value: string | number | null | undefined): string {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
