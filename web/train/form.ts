/** The settings that the form shows, as fields, and as an address to share. */
import { SETTINGS, type TrainSettingsInput, trainSettings } from '../../src/train/options.js';

export interface Field {
  /** Of `TrainSettingsInput`, or of its `config`. */
  readonly name: string;
  readonly label: string;
  readonly help: string;
  readonly inConfig?: boolean;
}

const model = (name: string, label: string, help: string): Field => ({ name, label, help, inConfig: true });
const field = (name: keyof typeof SETTINGS, label: string, help: string): Field => ({ name, label, help });

export const GROUPS: readonly { readonly title: string; readonly fields: readonly Field[] }[] = [
  {
    title: 'Length',
    fields: [
      field('steps', 'Steps', 'Updates of the weights. The learning rate is planned over all of them.'),
      field('batchSize', 'Batch size', 'Sequences that are read at once. More cost memory and make steps steadier.'),
      field('blockSize', 'Block size', 'Bytes in a sequence: how far back the model can look.'),
      field(
        'gradientAccumulation',
        'Passes per step',
        'Batches whose gradients are summed: a larger batch without more memory.',
      ),
    ],
  },
  {
    title: 'Model',
    fields: [
      model('layers', 'Layers', 'Blocks of attention and feed-forward, one after the other.'),
      model('hiddenSize', 'Width', 'Numbers that stand for one byte inside. A multiple of the heads.'),
      model('heads', 'Heads', 'Places in the text that a layer can attend to at once.'),
      model('kvHeads', 'Key and value heads', 'Fewer than heads share keys and values. Empty: as many.'),
      model('intermediateSize', 'Feed-forward width', 'Empty: 8/3 of the width, rounded up to 32.'),
    ],
  },
  {
    title: 'Optimizer',
    fields: [
      field('learningRate', 'Learning rate', 'Size of the steps at their peak. Too large, and the loss jumps.'),
      field('minLearningRate', 'Final learning rate', 'Empty: a tenth of the peak.'),
      field('warmupSteps', 'Warm-up steps', 'Steps over which the rate rises. Empty: a twentieth, at most 100.'),
      field('weightDecay', 'Weight decay', 'Pulls weights of matrices towards zero.'),
      field('beta1', 'Beta 1', 'Memory of the mean gradient.'),
      field('beta2', 'Beta 2', 'Memory of the squared gradient.'),
      field('gradClip', 'Gradient clip', 'Largest norm of the gradient; 0 for any.'),
      field('seed', 'Seed', 'Decides weights, order of the text and rounding. The same seed gives the same bits.'),
      field('valFraction', 'Held out', 'Share of the text, at its end, that only measures.'),
    ],
  },
];

const FIELDS = GROUPS.flatMap(({ fields }) => fields);
/** Values as they were typed; an empty one leaves the choice to the engine. */
export type Values = Readonly<Record<string, string>>;

export function valuesOf({ config, recipe, ...rest }: TrainSettingsInput): Values {
  const given = { ...config, ...rest } as Record<string, unknown>;
  const text = (value: unknown) => (value === undefined ? '' : String(value));
  const shown = FIELDS.map(({ name }) => {
    const rule = SETTINGS[name as keyof typeof SETTINGS];
    const fallback = typeof rule?.fallback === 'number' ? rule.fallback : undefined;
    return [name, text(given[name] ?? fallback)];
  });
  return { ...Object.fromEntries(shown), recipe: typeof recipe === 'string' ? recipe : 'fp8' };
}

/** The settings, or what is wrong with them, by the name of the field that says so. */
export function settingsOf(values: Values): { input?: TrainSettingsInput; error?: string } {
  const numbers = (inConfig: boolean) =>
    Object.fromEntries(
      FIELDS.filter((each) => Boolean(each.inConfig) === inConfig && values[each.name]?.trim()).map(({ name }) => [
        name,
        Number(values[name]),
      ]),
    );
  const config = { vocabSize: 256, tieWordEmbeddings: true, ...numbers(true) } as TrainSettingsInput['config'];
  const input: TrainSettingsInput = { config, recipe: values.recipe, ...numbers(false) };
  try {
    const labels = Object.fromEntries(FIELDS.map(({ name, label }) => [name, label]));
    trainSettings(input, labels);
    return { input };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

export function queryOf(values: Values, text: string | undefined): URLSearchParams {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== ''));
  if (text) query.set('text', text);
  return query;
}

export function valuesFrom(query: URLSearchParams, otherwise: Values): Values {
  const names = [...FIELDS.map(({ name }) => name), 'recipe'];
  const given = names.filter((name) => query.has(name)).map((name) => [name, query.get(name)!]);
  // Who names any setting names them all: an empty field is one that was left to the engine.
  const rest = given.length > 0 ? Object.fromEntries(names.map((name) => [name, ''])) : {};
  return { ...otherwise, ...rest, ...Object.fromEntries(given), recipe: query.get('recipe') ?? otherwise.recipe };
}
