/** An experiment as a file says it: a base of training settings, what varies, for how long, and what is compared. */
import { SETTINGS } from '../train/settings.js';
import { isMeasure, MEASURES, type MeasureName } from './measures.js';

/** JSON, as a file holds it. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type JsonRecord = { readonly [key: string]: Json };

/** One value of an axis: a name, and the settings it stands for, by path: `learningRate`, `config.layers`, `recipe.firstMoment`. */
export interface AxisValue {
  readonly name: string;
  readonly set: JsonRecord;
  /** The bound on the relative difference to the baseline, where it is another than the experiment's. */
  readonly within?: number;
}

/** When a run counts as diverged, beside those that an anomaly ended. */
export interface Divergence {
  /** Its final validation loss is above so many times the lowest it ever had. */
  readonly rise: number;
  /** Its final validation loss is above this, nats a byte. */
  readonly maxLoss: number;
}

/** What one size of an experiment is. */
export interface Experiment {
  readonly title: string;
  /** What is asked, and what is known: for the head of the report. */
  readonly question: string;
  /** Name of the text; CORPORA of the command line has them. */
  readonly corpus: string;
  /** Training settings that all runs share, but for seed and steps. */
  readonly settings: JsonRecord;
  /** In the order of the report: lines are drawn by the first. */
  readonly axes: Readonly<Record<string, readonly AxisValue[]>>;
  /** How many, one after the other from the first. */
  readonly seeds: number;
  readonly firstSeed: number;
  /** Of training, for each run; whole steps, rounded up. */
  readonly tokens: number;
  /** Evaluations in each run, evenly spaced. */
  readonly evaluations: number;
  /** What is compared; the first is the one of the headline. */
  readonly measures: readonly MeasureName[];
  /** A value for some of the axes: what the others are compared with, where the rest is equal. */
  readonly baseline: Readonly<Record<string, string>>;
  /** Relative difference to the baseline within which a validation loss counts as the same. */
  readonly within?: number;
  readonly divergence: Divergence;
}

export type Size = 'full' | 'quick';

const DEFAULTS = { firstSeed: 1, evaluations: 20, measures: ['val_loss'], divergence: {} } as const;
/** A fifth above what it had learnt is no fluctuation of an evaluation; ln 256 is the loss of a guess. */
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
/** What `quick` may say otherwise. */
const QUICK_FIELDS = ['settings', 'axes', 'seeds', 'firstSeed', 'tokens', 'evaluations'];

/** Set by the study itself. */
const OWN = ['steps', 'seed'];
const SETTING_NAMES = [...Object.keys(SETTINGS).filter((name) => !OWN.includes(name)), 'config', 'recipe', 'alignment'];

/**
 * The experiment in a parsed file, in one of its sizes. Settings are checked for their names here, and for their values where the runs are
 * made of them.
 *
 * @throws TypeError for the wrong kind or an unknown field, RangeError for the wrong value: field, expected, got.
 */
export function experimentOf(file: unknown, size: Size = 'full'): Experiment {
  const whole = record('experiment', file);
  known('', whole, FIELDS);
  const quick = record('quick', whole.quick ?? {});
  known('quick.', quick, QUICK_FIELDS);
  // Both are checked, whichever is wanted: a file is right or wrong as a whole.
  const sizes = { full: checked(whole), quick: checked(merged(whole, quick)) };
  return sizes[size];
}

/** Settings are merged by field, axes by name; an axis may be left out as null. */
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
    seeds: whole('seeds', file.seeds),
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

/** A plain value is one of the setting that the axis is called after. */
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
  const [name] = path.split('.');
  if (SETTING_NAMES.includes(name)) return;
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

function whole(name: string, value: unknown): number {
  if (typeof value !== 'number') throw new TypeError(`${name}: expected an integer, got ${show(value)}`);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new RangeError(`${name}: expected an integer of at least 1, got ${value}`);
}

function above(name: string, value: unknown, least: number): number {
  if (typeof value !== 'number') throw new TypeError(`${name}: expected a number, got ${show(value)}`);
  if (value > least && value < Number.POSITIVE_INFINITY) return value;
  throw new RangeError(`${name}: expected a number above ${least}, got ${value}`);
}

const show = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
