/** Recipes are data: frozen records with a name, and what is not one is refused with the names there are. */
import { describe, expect, it } from 'vitest';
import { isFloat8, RECIPES, type Recipe, recipeOf, usesFloat8 } from '../src/ops/recipe.js';
import { trainSettings } from '../src/train/options.js';
import { QUICK, SMOOTH_CHANNEL } from './helpers/training.js';

const E8M3 = { format: 'E8M3', rounding: 'towardZero', roles: ['forward.input', 'backward.gradOutput'] };
const NAMES = ['fp8', 'fp8-plain', 'fp8-current', 'fp8-block', 'mxfp8', 'bf16', 'bf16-pure', 'f32'];

/** Every record inside a value, itself included. */
function records(value: unknown): object[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value, ...Object.values(value).flatMap(records)];
}

describe('the named recipes', () => {
  it('are these, and none can be changed', () => {
    expect(Object.keys(RECIPES)).toEqual(NAMES);
    for (const [name, recipe] of Object.entries(RECIPES)) expect(recipe.name).toBe(name);
    for (const record of records(RECIPES)) expect(Object.isFrozen(record), JSON.stringify(record)).toBe(true);
  });

  it('fp8 is the recipe of the paper', () => {
    expect(RECIPES.fp8).toEqual({
      name: 'fp8',
      storage: 'bfloat16',
      forward: { input: 'float8_e4m3fn', weight: 'float8_e4m3fn' },
      backward: { input: 'float8_e5m2', weight: 'float8_e5m2', gradOutput: 'float8_e5m2' },
      gradOutputRounding: 'stochastic',
      scaling: { mode: 'delayed', history: 1, algorithm: 'max', margin: 0, interval: 1 },
      gradOutputScale: 'scaling',
      outlierClip: 0,
      swiglu: 'smooth-token',
      gradient: 'float32',
      masterWeight: 'float16',
      firstMoment: 'float8_e4m3fn',
      secondMoment: 'float8_e5m2',
      momentScaling: 'tensor',
      momentRounding: 'tiesToEven',
      masterRounding: 'stochastic',
    });
    expect(RECIPES['fp8-plain']).toEqual({ ...RECIPES.fp8, name: 'fp8-plain', swiglu: 'plain' });
  });

  it('only the FP8 ones run linears in FP8', () => {
    expect(
      Object.values(RECIPES)
        .filter(usesFloat8)
        .map(({ name }) => name),
    ).toEqual(['fp8', 'fp8-plain', 'fp8-current', 'fp8-block', 'mxfp8']);
    expect(['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3'].every((dtype) => isFloat8(dtype as never))).toBe(true);
    expect(['bfloat16', 'float16', 'float32'].some((dtype) => isFloat8(dtype as never))).toBe(false);
  });
});

describe('a recipe', () => {
  it('is found by its name, or is the record itself', () => {
    expect(recipeOf('bf16')).toBe(RECIPES.bf16);
    expect(recipeOf(SMOOTH_CHANNEL)).toBe(SMOOTH_CHANNEL);
  });

  it.each(['fp9', '', 'FP8', 'toString', '__proto__', 'constructor'])('%o is not a name of one', (name) => {
    const line = `recipe: expected one of ${NAMES.join(', ')}, got ${JSON.stringify(name)}`;
    expect(() => recipeOf(name)).toThrow(RangeError);
    expect(() => recipeOf(name)).toThrow(line);
  });

  it.each([
    [
      { ...SMOOTH_CHANNEL, swiglu: 'smooth' },
      'recipe.swiglu: expected one of plain, smooth-token, smooth-channel, got "smooth"',
    ],
    [
      { ...SMOOTH_CHANNEL, firstMoment: 'float8_e8m0fnu' },
      /^recipe\.firstMoment: expected one of float8_e4m3fn, .*, got "float8_e8m0fnu"$/,
    ],
    [
      { ...SMOOTH_CHANNEL, forward: { input: 'bfloat16' } },
      /^recipe\.forward\.weight: expected one of .*, got nothing$/,
    ],
    [{ ...SMOOTH_CHANNEL, forward: 'bfloat16' }, 'recipe.forward: expected a record of input, weight, got "bfloat16"'],
    [
      { ...SMOOTH_CHANNEL, margin: 1 },
      /^recipe\.margin: expected a field of name, storage, forward, backward, .*, reduce$/,
    ],
    [
      { ...SMOOTH_CHANNEL, scaling: { mode: 'dynamic' } },
      'recipe.scaling.mode: expected one of none, delayed, current, row, block, mx, got "dynamic"',
    ],
    [
      { ...SMOOTH_CHANNEL, scaling: { ...RECIPES.fp8.scaling, history: 0 } },
      'recipe.scaling.history: expected an integer from 1 to 1024, got 0',
    ],
    [{ ...SMOOTH_CHANNEL, scaling: { mode: 'mx' } }, 'recipe.scaling.scale: expected one of rceil, floor, got nothing'],
    [{ ...SMOOTH_CHANNEL, scaling: { mode: 'current', margin: 1 } }, 'recipe.scaling.margin: expected a field of mode'],
    [
      { ...SMOOTH_CHANNEL, scaling: { mode: 'none' } },
      'recipe.scaling.mode: expected one of delayed, current, row, block, mx for operands of 8 bits, got "none"',
    ],
    [{ ...SMOOTH_CHANNEL, outlierClip: 0.6 }, 'recipe.outlierClip: expected a number from 0 to 0.5, got 0.6'],
    [
      { ...RECIPES.bf16, outlierClip: 0.1 },
      'recipe.outlierClip: expected 0 for operands that are not cast to 8 bits, got 0.1',
    ],
    [
      { ...RECIPES.bf16, reduce: { ...E8M3, format: 'E8M8' } },
      'recipe.reduce.format: expected one of E2M0 to E8M7 for these operands, got "E8M8"',
    ],
    [
      { ...RECIPES.bf16, reduce: { ...E8M3, rounding: 'stochastic' } },
      'recipe.reduce.rounding: expected one of towardZero, tiesToEven, got "stochastic"',
    ],
    [
      { ...RECIPES.bf16, reduce: { ...E8M3, roles: ['input'] } },
      /^recipe\.reduce\.roles: expected some of forward\.input, /,
    ],
    [
      { ...RECIPES.bf16, reduce: { ...E8M3, scale: 1 } },
      'recipe.reduce.scale: expected a field of format, rounding, roles',
    ],
    [
      { ...SMOOTH_CHANNEL, reduce: E8M3 },
      'recipe.reduce.roles: expected operands that are bfloat16 or float32, got "forward.input"',
    ],
    [
      { ...RECIPES.bf16, momentScaling: 'block-256' },
      'recipe.momentScaling: expected tensor for moments of float32 and float32, which have no scales, got "block-256"',
    ],
    [
      { ...RECIPES['fp8-current'], gradOutputScale: 'adaptive' },
      'recipe.gradOutputScale: expected scaling where scales are not delayed or gradOutput has no 8 bits, got "adaptive"',
    ],
    [{ ...SMOOTH_CHANNEL, scaling: 'delayed' }, 'recipe.scaling: expected a record of mode, got "delayed"'],
    [
      { ...SMOOTH_CHANNEL, forward: { ...SMOOTH_CHANNEL.forward, gradOutput: 'float8_e5m2' } },
      'recipe.forward.gradOutput: expected a field of input, weight',
    ],
    [
      { ...SMOOTH_CHANNEL, masterWeight: { dtype: 'float16' } },
      /^recipe\.masterWeight: expected one of .*, got \{"dtype":"float16"\}$/,
    ],
    [
      { ...SMOOTH_CHANNEL, scaling: { ...SMOOTH_CHANNEL.scaling, margin: Number.NaN } },
      'recipe.scaling.margin: expected an integer from 0 to 16, got NaN',
    ],
    [{}, 'recipe.name: expected a string, got nothing'],
    [7, 'recipe: expected a name or a record, got 7'],
    [null, 'recipe: expected a name or a record, got null'],
    [['fp8'], 'recipe: expected a name or a record, got ["fp8"]'],
  ])('%j is none: the field is named, and its choices', (recipe, message) => {
    expect(() => recipeOf(recipe as Recipe)).toThrow(message);
    expect(() => trainSettings({ ...QUICK, recipe: recipe as Recipe })).toThrow(message);
  });

  it('with MX scales takes whole blocks along every sum', () => {
    expect(() => trainSettings({ ...QUICK, recipe: 'mxfp8' })).not.toThrow();
    const config = { ...QUICK.config, intermediateSize: 72 };
    expect(() => trainSettings({ ...QUICK, config, recipe: 'mxfp8' })).toThrow(
      'recipe.scaling.mode: expected sizes that are multiples of 32 for mx, got 144 in layers.0.gate_up',
    );
    expect(() => trainSettings({ ...QUICK, batchSize: 1, blockSize: 33, recipe: 'mxfp8' })).toThrow(
      /got 33 in batchSize x blockSize$/,
    );
  });

  it('of a run cannot be changed by whoever gave it', () => {
    const own = { ...SMOOTH_CHANNEL, forward: { ...SMOOTH_CHANNEL.forward } };
    const { recipe } = trainSettings({ ...QUICK, recipe: own });
    for (const record of records(recipe)) expect(Object.isFrozen(record)).toBe(true);
    (own.forward as { input: Recipe['forward']['input'] }).input = 'bfloat16';
    expect(recipe).toEqual(SMOOTH_CHANNEL);
    expect(Object.isFrozen(own)).toBe(false);
  });
});
