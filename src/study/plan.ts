/** Expands an experiment into its runs: all combinations of axis values, each with every seed. */
import type { Runtime } from '../engine/runtime.js';
import { type Recipe, recipeOf } from '../ops/recipe.js';
import { digestOfContent } from '../ops/reduce.js';
import {
  type Intervals,
  type TrainSettings,
  type TrainSettingsInput,
  tokensPerStep,
  trainSettings,
} from '../train/options.js';
import type { AxisValue, Experiment, Json } from './experiment.js';
import { fingerprint } from './fingerprint.js';
import { MEASURES } from './measures.js';

/** A cell of the grid: the name of one value per axis. Runs of one cell differ by seed. */
export type Cell = Readonly<Record<string, string>>;

export interface PlannedRun {
  /** Digest of everything that determines the run's log: equal digests mean equal logs. */
  readonly digest: string;
  readonly cell: Cell;
  readonly seed: number;
  readonly settings: TrainSettings;
  readonly intervals: Partial<Intervals>;
  /** Whether evaluations also report the loss in the precision of training. */
  readonly evaluateTraining: boolean;
  readonly tokens: number;
}

/** Every cell of the grid with its axis values; the last axis varies fastest. */
export function cellsOf({ axes }: Pick<Experiment, 'axes'>): { cell: Cell; values: readonly AxisValue[] }[] {
  return Object.entries(axes).reduce<{ cell: Cell; values: readonly AxisValue[] }[]>(
    (cells, [axis, choices]) =>
      cells.flatMap(({ cell, values }) =>
        choices.map((value) => ({ cell: { ...cell, [axis]: value.name }, values: [...values, value] })),
      ),
    [{ cell: {}, values: [] }],
  );
}

/** The cell that this one is compared with; undefined if it is a baseline itself, or if there is none. */
export function baselineOf(cell: Cell, baseline: Experiment['baseline']): Cell | undefined {
  const other = { ...cell, ...baseline };
  return Object.keys(cell).every((axis) => cell[axis] === other[axis]) ? undefined : other;
}

export const nameOf = (cell: Cell): string => Object.values(cell).join(', ');

/** The runs of an experiment on this text, ordered by cell and seed. Errors name the cell. */
export function planOf(rt: Runtime, experiment: Experiment, data: Uint8Array): PlannedRun[] {
  const dataDigest = digestOfContent(rt, data);
  return cellsOf(experiment).flatMap(({ cell, values }) => {
    const settings = inCell(cell, () => trainSettings(settingsOf(experiment, values)));
    const code = fingerprint(rt, settings);
    return Array.from({ length: experiment.seeds }, (_, i) => {
      const seed = experiment.firstSeed + i;
      const run = planned(experiment, { ...settings, seed });
      const identity = JSON.stringify([run.settings, run.intervals, run.evaluateTraining, dataDigest, code]);
      return { digest: digestOfContent(rt, new TextEncoder().encode(identity)), cell, seed, ...run };
    });
  });
}

function inCell<T>(cell: Cell, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    const Refusal = error instanceof TypeError ? TypeError : RangeError;
    throw new Refusal(`${nameOf(cell)}: ${error.message}`);
  }
}

function planned({ evaluations, measures }: Experiment, settings: TrainSettings) {
  const { steps } = settings;
  const evalInterval = Math.ceil(steps / evaluations);
  const needs = new Set(measures.map((name) => MEASURES[name].needs));
  // Checkpoints are made by the clock: they change nothing, and an interrupted run loses a few minutes at most.
  const intervals = {
    evalInterval,
    checkpointInterval: Number.MAX_SAFE_INTEGER,
    checkpointMinutes: 2,
    ...(needs.has('sharpness') && { sharpnessInterval: evalInterval }),
    ...(needs.has('monitor') && { monitorInterval: evalInterval }),
  };
  return {
    settings,
    intervals,
    evaluateTraining: needs.has('evaluateTraining'),
    tokens: steps * tokensPerStep(settings),
  };
}

/** The base settings with those of each axis value, in axis order, and as many steps as the tokens require. */
function settingsOf(experiment: Experiment, values: readonly AxisValue[]): TrainSettingsInput {
  const settings = JSON.parse(JSON.stringify(experiment.settings)) as Record<string, Json>;
  for (const { set } of values) {
    for (const [path, value] of Object.entries(set)) assign(settings, path, value);
  }
  const input = settings as unknown as TrainSettingsInput;
  return { ...input, steps: Math.ceil(experiment.tokens / tokensPerStep(trainSettings(input))) };
}

/** Sets the value at a path. A path into a recipe first replaces its name by a record, which gets a derived name. */
function assign(settings: Record<string, Json>, path: string, value: Json): void {
  const names = path.split('.');
  const field = names.pop()!;
  if (names[0] === 'recipe') settings.recipe = derived(settings.recipe, path, value);
  let place = settings;
  for (const name of names) {
    const inner = place[name] ?? {};
    if (typeof inner !== 'object' || Array.isArray(inner)) {
      throw new TypeError(`${path}: expected ${name} as a record, got ${JSON.stringify(inner)}`);
    }
    place[name] = inner;
    place = inner as Record<string, Json>;
  }
  place[field] = value;
}

function derived(recipe: Json | undefined, path: string, value: Json): Json {
  const record = JSON.parse(JSON.stringify(recipeOf((recipe ?? 'fp8') as unknown as string | Recipe)));
  return { ...record, name: `${record.name} with ${path.slice('recipe.'.length)} ${JSON.stringify(value)}` };
}
