/** The form before a run: its fields are those of the table of settings, its refusals name them, its links say all of it. */
import { describe, expect, it } from 'vitest';
import { trainCommand } from '../src/cli/train.js';
import { ABOUT_RECIPES, RECIPES } from '../src/ops/recipe.js';
import { trainSettings } from '../src/train/options.js';
import { INTERVALS, SETTINGS, SIZES } from '../src/train/settings.js';
import { type Checked, checked, GROUPS, queryOf, valuesFrom, type Wrong } from '../web/train/form.js';
import { chosen, isChosen, PRESETS } from '../web/train/presets.js';

const { values } = PRESETS[0];
const well = (changed: object) => checked({ ...values, ...changed }) as Checked;
const refused = (changed: object) => checked({ ...values, ...changed }) as Wrong;

describe('one table', () => {
  it('has a field for every setting of a run, and a flag with the same words', () => {
    const fields = GROUPS.flatMap((group) => group.fields);
    for (const name of [...Object.keys(SETTINGS), ...Object.keys(SIZES)]) {
      const field = fields.find((each) => each.name === name);
      expect(field, name).toMatchObject({ ...SETTINGS, ...SIZES }[name as 'steps']);
    }
    const help = trainCommand().options.map(({ description }) => description);
    // Epsilon has no flag.
    for (const [name, { about }] of Object.entries({ ...SETTINGS, ...SIZES, ...INTERVALS })) {
      if (['eps', 'healthInterval'].includes(name)) continue;
      expect(
        help.filter((each) => each.startsWith(`${about} (default: `)),
        name,
      ).toHaveLength(1);
    }
  });

  it('says what every recipe is', () => {
    expect(Object.keys(ABOUT_RECIPES)).toEqual(Object.keys(RECIPES));
  });
});

describe('values', () => {
  it('that are empty are left to the engine, and shown as what they come to', () => {
    const { input, settings, values: complete, intervals } = well({ steps: '400', learningRate: '0.01' });
    expect(input).not.toHaveProperty('warmupSteps');
    expect(settings).toEqual(trainSettings({ ...input, config: { ...input.config, tieWordEmbeddings: true } }));
    expect(complete).toMatchObject({
      warmupSteps: '20',
      minLearningRate: '0.001',
      kvHeads: '4',
      tieWordEmbeddings: 'yes',
    });
    expect(intervals).toMatchObject({ sampleInterval: 50, monitorInterval: 10, evalInterval: 100 });
    expect(well({ tieWordEmbeddings: 'no' }).settings.config.tieWordEmbeddings).toBe(false);
  });

  it.each([
    [{ steps: 'abc' }, 'steps', 'Steps: expected a number, got “abc”'],
    [{ steps: '1,000' }, 'steps', 'Steps: expected a number, got “1,000”'],
    [{ batchSize: '1.5' }, 'batchSize', 'Batch size: expected an integer of at least 1, got 1.5'],
    [{ hiddenSize: '63' }, 'hiddenSize', 'Width: expected a multiple of Heads = 4, got 63'],
    [{ beta1: '1' }, 'beta1', 'Beta 1: expected a number above 0 and below 1, got 1'],
    [{ evalInterval: '0' }, 'evalInterval', 'Evaluate every: expected an integer of at least 1, got 0'],
    [{ recipe: 'fp9' }, 'recipe', `recipe: expected one of ${Object.keys(RECIPES).join(', ')}, got "fp9"`],
    [{ onAnomaly: 'pray' }, 'onAnomaly', "On an anomaly: expected one of stop, skip, rewind, got 'pray'"],
  ])('that are wrong are refused by their field: %j', (changed, field, message) => {
    expect(refused(changed)).toEqual({ field, message });
  });

  it('that only together are wrong are refused too', () => {
    expect(refused({ heads: '64' }).message).toContain('Width / Heads: expected an even number');
  });
});

describe('links', () => {
  it('say what was typed and what was emptied, and the rest is as it would be', () => {
    const changed = { ...values, steps: '', learningRate: '0.01', recipe: 'bf16' };
    const query = queryOf(changed, 'moby-dick', values);
    expect(valuesFrom(new URLSearchParams(query.toString()), values)).toEqual(changed);
    expect(query.get('text')).toBe('moby-dick');
    expect(valuesFrom(new URLSearchParams('recipe=f32&nothing=1'), values)).toEqual({ ...values, recipe: 'f32' });
  });
});

it('presets are told apart, keep the recipe, and fit', () => {
  for (const preset of PRESETS) {
    const next = chosen(preset, { ...values, recipe: 'bf16', seed: '7' });
    expect(next).toMatchObject({ recipe: 'bf16', seed: '7' });
    expect(PRESETS.filter((each) => isChosen(each, next))).toEqual([preset]);
    expect(checked(next)).toHaveProperty('input');
  }
});
