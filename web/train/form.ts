/** The settings of the form, in groups, and as an address to share. Their descriptions come from src/train/settings.ts. */
import { ABOUT_RECIPES } from '../../src/ops/recipe.js';
import {
  type Intervals,
  runIntervals,
  type TrainSettings,
  type TrainSettingsInput,
  trainSettings,
} from '../../src/train/options.js';
import { INTERVALS, POLICY, SETTINGS, SIZES, type Words } from '../../src/train/settings.js';

/** Where a setting belongs: the model's configuration, the other training settings, or what a run does besides training. */
type Part = 'config' | 'settings' | 'intervals';

export interface Field extends Words {
  readonly name: string;
  readonly part: Part;
  /** Choices of a field that is not a number. */
  readonly choices?: readonly string[];
}

const of = <Name extends string>(part: Part, table: Readonly<Record<Name, Words>>, ...names: Name[]): Field[] =>
  names.map((name) => ({ name, part, ...table[name] }));

const TIED: Field = {
  name: 'tieWordEmbeddings',
  part: 'config',
  label: 'Tied head',
  about: 'whether the head multiplies by the embedding, or by a matrix of its own',
  choices: ['yes', 'no'],
};

export const GROUPS: readonly { readonly title: string; readonly fields: readonly Field[] }[] = [
  {
    title: 'Length',
    fields: of('settings', SETTINGS, 'steps', 'batchSize', 'blockSize', 'gradientAccumulation'),
  },
  {
    title: 'Model',
    fields: [...of('config', SIZES, 'layers', 'hiddenSize', 'heads', 'kvHeads', 'intermediateSize'), TIED],
  },
  {
    title: 'Optimizer',
    fields: of(
      'settings',
      SETTINGS,
      'learningRate',
      'minLearningRate',
      'warmupSteps',
      'weightDecay',
      'beta1',
      'beta2',
      'eps',
      'gradClip',
    ),
  },
  { title: 'Chance and measure', fields: of('settings', SETTINGS, 'seed', 'valFraction') },
  {
    title: 'Guard',
    fields: [
      { name: 'onAnomaly', part: 'settings', ...POLICY },
      ...of('settings', SETTINGS, 'lossSpike', 'maxSaturated', 'maxUnderflowed', 'rewindInterval'),
    ],
  },
  {
    title: 'Record',
    fields: of(
      'intervals',
      INTERVALS,
      'evalInterval',
      'evalWindows',
      'sampleInterval',
      'monitorInterval',
      'sharpnessInterval',
      'checkpointMinutes',
    ),
  },
];

export const RECIPE: Field = {
  name: 'recipe',
  part: 'settings',
  label: 'Recipe',
  about: '',
  choices: Object.keys(ABOUT_RECIPES),
};

const FIELDS = [RECIPE, ...GROUPS.flatMap(({ fields }) => fields)];
const LABELS = Object.fromEntries(FIELDS.map(({ name, label }) => [name, label]));

/** Values as typed; an empty one leaves the choice to the engine. */
export type Values = Readonly<Record<string, string>>;

const typed = (value: unknown): string => (typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value ?? ''));

export function valuesOf({ config, ...rest }: TrainSettingsInput, intervals: Partial<Intervals> = {}): Values {
  const given = { ...config, ...rest, ...intervals } as Record<string, unknown>;
  return Object.fromEntries(FIELDS.map(({ name }) => [name, typed(given[name])]));
}

/** What a run in the page records by default: ten samples, and fifty monitored steps (each costs about one cast of all operands). */
const recorded = (steps: number): Partial<Intervals> => ({
  sampleInterval: Math.max(50, Math.round(steps / 10)),
  monitorInterval: Math.max(10, Math.ceil(steps / 50)),
  checkpointMinutes: 0.5,
});

export interface Checked {
  readonly input: TrainSettingsInput;
  readonly settings: TrainSettings;
  readonly intervals: Intervals;
  /** Values of all fields, including those left empty. */
  readonly values: Values;
}

/** What is wrong, and which field it concerns, if it concerns one. */
export interface Wrong {
  readonly message: string;
  readonly field?: string;
}

export function checked(values: Values): Checked | Wrong {
  const parts: Record<Part, Record<string, unknown>> = { config: { vocabSize: 256 }, settings: {}, intervals: {} };
  for (const { name, label, part, choices } of FIELDS) {
    const text = values[name]?.trim();
    if (!text) continue;
    const value = choices ? text : Number(text);
    if (Number.isNaN(value)) return { message: `${label}: expected a number, got “${text}”`, field: name };
    parts[part][name] = name === TIED.name ? text === 'yes' : value;
  }
  const input = { ...parts.settings, config: parts.config } as unknown as TrainSettingsInput;
  try {
    const settings = trainSettings(input, LABELS);
    const intervals = runIntervals({ ...recorded(settings.steps), ...parts.intervals }, LABELS);
    return { input, settings, intervals, values: valuesOf({ ...settings, recipe: values.recipe }, intervals) };
  } catch (error) {
    const { message } = error as Error;
    const field = FIELDS.find(({ name, label }) => message.startsWith(`${label}: `) || message.startsWith(`${name}: `));
    return { message, field: field?.name };
  }
}

/** The query for typed and emptied values, and for the text, if others have it too. */
export function queryOf(values: Values, text: string | undefined, otherwise: Values): URLSearchParams {
  const query = new URLSearchParams(Object.entries(values).filter(([name, value]) => value || otherwise[name]));
  if (text) query.set('text', text);
  return query;
}

/** The values given by a link; `otherwise` for the rest. */
export function valuesFrom(query: URLSearchParams, otherwise: Values): Values {
  const given = FIELDS.filter(({ name }) => query.has(name)).map(({ name }) => [name, query.get(name)!]);
  return { ...otherwise, ...Object.fromEntries(given) };
}
