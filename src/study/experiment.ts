/** The format of experiment files: base training settings, what varies, for how long, and what is compared. */
import { SETTINGS } from '../train/settings.js';
import { isMeasure, MEASURES, type MeasureName } from './measures.js';

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type JsonRecord = { readonly [key: string]: Json };

/** One value of an axis: a name, and the settings it stands for, by path, such as `learningRate`, `config.layers` or `recipe.firstMoment`. */
export interface AxisValue {
  readonly name: string;
  readonly set: JsonRecord;
  /** Bound on the relative difference to the baseline, if it differs from the experiment's. */
  readonly within?: number;
}

/** When a run counts as diverged, apart from runs ended by an anomaly. */
export interface Divergence {
  /** Its final validation loss exceeds this multiple of its lowest. */
  readonly rise: number;
  /** Its final validation loss exceeds this, in nats per byte. */
  readonly maxLoss: number;
}

/** An experiment in one of its sizes. */
export interface Experiment {
  readonly title: string;
  /** The question and what is already known, for the top of the report. */
  readonly question: string;
  /** Name of the text; the command line defines them in CORPORA. */
  readonly corpus: string;
  /** Training settings shared by all runs, except seed and steps. */
  readonly settings: JsonRecord;
  /** Axes in report order; the first determines the lines of the charts. */
  readonly axes: Readonly<Record<string, readonly AxisValue[]>>;
  /** Number of consecutive seeds, starting at `firstSeed`. */
  readonly seeds: number;
  readonly firstSeed: number;
  /** Training tokens per run, rounded up to whole steps. */
  readonly tokens: number;
  /** Evaluations per run, evenly spaced. */
  readonly evaluations: number;
  /** Measures to compare; the first is the headline. */
  readonly measures: readonly MeasureName[];
  /** Values for some of the axes: the cells that others are compared with, all other axes being equal. */
  readonly baseline: Readonly<Record<string, string>>;
  /** Relative difference to the baseline within which a validation loss counts as the same. */
  readonly within?: number;
  readonly divergence: Divergence;
}

export type Size = 'full' | 'quick';

/** Most seeds of a study. Each trains every cell once, so a larger number is a typing error. */
export const MAX_SEEDS = 10_000;

const DEFAULTS = { firstSeed: 1, evaluations: 20, measures: ['val_loss'], divergence: {} } as const;
/** A rise of a fifth above the lowest loss is more than fluctuation between evaluations; ln 256 is the loss of a uniform guess. */
const DIVERGENCE: Divergence = { rise: 1.2, maxLoss: 5.55 };

const FIELDS = [
  'title',
  'question',
  'corpus',
  'settings',
  'axes',
  'seeds',
  'firstSeed',
  'tokens',
  'evaluations',
  'measures',
  'baseline',
  'within',
  'divergence',
  'quick',
];
/** Fields that `quick` may override. */
const QUICK_FIELDS = ['settings', 'axes', 'seeds', 'firstSeed', 'tokens', 'evaluations'];

/** Settings that the study itself sets. */
const OWN = ['steps', 'seed'];
const SETTING_NAMES = [...Object.keys(SETTINGS).filter((name) => !OWN.includes(name)), 'config', 'recipe', 'alignment'];

/**
 * Returns one size of the experiment in a parsed file. Names of settings are checked here; their values are checked when the runs are planned.
 *
 * @throws TypeError for the wrong kind or an unknown field, RangeError for the wrong value: field, expected, got.
 */
export function experimentOf(file: unknown, size: Size = 'full'): Experiment {
  const whole = record('experiment', file);
  known('', whole, FIELDS);
  const quick = record('quick', whole.quick ?? {});
  known('quick.', quick, QUICK_FIELDS);
  // Both sizes are checked whichever is requested: a file is valid or invalid as a whole.
  const sizes = { full: checked(whole), quick: checked(merged(whole, quick)) };
  return sizes[size];
}

/** Merges settings by field and axes by name; null removes an axis. */
function merged(whole: JsonRecord, quick: JsonRecord): JsonRecord {
  const both = (name: string) => ({
    ...record(name, whole[name] ?? {}),
    ...record(`quick.${name}`, quick[name] ?? {}),
  });
  const settings = both('settings');
  const [config, over] = [
    record('settings', whole.settings ?? {}).config,
    record('quick.settings', quick.settings ?? {}),
  ];
  if (over.config !== undefined) {
    settings.config = { ...record('settings.config', config ?? {}), ...record('quick.settings.config', over.config) };
  }
  return { ...whole, ...quick, settings, axes: both('axes') };
}

function checked(file: JsonRecord): Experiment {
  const settings = record('settings', file.settings ?? {});
  for (const name of Object.keys(settings)) settingPath(`settings.${name}`, name);
  const axes = Object.fromEntries(
    Object.entries(record('axes', file.axes)).flatMap(([axis, values]) =>
      values === null ? [] : [[axis, axisOf(axis, values)]],
    ),
  );
  if (Object.keys(axes).length === 0) throw new RangeError('axes: expected at least one, got none');
  const experiment: Experiment = {
    title: text('title', file.title),
    question: text('question', file.question),
    corpus: text('corpus', file.corpus),
    settings,
    axes,
    seeds: whole('seeds', file.seeds, MAX_SEEDS),
    firstSeed: whole('firstSeed', file.firstSeed ?? DEFAULTS.firstSeed),
    tokens: whole('tokens', file.tokens),
    evaluations: whole('evaluations', file.evaluations ?? DEFAULTS.evaluations),
    measures: measuresOf(file.measures ?? DEFAULTS.measures),
    baseline: baselineOf(file.baseline ?? {}, axes),
    divergence: divergenceOf(record('divergence', file.divergence ?? DEFAULTS.divergence)),
    ...(file.within !== undefined && { within: above('within', file.within, 0) }),
  };
  return Object.freeze(experiment);
}

function axisOf(axis: string, given: Json): AxisValue[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw new TypeError(`axes.${axis}: expected a list of values, got ${show(given)}`);
  }
  const values = given.map((value, i) => axisValue(axis, `axes.${axis}[${i}]`, value));
  const twice = values.find(({ name }, i) => values.findIndex((other) => other.name === name) !== i);
  if (twice) throw new RangeError(`axes.${axis}: expected different names, got ${JSON.stringify(twice.name)} twice`);
  return values;
}

/** Reads an axis value; a plain value is a value of the setting that the axis is named after. */
function axisValue(axis: string, at: string, given: Json): AxisValue {
  if (typeof given !== 'object' || given === null) {
    settingPath(`axes.${axis}`, axis);
    return { name: String(given), set: { [axis]: given } };
  }
  const value = record(at, given);
  known(`${at}.`, value, ['name', 'set', 'within']);
  const set = record(`${at}.set`, value.set);
  for (const path of Object.keys(set)) settingPath(`${at}.set`, path);
  return {
    name: text(`${at}.name`, value.name),
    set,
    ...(value.within !== undefined && { within: above(`${at}.within`, value.within, 0) }),
  };
}

function settingPath(at: string, path: string): void {
  const [name, ...fields] = path.split('.');
  // It would change the prototype of all objects.
  if (SETTING_NAMES.includes(name) && !fields.includes('__proto__')) return;
  const own = OWN.includes(name) ? `; the study itself sets ${name === 'seed' ? 'seeds' : 'steps, from tokens'}` : '';
  throw new TypeError(`${at}: expected a setting of ${SETTING_NAMES.join(', ')}, got ${JSON.stringify(path)}${own}`);
}

function measuresOf(given: Json): MeasureName[] {
  const names = Array.isArray(given) ? given : [given];
  if (names.length > 0 && names.every(isMeasure)) return names;
  const got = JSON.stringify(names.find((name) => !isMeasure(name)) ?? []);
  throw new RangeError(`measures: expected some of ${Object.keys(MEASURES).join(', ')}, got ${got}`);
}

function baselineOf(given: Json, axes: Experiment['axes']): Record<string, string> {
  const entries = Object.entries(record('baseline', given)).map(([axis, value]) => {
    if (!Object.hasOwn(axes, axis)) {
      throw new TypeError(`baseline: expected an axis of ${Object.keys(axes).join(', ')}, got ${JSON.stringify(axis)}`);
    }
    const names = axes[axis].map(({ name }) => name);
    if (!names.includes(String(value))) {
      throw new RangeError(`baseline.${axis}: expected one of ${names.join(', ')}, got ${JSON.stringify(value)}`);
    }
    return [axis, String(value)] as const;
  });
  return Object.fromEntries(entries);
}

function divergenceOf(given: JsonRecord): Divergence {
  known('divergence.', given, Object.keys(DIVERGENCE));
  return {
    rise: above('divergence.rise', given.rise ?? DIVERGENCE.rise, 1),
    maxLoss: above('divergence.maxLoss', given.maxLoss ?? DIVERGENCE.maxLoss, 0),
  };
}

function known(at: string, given: JsonRecord, fields: readonly string[]): void {
  const unknown = Object.keys(given).find((name) => !fields.includes(name));
  if (unknown !== undefined) throw new TypeError(`${at}${unknown}: expected a field of ${fields.join(', ')}`);
}

function record(name: string, value: unknown): JsonRecord {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonRecord;
  throw new TypeError(`${name}: expected a record, got ${show(value)}`);
}

function text(name: string, value: unknown): string {
  if (typeof value === 'string' && value.trim() !== '') return value;
  throw new TypeError(`${name}: expected text, got ${show(value)}`);
}

/** An integer of at least 1. */
export function whole(name: string, value: unknown, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw new TypeError(`${name}: expected an integer, got ${show(value)}`);
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
  const bound = most === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${most}`;
  throw new RangeError(`${name}: expected an integer of at least 1${bound}, got ${value}`);
}

function above(name: string, value: unknown, least: number): number {
  if (typeof value !== 'number') throw new TypeError(`${name}: expected a number, got ${show(value)}`);
  if (value > least && value < Number.POSITIVE_INFINITY) return value;
  throw new RangeError(`${name}: expected a number above ${least}, got ${value}`);
}

const show = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
