/** The recipe at work: delayed scales, second copies, streams of random bits, and smoothing. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { finfo, formatSpec } from '../src/formats/index.js';
import { InferenceCasts, TrainingCasts } from '../src/model/casts.js';
import { Scales } from '../src/model/scales.js';
import { read } from '../src/ops/quantize.js';
import { RECIPES, type Recipe } from '../src/ops/recipe.js';
import { adapt, newHistory, observe, powerOfTwoScale } from '../src/ops/scale.js';
import { bytes, floats, type Tensor } from '../src/ops/tensor.js';
import { expectSame, expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { SMOOTH_CHANNEL, useEngine } from './helpers/training.js';

const engine = useEngine();
let mark = 0;
beforeEach(() => {
  mark = engine().arena.mark();
});
afterEach(() => engine().arena.release(mark));

/** 2^floor(log2(max / amax)), by another way than the code's: the largest power of two that keeps amax within max. */
function largestPower(max: number, amax: number): number {
  let scale = 1;
  while (scale * amax > max) scale /= 2;
  while (scale * 2 * amax <= max) scale *= 2;
  return scale;
}

const E4M3 = 448;
const E5M2 = 57344;
const castsOf = (scales: Scales, recipe: Recipe | string = 'fp8', step = 1, seed = 3) =>
  new TrainingCasts(engine(), typeof recipe === 'string' ? RECIPES[recipe] : recipe, scales, seed, step);
const tensor = (values: ArrayLike<number>, columns = values.length) =>
  engine().tensor(values, [values.length / columns, columns], 'bfloat16');
const scaleOf = ({ scaleInv }: Tensor) => 1 / (scaleInv as number);

/** The amax a step shows, and the scales of both copies that it was encoded with. */
function castOnce(scales: Scales, values: ArrayLike<number>, key = 'x'): [e4m3: number, e5m2: number] {
  const { forward, backward } = castsOf(scales).input(key, tensor(values));
  expect([forward.dtype, backward.dtype]).toEqual(['float8_e4m3fn', 'float8_e5m2']);
  return [scaleOf(forward), scaleOf(backward)];
}

describe('delayed scaling', () => {
  it('takes the first step from its own amax, and every other from the amax of the step before', () => {
    const scales = new Scales();
    const amaxes = [3, 0.02, 448, 449, 1, 1.0078125, 57344, 2 ** -60, 2 ** 60];
    let before = amaxes[0];
    for (const amax of amaxes) {
      expect(castOnce(scales, [amax, -amax / 2, 0, amax / 3])).toEqual([
        largestPower(E4M3, before),
        largestPower(E5M2, before),
      ]);
      scales.advance(RECIPES.fp8, 1);
      before = scales.histories.get('x.input')!.previous;
      // As BF16 holds it.
      expect(Math.abs(before / amax - 1)).toBeLessThan(2 ** -8);
    }
  });

  it('the powers of two just at the borders', () => {
    for (const max of [E4M3, E5M2, 240]) {
      for (const amax of [
        max,
        max / 2,
        max * 2,
        max * (1 + 2 ** -20),
        max * (1 - 2 ** -20),
        1,
        0.75,
        1.75,
        3e-30,
        1e30,
      ]) {
        expect(powerOfTwoScale(amax, max), `${amax} within ${max}`).toBe(largestPower(max, Math.fround(amax)));
      }
    }
    for (const amax of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) expect(powerOfTwoScale(amax, E4M3)).toBe(1);
  });

  it('the scale stays the same inside a global batch, whose largest amax counts', () => {
    const scales = new Scales();
    castOnce(scales, [1, 1, 1, 1]);
    scales.advance(RECIPES.fp8, 1);
    for (const amax of [2, 64, 8]) expect(castOnce(scales, [amax, 0, 0, 0])).toEqual([256, 32768]);
    scales.advance(RECIPES.fp8, 1);
    expect(castOnce(scales, [1, 1, 1, 1])).toEqual([largestPower(E4M3, 64), largestPower(E5M2, 64)]);
  });

  it('zeros, infinities and NaN keep the old scale', () => {
    for (const bad of [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
      const scales = new Scales();
      const expected = [largestPower(E4M3, 5), largestPower(E5M2, 5)];
      castOnce(scales, [5, -1, 2, 0]);
      scales.advance(RECIPES.fp8, 1);
      castOnce(scales, [bad, 0, 0, 0]);
      scales.advance(RECIPES.fp8, 1);
      expect(castOnce(scales, [1, 1, 1, 1]), `after ${bad}`).toEqual(expected);
    }
  });

  it('a first step of zeros has scale 1, and the next one starts afresh', () => {
    const scales = new Scales();
    expect(castOnce(scales, [0, 0, 0, 0])).toEqual([1, 1]);
    scales.advance(RECIPES.fp8, 1);
    expect(castOnce(scales, [6, 0, 0, 0])).toEqual([largestPower(E4M3, 6), largestPower(E5M2, 6)]);
  });

  it('every tensor has a history of its own', () => {
    const scales = new Scales();
    const casts = castsOf(scales);
    casts.input('a', tensor([1, 2, 3, 4]));
    casts.input('b', tensor([100, 2, 3, 4]));
    casts.weight('a', tensor([0.5, 0.25, 0, 0]));
    casts.gradOutput('a', tensor([2 ** -9, 0, 0, 0]));
    scales.advance(RECIPES.fp8, 1);
    const previous = [...scales.histories].map(([key, history]) => [key, history.previous]);
    expect(previous).toEqual([
      ['a.input', 4],
      ['b.input', 100],
      ['a.weight', 0.5],
      ['a.grad_output', 2 ** -9],
    ]);
  });

  it('values beyond the old scale saturate, and the health says so', () => {
    const scales = new Scales();
    castOnce(scales, [1, 1, 1, 1]);
    scales.advance(RECIPES.fp8, 1);
    const casts = castsOf(scales);
    // At scale 256: 3 is beyond 448 / 256 = 1.75, 2^-20 below half the smallest subnormal.
    const { forward } = casts.input('x', tensor([3, -3, 1, 2 ** -20]));
    expect([...read(engine(), forward)]).toEqual([1.75, -1.75, 1, 0]);
    expect(casts.health.get('x.input')).toEqual({ amax: 3, saturated: 0.5, underflowed: 0.25, scale: 256 });
  });

  it('the health of several casts is that of all their values, not of the last', () => {
    const scales = new Scales();
    castOnce(scales, [1, 1, 1, 1]);
    scales.advance(RECIPES.fp8, 1);
    const casts = castsOf(scales);
    casts.input('x', tensor([3, -3, 1, 2 ** -20]));
    casts.input('x', tensor([1, 1, 1, 1]));
    expect(casts.health.get('x.input')).toEqual({ amax: 3, saturated: 0.25, underflowed: 0.125, scale: 256 });
    casts.input('x', tensor([Number.NaN, 1, 1, 1]));
    expect(casts.health.get('x.input')?.amax).toBeNaN();
  });
});

describe('a longer history', () => {
  const scaling = { mode: 'delayed', history: 3, algorithm: 'max', margin: 2, interval: 2 } as const;
  /** Scales of the steps whose largest magnitudes these are. */
  const scalesOf = (recipe: Recipe, amaxes: readonly number[]) => {
    const scales = new Scales();
    return amaxes.map((amax, i) => {
      const { forward } = castsOf(scales, recipe, i + 1).input('x', tensor([amax, 0, 0, 0]));
      scales.advance(recipe, i + 1);
      return scaleOf(forward);
    });
  };

  it('takes the largest of the steps remembered, with headroom, and keeps it for an interval', () => {
    const expected = [1, 1, 2, 2, 8, 8, 4].map((amax) => largestPower(E4M3, amax) / 4);
    expect(scalesOf({ ...RECIPES.fp8, scaling }, [1, 2, 8, 4, 1, 1, 1])).toEqual(expected);
  });

  it('or the last', () => {
    const last = { ...scaling, algorithm: 'most_recent', margin: 0, interval: 1 } as const;
    const expected = [1, 1, 2, 8, 4].map((amax) => largestPower(E4M3, amax));
    expect(scalesOf({ ...RECIPES.fp8, scaling: last }, [1, 2, 8, 4, 1])).toEqual(expected);
  });
});

describe('an adaptive scale of gradients', () => {
  const recipe: Recipe = { ...RECIPES.fp8, gradOutputScale: 'adaptive' };

  it('halves where numbers saturate, and doubles in a thousand steps where none does', () => {
    const scales = new Scales();
    const stepWith = (amax: number) => {
      const { forInput } = castsOf(scales, recipe).gradOutput('x', tensor([amax, 0, 0, 0]));
      scales.advance(recipe, 1);
      return scaleOf(forInput);
    };
    const first = largestPower(E5M2, 1);
    expect([1, 16, 16, 16, 1].map(stepWith)).toEqual([first, first, first / 2, first / 4, first / 8]);
    // Of -3000 thousandths one step has taken back 1.
    for (let step = 0; step < 998; step++) stepWith(1);
    expect(stepWith(1)).toBe(first / 8);
    expect(stepWith(1)).toBe(first / 4);
  });

  it('goes by the share of all casts of a step, however many there are', () => {
    const levelAfter = (shares: readonly number[]) => {
      const history = { ...newHistory(), previous: 1 };
      for (const share of shares) observe(history, 1, share);
      adapt(history);
      return history.level;
    };
    // A hundred-thousandth may saturate.
    expect(levelAfter([0.9e-5, 0.9e-5])).toBe(1);
    expect(levelAfter([0, 2.1e-5])).toBe(-1000);
  });

  it('leaves inputs and weights to their histories', () => {
    const scales = new Scales();
    for (const amax of [1, 1, 8]) {
      castsOf(scales, recipe).input('x', tensor([amax, 0, 0, 0]));
      scales.advance(recipe, 1);
    }
    expect(scales.histories.get('x.input')).toMatchObject({ previous: 8, level: 0 });
  });
});

describe('scales along the sum', () => {
  const modes = [{ mode: 'row' }, { mode: 'block' }, { mode: 'mx', scale: 'rceil' }] as const;

  it.each(modes)('$mode: each copy is cut along the sum of its own product', (scaling) => {
    const [rows, columns] = [64, 160];
    const casts = castsOf(new Scales(), { ...RECIPES.mxfp8, scaling });
    const x = engine().tensor(new Random(4).wide(rows * columns, -30, 3), [rows, columns], 'bfloat16');
    const along = scaling.mode === 'mx' ? 32 : 128;
    const [across, down] =
      scaling.mode === 'row'
        ? [
            [1, columns],
            [rows, 1],
          ]
        : [
            [1, along],
            [along, 1],
          ];
    const blockOf = ({ scaleInv }: Tensor) => (scaleInv as { block: readonly number[] }).block;
    const { forward, backward } = casts.input('x', x);
    expect([forward, backward].map(blockOf)).toEqual([across, down]);
    const { forInput, forWeight } = casts.gradOutput('x', x);
    expect([forInput, forWeight].map(blockOf)).toEqual([across, down]);
    const weight = casts.weight('x', x);
    const square = [128, 128];
    const expected = scaling.mode === 'block' ? [square, square] : [across, down];
    expect([weight.forward, weight.backward].map(blockOf)).toEqual(expected);
    if (scaling.mode === 'block') expect(weight.forward.ptr).toBe(weight.backward.ptr);
    // Nothing saturates, so every number is within half a unit, or half the smallest number of its block.
    const values = read(engine(), x);
    const { eps, smallestSubnormal } = finfo('float8_e4m3fn');
    for (const t of [forward, backward, forInput, forWeight, weight.forward]) {
      const [blockRows, blockColumns] = blockOf(t);
      const largest = new Map<string, number>();
      const blockAt = (i: number) =>
        `${Math.floor(Math.floor(i / columns) / blockRows)} ${Math.floor((i % columns) / blockColumns)}`;
      values.forEach((value, i) => {
        largest.set(blockAt(i), Math.max(largest.get(blockAt(i)) ?? 0, Math.abs(value)));
      });
      read(engine(), t).forEach((got, i) => {
        // A scale is less than twice the largest magnitude over 448.
        const least = ((largest.get(blockAt(i))! / E4M3) * 2 * smallestSubnormal) / 2;
        const bound = Math.max((Math.abs(values[i]) * eps) / 2, least);
        expect(Math.abs(got - values[i]) <= bound, `${values[i]} as ${got}`).toBe(true);
      });
    }
    expect(casts.health.get('x.input')?.saturated).toBe(0);
  });
});

describe('the copies', () => {
  it('are each one rounding of the value', () => {
    const random = new Random(1);
    const x = engine().tensor(random.normals(512), [4, 128], 'bfloat16');
    const values = read(engine(), x);
    const { forward, backward } = castsOf(new Scales()).input('x', x);
    for (const t of [forward, backward]) {
      const { max, manBits, smallestSubnormal } = formatSpec(t.dtype);
      const got = read(engine(), t);
      values.forEach((value, i) => {
        const scale = scaleOf(t);
        const bound = Math.max(Math.abs(value) * 2 ** -(manBits + 1), smallestSubnormal / 2 / scale);
        expect(Math.abs(got[i] - value) <= bound && Math.abs(got[i]) * scale <= max, `${value} as ${got[i]}`).toBe(
          true,
        );
      });
    }
  });

  it('are one tensor where the formats agree, and the tensor itself where nothing changes', () => {
    for (const name of ['bf16', 'f32']) {
      const casts = castsOf(new Scales(), name);
      const x = engine().tensor([1, 2, 3, 4], [1, 4], name === 'bf16' ? 'bfloat16' : 'float32');
      for (const { forward, backward } of [casts.input('x', x), casts.weight('x', x)]) {
        expect(forward.ptr).toBe(x.ptr);
        expect(backward.ptr).toBe(x.ptr);
      }
      const { forInput, forWeight } = casts.gradOutput('x', x);
      expect([forInput.ptr, forWeight.ptr]).toEqual([x.ptr, x.ptr]);
      expect(casts.health.size).toBe(0);
    }
    const e4m3 = { input: 'float8_e4m3fn', weight: 'float8_e4m3fn', gradOutput: 'float8_e4m3fn' } as const;
    const one = castsOf(new Scales(), { ...RECIPES.fp8, backward: e4m3 }).input('x', tensor([1, 2, 3, 4]));
    expect(one.forward.ptr).toBe(one.backward.ptr);
  });
});

describe('the rounding of gradients', () => {
  const random = new Random(2);
  const dy = random.normals(1024);
  const round = (casts: TrainingCasts) => bytes(engine(), casts.gradOutput('x', tensor(dy, 64)).forWeight).slice();

  it('is another with every call, step and seed, and the same for the same three', () => {
    const scales = () => new Scales();
    const first = castsOf(scales());
    const all = [round(first), round(first), round(castsOf(scales(), 'fp8', 2)), round(castsOf(scales(), 'fp8', 1, 4))];
    for (let i = 0; i < all.length; i++) {
      for (let j = 0; j < i; j++) expect(Buffer.compare(all[i], all[j]), `${i} and ${j}`).not.toBe(0);
    }
    const second = castsOf(scales());
    expectSameBytes(round(second), all[0], 'first call');
    expectSameBytes(round(second), all[1], 'second call');
  });

  it('is unbiased: the mean over many steps is the value', () => {
    // 1 + 1/16 lies a quarter of the way from 1 to 1.25 in E5M2.
    const values = new Float32Array(256).fill(1.0625);
    let sum = 0;
    for (let step = 1; step <= 40; step++) {
      const { forInput: t } = castsOf(new Scales(), 'fp8', step).gradOutput('x', tensor(values, 64));
      sum += read(engine(), t).reduce((a, b) => a + b, 0);
    }
    const count = 40 * 256;
    // Four standard deviations: 0.25 sqrt(p (1 - p) / n).
    expect(Math.abs(sum / count - 1.0625)).toBeLessThan(4 * 0.25 * Math.sqrt((0.25 * 0.75) / count));
  });

  it('is to nearest even where the recipe says so', () => {
    const casts = castsOf(new Scales(), { ...RECIPES.fp8, gradOutputRounding: 'tiesToEven' });
    const [first, second] = [round(casts), round(casts)];
    expectSameBytes(first, second, 'two calls');
  });
});

describe('smoothing', () => {
  const WIDTH = 8;
  const ROWS = 6;
  /** Gates so large that silu is the identity, so y = gate * up. */
  function gateUp(ups: (row: number, channel: number) => number): Tensor {
    const values = Float32Array.from({ length: ROWS * 2 * WIDTH }, (_, i) => {
      const [row, column] = [Math.floor(i / (2 * WIDTH)), i % (2 * WIDTH)];
      return column < WIDTH ? 128 : ups(row, column - WIDTH);
    });
    return engine().tensor(values, [ROWS, 2 * WIDTH], 'bfloat16');
  }

  it('per token: rows of any size come to the same size, and their factors undo it', () => {
    const x = gateUp((row, channel) => (channel + 1) * 4 ** row);
    const scales = new Scales();
    for (const step of [1, 2]) {
      const { forward, backward, rowScale, channel } = castsOf(scales, 'fp8', step).swiglu('x', x);
      const s = floats(engine(), rowScale!);
      expect(channel).toBeUndefined();
      for (const t of [forward, backward]) {
        const y = read(engine(), t);
        for (let row = 0; row < ROWS; row++) {
          expect(Number.isInteger(Math.log2(s[row]))).toBe(true);
          // The largest of each row, divided by its s, is of one size for all of them.
          expect(y[row * WIDTH + 7]).toBe(y[7]);
          // 8 in a row is exact in both formats.
          expect(y[row * WIDTH + 7] * s[row]).toBe(128 * 8 * 4 ** row);
        }
      }
      scales.advance(RECIPES.fp8, 1);
    }
  });

  it('per channel: s is the power of two above the largest value of the batch before, 1 at first', () => {
    const scales = new Scales();
    const sizes = [1, 2, 3, 4, 5, 0, 0.01, 1000];
    const x = gateUp((row, channel) => (row === 3 ? sizes[channel] : sizes[channel] / 8));
    const peaks = sizes.map((size) => 128 * Math.fround(size));
    const factors = () => {
      const casts = castsOf(scales, SMOOTH_CHANNEL);
      const { channel, rowScale } = casts.swiglu('x', x);
      expect(rowScale).toBeUndefined();
      const [s, inverse] = [channel!.scale, channel!.inverse].map((t) => floats(engine(), t).slice());
      for (const [i, value] of s.entries()) expect(value * inverse[i]).toBe(1);
      return s;
    };
    expectSame(factors(), new Float32Array(WIDTH).fill(1), 'first step');
    scales.advance(RECIPES.fp8, 1);
    const seen = scales.channels.get('x')!.previous;
    for (const [i, value] of seen.entries()) expect(Math.abs(value - peaks[i])).toBeLessThanOrEqual(peaks[i] * 2 ** -8);
    const expected = Float32Array.from(seen, (value) => (value === 0 ? 1 : 2 ** Math.ceil(Math.log2(value))));
    expectSame(factors(), expected, 'second step');
  });

  it('none: only the scale of the tensor', () => {
    const { rowScale, channel } = castsOf(new Scales(), 'fp8-plain').swiglu(
      'x',
      gateUp((_, c) => c),
    );
    expect([rowScale, channel]).toEqual([undefined, undefined]);
  });
});

describe('inference', () => {
  it('scales every row by its own largest value', () => {
    const casts = new InferenceCasts(engine(), 'float8_e4m3fn');
    const values = new Random(3).normals(64 * 5).map((value, i) => value * 10 ** Math.floor(i / 64 - 2));
    const x = tensor(values, 64);
    const { forward, backward } = casts.input('x', x);
    expect(forward.ptr).toBe(backward.ptr);
    const { rows } = forward.scaleInv as { rows: number };
    const scaleInv = new Float32Array(engine().arena.buffer, rows, 5);
    const own = read(engine(), x);
    for (let row = 0; row < 5; row++) {
      const amax = own.slice(row * 64, (row + 1) * 64).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      expect(1 / scaleInv[row]).toBe(largestPower(E4M3, amax));
    }
  });

  it('leaves wider formats as they are', () => {
    const x = tensor([1, 2, 3, 4]);
    expect(new InferenceCasts(engine(), 'bfloat16').input('x', x).forward.ptr).toBe(x.ptr);
  });
});
