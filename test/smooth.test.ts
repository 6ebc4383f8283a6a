/** Smooth-SwiGLU is SwiGLU: without quantisation to the bit, in training and folded into the saved weights. */
import { describe, expect, it } from 'vitest';
import { read } from '../src/ops/quantize.js';
import { RECIPES, type Recipe } from '../src/ops/recipe.js';
import { DataOrder } from '../src/train/data.js';
import { trainSettings } from '../src/train/options.js';
import { freeState, inferenceModel, initialState } from '../src/train/state.js';
import { evaluate, trainStep } from '../src/train/step.js';
import { expectSame } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { QUICK, SMOOTH_CHANNEL, useEngine } from './helpers/training.js';
import * as truth from './reference/float64.js';

const engine = useEngine();
const MODES = ['smooth-token', 'smooth-channel'] as const;
const [ROWS, F, C] = [6, 8, 5];

/** A factor for each row, each channel, or neither; powers of two, as the recipe's. */
function factors(random: Random, mode: Recipe['swiglu']): { s: Float32Array; inverse: Float32Array } {
  const power = (some: boolean) => () => (some ? 2 ** random.integer(-9, 9) : 1);
  return {
    s: Float32Array.from({ length: ROWS }, power(mode === 'smooth-token')),
    inverse: Float32Array.from({ length: F }, power(mode === 'smooth-channel')),
  };
}

describe('in float64', () => {
  it.each(MODES)('%s: the output and the gradients of gates, ups and weight are those of SwiGLU', (mode) => {
    const random = new Random(1);
    const gateUp = Float64Array.from(random.normals(2 * ROWS * F, 2));
    gateUp.fill(0, 0, 2 * F);
    const [w, dOut] = [random.normals(C * F), random.normals(ROWS * C)];
    const one = { s: new Float32Array(ROWS).fill(1), inverse: new Float32Array(F).fill(1) };
    const out = (at: ArrayLike<number>, weight: ArrayLike<number>, { s, inverse }: typeof one) => {
      const y = truth.swiglu(at, F, s, inverse);
      // s of a channel is folded into the columns of W, s of a row comes back after the product.
      const folded = Array.from(weight, (value, i) => value / inverse[i % F]);
      return truth.linear(y, folded, F).map((value, i) => value * s[Math.floor(i / C)]);
    };
    const smooth = factors(random, mode);
    // Powers of two round nothing, so every float64 operation gives the same significand.
    expect([...out(gateUp, w, smooth)]).toEqual([...out(gateUp, w, one)]);
    expect(out(gateUp, w, smooth).every(Number.isFinite)).toBe(true);
    const loss = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value, i) => sum + value * dOut[i], 0);
    for (const [name, at, f] of [
      ['gates and ups', gateUp, (x: ArrayLike<number>, k: typeof one) => loss(out(x, w, k))],
      ['weight', w, (x: ArrayLike<number>, k: typeof one) => loss(out(gateUp, x, k))],
    ] as const) {
      const [a, b] = [smooth, one].map((k) => truth.gradient((x) => f(x, k), at));
      expect([...a], name).toEqual([...b]);
    }
  });
});

/** Parameters after some steps, and what they are when saved. */
function trained(recipe: Recipe, steps = 4) {
  const settings = trainSettings({ ...QUICK, recipe });
  const state = initialState(engine(), settings);
  const data = new DataOrder(QUICK.data, settings.blockSize, settings.seed);
  const losses = Array.from({ length: steps }, () => trainStep(engine(), settings, state, data).loss);
  const weights = new Map(
    state.table.map(({ name }) => [name, read(engine(), state.parameters.get(name)!.master)] as const),
  );
  const val = evaluate(engine(), settings, state, QUICK.data.subarray(0, 500));
  const down = engine().scoped(() =>
    read(engine(), inferenceModel(engine(), settings, state).weights.get('layers.1.down')!.forward),
  );
  freeState(engine(), state);
  return { losses, weights, val, down };
}

describe('a run without quantisation', () => {
  it.each(MODES)('%s: every weight after four steps has the bits of SwiGLU, and so has the saved model', (swiglu) => {
    const plain = trained(RECIPES.f32);
    const smooth = trained({ ...RECIPES.f32, swiglu });
    expect(smooth.losses).toEqual(plain.losses);
    for (const [name, values] of plain.weights) expectSame(smooth.weights.get(name)!, values, name);
    expect(smooth.val).toBe(plain.val);
    // Per channel the saved weights are others: the factors are in them.
    const same = smooth.down.every((value, i) => value === plain.down[i]);
    expect(same).toBe(swiglu === 'smooth-token');
  });
});

it('folded into FP8 weights it costs no more than their rounding', () => {
  const smooth = trained(SMOOTH_CHANNEL, 30);
  const other = trained({ ...RECIPES.fp8, swiglu: 'plain' }, 30);
  // Two runs whose losses part by rounding alone; the validation loss of either is near 3.5.
  expect(Math.abs(smooth.val / other.val - 1)).toBeLessThan(0.03);
});
