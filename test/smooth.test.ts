/** Smooth-SwiGLU is SwiGLU: without quantisation to the bit, in training and folded into the saved weights. */
import { describe, expect, it } from 'vitest';
import { forward } from '../src/model/transformer.js';
import { read } from '../src/ops/quantize.js';
import { RECIPES, type Recipe } from '../src/ops/recipe.js';
import { upload } from '../src/ops/tensor.js';
import { DataOrder } from '../src/train/data.js';
import { trainSettings } from '../src/train/options.js';
import { freeState, inferenceCasts, inferenceModel, initialState } from '../src/train/state.js';
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

describe('folded into the saved weights', () => {
  const TOKENS = QUICK.data.subarray(0, 24);

  /** Of one state, with what its channels were divided by and without: the saved weights, and the logits they give. */
  function exported(recipe: Recipe) {
    const rt = engine();
    const settings = trainSettings({ ...QUICK, recipe });
    const state = initialState(rt, settings);
    const data = new DataOrder(QUICK.data, settings.blockSize, settings.seed);
    for (let step = 0; step < 8; step++) trainStep(rt, settings, state, data);
    const scales = new Map([...state.scales.channels].map(([key, { previous }]) => [key, channelScales(previous)]));
    const saved = () =>
      rt.scoped(() => {
        const model = inferenceModel(rt, settings, state);
        const batch = { ids: upload(rt, Int32Array.from(TOKENS)), batch: 1, time: TOKENS.length };
        const { logits } = forward(model, inferenceCasts(rt, recipe), batch);
        const weights = [...model.weights].map(
          ([name, { forward: w }]) => [name, { ...w, values: read(rt, w) }] as const,
        );
        return { logits: read(rt, logits), weights: new Map(weights) };
      });
    const folded = saved();
    state.scales.channels.clear();
    const plain = saved();
    const masters = new Map([...state.parameters].map(([name, { master }]) => [name, read(rt, master)]));
    freeState(rt, state);
    return { folded, plain, masters, scales };
  }

  /** The powers of two that channels are divided by, from their largest values: numerics.md. */
  const channelScales = (largest: Float32Array) => Array.from(largest, (x) => 2 ** Math.ceil(Math.log2(x)));

  it('without quantisation every logit has the bits of the model that is not folded', () => {
    const { folded, plain, scales } = exported({ ...RECIPES.f32, swiglu: 'smooth-channel' });
    expectSame(folded.logits, plain.logits, 'logits');
    expect(folded.logits.length).toBe(TOKENS.length * 256);
    expect(new Set(plain.logits).size).toBeGreaterThan(1000);
    const s = scales.get('layers.1.down')!;
    expect(new Set(s).size).toBeGreaterThan(1);
    const down = plain.weights.get('layers.1.down')!.values.map((w, i) => w * s[i % s.length]);
    expectSame(folded.weights.get('layers.1.down')!.values, down, 'down');
  });

  it('in FP8 every weight is its master times the factor, rounded once, and the logits are as near as that', () => {
    const { folded, plain, masters, scales } = exported(SMOOTH_CHANNEL);
    for (const [layer, s] of scales) {
      for (const [name, factor] of [
        [layer, (i: number) => s[i % s.length]],
        [
          layer.replace('down', 'gate_up'),
          (i: number) => (i < s.length * 32 ? 1 : 1 / s[Math.floor(i / 32) - s.length]),
        ],
      ] as const) {
        const { values, scaleInv } = folded.weights.get(name)!;
        const master = masters.get(name)!;
        // E4M3: half of 2^-3 of a normal number, half of the quantum 2^-9 of a subnormal one.
        values.forEach((w, i) => {
          const exact = master[i] * factor(i);
          expect(
            Math.abs(w - exact) <= Math.max(Math.abs(exact) * 2 ** -4, 2 ** -10 * (scaleInv as number)),
            name,
          ).toBe(true);
        });
      }
    }
    // The same codes under other scales, but for what is subnormal under one of them: less than rounding itself, a sixteenth.
    const power = (values: ArrayLike<number>) => Array.from(values).reduce((sum, x) => sum + x * x, 0);
    const apart = Math.sqrt(power(folded.logits.map((x, i) => x - plain.logits[i])) / power(plain.logits));
    expect(apart).toBeLessThan(2 ** -4);
  });
});
