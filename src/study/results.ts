/**
 * What a study came to: its runs as numbers, and its cells as means over seeds with the difference to the baseline. Nothing here depends on
 * the clock, the machine or on interruptions: the same runs give the same record.
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
  /** Steps taken, and the tokens of a whole run. */
  readonly steps: number;
  readonly tokens: number;
  /** Of the state after the last step. */
  readonly stateDigest: string | null;
  /** Why and at which step a run counts as diverged; null for one that does not. */
  readonly diverged: { readonly step: number; readonly why: string } | null;
  /** Null where the run has none, as one that ended before the first evaluation. */
  readonly measures: Readonly<Partial<Record<MeasureName, number | null>>>;
  readonly curves: Readonly<Partial<Record<MeasureName, Curve>>>;
}

/** Against the runs of the same seed in the baseline's cell, where neither diverged. */
export interface Difference {
  readonly absolute: Estimate;
  /** In parts of the baseline's mean. */
  readonly relative: Estimate;
  readonly words: string;
}

export interface CellRecord {
  readonly cell: Cell;
  /** What it is compared with. */
  readonly baseline: Cell | null;
  readonly runs: number;
  readonly diverged: number;
  /** Over the seeds that did not diverge. */
  readonly measures: Readonly<Partial<Record<MeasureName, { value: Estimate | null; difference: Difference | null }>>>;
}

/** What all runs were trained on. */
export interface Text {
  readonly name: string;
  readonly bytes: number;
  readonly digest: string;
}

export interface Results {
  readonly study: string;
  readonly size: Size;
  readonly text: Text;
  readonly experiment: Experiment;
  readonly runs: readonly RunRecord[];
  readonly cells: readonly CellRecord[];
}

/** The record of a run that ended, from its log. */
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

/** As many digits as a chart can show. */
const drawn = ({ step, value }: Curve): Curve => ({ step, value: value.map((x) => Number(x.toPrecision(5))) });

/** The criterion: an anomaly that ended the run, or a final validation loss that rose or never fell. */
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
    // From where on it stayed up.
    const below = evals.findLastIndex((line, i) => !(line.val_loss > bounds[i]));
    return { step: evals[below + 1].step, why: `validation loss above ${rise} times its lowest` };
  }
  if (last.val_loss > maxLoss) return { step: last.step, why: `validation loss above ${maxLoss}` };
  return null;
}

/** `runs` in the order of the plan. */
export function resultsOf(
  { study, size, text, experiment }: Omit<Results, 'runs' | 'cells'>,
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
  return { study, size, text, experiment, runs, cells };
}

/** The runs of a cell. */
export const runsOf = (cell: Cell, runs: readonly RunRecord[]): RunRecord[] =>
  runs.filter((run) => Object.keys(cell).every((axis) => run.cell[axis] === cell[axis]));

/** The last axis value that has one. */
const boundOf = (values: readonly AxisValue[], common: number | undefined): number | undefined =>
  values.findLast(({ within }) => within !== undefined)?.within ?? common;

/** Of a run that counts: not of one that diverged. */
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

/** What an interval of a difference says, relative or in a unit, with a bound within which the two count as the same, and without. */
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

/** All of it, a run or a cell on a line. */
export function resultsJson({ runs, cells, ...about }: Results): string {
  const list = (all: readonly unknown[]) => `[\n${all.map((one) => JSON.stringify(one)).join(',\n')}\n]`;
  return `${JSON.stringify(about).slice(0, -1)},\n"runs":${list(runs)},\n"cells":${list(cells)}}\n`;
}

/** One line a run. */
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

/** RFC 4180. */
function csvField(value: string | number | null | undefined): string {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
