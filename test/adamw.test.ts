/** AdamW on states of every format, bit for bit against its mirror on every build, over several steps. */
import { describe, expect, it } from 'vitest';
import type { DType } from '../src/formats/index.js';
import { type Codes, encode, finfo } from '../src/formats/index.js';
import type { Engine } from '../src/index.js';
import { type AdamwStep, adamw, type MomentScaling, momentScalesShape, type ParameterState } from '../src/ops/adamw.js';
import type { RandomPosition } from '../src/ops/quantize.js';
import { BUILDS, nameOf, useBuilds } from './helpers/builds.js';
import { floatTensor, place, sample } from './helpers/cases.js';
import { expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { type Hyper, adamw as mirror } from './reference/adamw.js';
import { load } from './reference/codes.js';
import { amax } from './reference/lanes.js';
import { loadGroups, storeGroups } from './reference/moments.js';
import { encodeStochastic, fullRangeScale, scaled } from './reference/quantize.js';

const onEveryBuild = useBuilds();

/** First moment, second moment, master weight. */
const STATES: readonly (readonly [DType, DType, DType])[] = [
  ['float32', 'float32', 'float32'],
  ['float8_e4m3fn', 'float8_e5m2', 'float16'],
  ['float8_e4m3', 'float8_e4m3fn', 'bfloat16'],
  ['bfloat16', 'bfloat16', 'float32'],
  ['float16', 'float8_e5m2', 'float8_e4m3fn'],
];
/** Around a unit of 1024 elements, and several. */
const SIZES = [1, 3, 7, 100, 1024, 1025, 5001];
const STEPS = 4;
const BETA1 = 0.9;
const BETA2 = 0.95;

const stepAt = (t: number): AdamwStep => ({
  learningRate: 1e-2 / t,
  beta1: BETA1,
  beta2: BETA2,
  eps: 1e-8,
  weightDecay: 0.1,
  beta1Power: BETA1 ** t,
  beta2Power: BETA2 ** t,
  gradScale: t === 2 ? 0.37 : 1,
});

const hyperOf = (s: AdamwStep): Hyper => ({
  ...s,
  rate: (s.learningRate * Math.sqrt(1 - s.beta2Power)) / (1 - s.beta1Power),
  decay: 1 - s.learningRate * s.weightDecay,
});

interface Stored {
  readonly dtype: DType;
  readonly codes: Codes;
  readonly scaleInv: number;
}

/** A state stored with MAX / amax in the formats that need a scale, saturating in all of them. */
function stored(values: Float32Array, dtype: DType, random?: RandomPosition): Stored {
  const needsScale = dtype !== 'float32' && dtype !== 'bfloat16';
  const { scale, scaleInv } = needsScale ? fullRangeScale(amax(values), dtype) : { scale: 1, scaleInv: 1 };
  const sent = scaled(values, scale);
  const codes =
    random && dtype !== 'float32'
      ? encodeStochastic(sent, dtype, random, true)
      : encode(sent, dtype, { saturate: true });
  return { dtype, codes, scaleInv };
}

const decoded = ({ codes, dtype, scaleInv }: Stored) => load(codes, dtype, scaleInv);

/** Streams end at 2^32, the optimizer's lie below: the position of a state of some parameter at step t. */
const randomAt = (t: number): RandomPosition => ({ seed: 2 ** 40 + 5, stream: 0xffe00007, step: t });
const ROUNDED = ['none', 'all', 'moments', 'master'] as const;
const CASES = STATES.flatMap((state) => ROUNDED.map((stochastic) => [...state, stochastic] as const));

describe.each(CASES)('m %s, v %s, master %s, stochastic: %s', (mType, vType, wType, stochastic) => {
  const [moments, master] = ['moments', 'master'].map((part) => stochastic === 'all' || stochastic === part);
  it.each(SIZES)(`%i elements, ${STEPS} steps`, (size) => {
    const random = new Random(size);
    const grads = Array.from({ length: STEPS }, () => random.wide(size, -20, 2));
    let m = stored(new Float32Array(size), mType);
    let v = stored(new Float32Array(size), vType);
    let w = stored(random.normals(size, 0.02), wType);
    const start = { m, v, w };
    const history = grads.map((grad, i) => {
      const next = mirror(grad, decoded(m), decoded(v), decoded(w), hyperOf(stepAt(i + 1)));
      const { stream, ...rest } = randomAt(i + 1);
      const at = (offset: number) => ({ ...rest, stream: stream + offset });
      [m, v] = [stored(next.m, mType, moments ? at(0) : undefined), stored(next.v, vType, moments ? at(1) : undefined)];
      w = stored(next.w, wType, master ? at(2) : undefined);
      return { m, v, w };
    });
    onEveryBuild((engine, name) => {
      const lay = ({ dtype, codes, scaleInv }: Stored) =>
        place(engine, { dtype, codes, shape: [size], values: new Float32Array(0) }, scaleInv);
      let state: ParameterState = { master: lay(start.w), firstMoment: lay(start.m), secondMoment: lay(start.v) };
      history.forEach((expected, i) => {
        const random = {
          none: undefined,
          all: randomAt(i + 1),
          moments: { ...randomAt(i + 1), master: false },
          master: { ...randomAt(i + 1), moments: false },
        }[stochastic];
        state = adamw(engine, state, floatTensor(engine, grads[i], [size]), stepAt(i + 1), random);
        for (const [key, tensor] of [
          ['m', state.firstMoment],
          ['v', state.secondMoment],
          ['w', state.master],
        ] as const) {
          const label = `${name}, step ${i + 1}: ${key}`;
          expectSameBytes(engine.codes(tensor), expected[key].codes, label);
          expect(tensor.scaleInv, `${label}, scaleInv`).toBe(expected[key].scaleInv);
        }
      });
    });
  });
});

describe('a step', () => {
  it('without gradient only decays the weight, and leaves zero moments zero', () => {
    for (const [mType, vType] of STATES) {
      onEveryBuild((engine, name) => {
        const of = (numbers: number[], dtype: DType) => place(engine, sample(numbers, [numbers.length], dtype));
        const state = {
          master: of([1, -2, 0], 'float32'),
          firstMoment: of([0, 0, 0], mType),
          secondMoment: of([0, 0, 0], vType),
        };
        const next = adamw(engine, state, of([0, 0, 0], 'float32'), stepAt(1));
        const decay = Math.fround(1 - 1e-2 * 0.1);
        expectSameBytes(engine.read(next.master), Float32Array.of(decay, -2 * decay, 0), name);
        expectSameBytes(engine.read(next.firstMoment), new Float32Array(3), name);
        expectSameBytes(engine.read(next.secondMoment), new Float32Array(3), name);
      });
    }
  });

  it('goes against the gradient by the learning rate at first', () => {
    onEveryBuild((engine, name) => {
      const of = (numbers: number[]) => floatTensor(engine, numbers, [numbers.length]);
      const state = { master: of([0, 0]), firstMoment: of([0, 0]), secondMoment: of([0, 0]) };
      const [a, b] = engine.read(adamw(engine, state, of([3, -1e-3]), stepAt(1)).master);
      // m / sqrt(v) is 1 after the bias corrections; eps is 1e-5 of the smaller gradient, the rest a few float32 roundings.
      expect(Math.abs(a + 1e-2) <= 1e-2 * 2e-5, `${name}: ${a}`).toBe(true);
      expect(Math.abs(b - 1e-2) <= 1e-2 * 5e-5, `${name}: ${b}`).toBe(true);
    });
  });
});

/** Numbers of a moment's groups as assembly/moments.ts has them, and the values that codes and numbers stand for. */
describe('scales for groups of moments', () => {
  const DTYPE_PAIRS: readonly (readonly [DType, DType])[] = [
    ['float8_e4m3fn', 'float8_e4m3fn'],
    ['float8_e4m3fn', 'float8_e5m2'],
    ['float8_e4m3fn', 'float32'],
  ];
  const SCALINGS = ['block-256', 'group-128-expanded'] as const;
  const sizes = [1, 127, 257, 1024, 2500];

  /** A state of moments made of `gradient` by one step, with scales where they belong. */
  function stateOf(engine: Engine, scaling: MomentScaling, [mType, vType]: readonly [DType, DType], size: number) {
    const beside = (dtype: DType) => {
      const shape = momentScalesShape(scaling, dtype, size);
      return shape && floatTensor(engine, new Float32Array(shape[0] * shape[1]).fill(1), shape);
    };
    return {
      master: floatTensor(engine, new Float32Array(size), [size]),
      firstMoment: place(engine, sample(new Float32Array(size), [size], mType)),
      secondMoment: place(engine, sample(new Float32Array(size), [size], vType)),
      firstScales: beside(mType),
      secondScales: beside(vType),
    };
  }

  /** By the formula, in float64. */
  function valuesOf(codes: Float32Array, scales: Float32Array, group: number, words: number): Float64Array {
    return Float64Array.from(codes, (q, i) => {
      const at = words * Math.floor(i / group);
      if (words === 1) return q * scales[at];
      return q === 0 ? 0 : Math.sign(q) * (Math.abs(q) * scales[at]) ** (1 / scales[at + 1]) * scales[at + 2];
    });
  }

  it.each(SCALINGS)('%s: the same bits on every build, and values within the rounding of the format', (scaling) => {
    const [group, words] = scaling === 'block-256' ? [256, 1] : [128, 3];
    for (const types of DTYPE_PAIRS) {
      for (const size of sizes) {
        const random = new Random(size);
        const grad = random.wide(size, -12, 0).map((x) => (random.uniform() < 0.1 ? 0 : x));
        // A group of zeros, one of equal numbers, and one of a single number among zeros.
        if (size > 4000) grad.fill(0, 0, 256).fill(0.25, 256, 512).fill(0, 512, 768).fill(-3, 600, 601);
        const step = { ...stepAt(1), gradScale: 1 };
        const next = mirror(
          grad,
          new Float32Array(size),
          new Float32Array(size),
          new Float32Array(size),
          hyperOf(step),
        );
        onEveryBuild((engine, name) => {
          const given = stateOf(engine, scaling, types, size);
          const state = adamw(engine, given, floatTensor(engine, grad, [size]), step, undefined, scaling);
          for (const [t, beside, expected] of [
            [state.firstMoment, state.firstScales, next.m],
            [state.secondMoment, state.secondScales, next.v],
          ] as const) {
            if (!beside) {
              expectSameBytes(engine.read(t), expected, name);
              continue;
            }
            const { eps } = finfo(t.dtype);
            const scales = engine.read(beside);
            const stored = storeGroups(expected, t.dtype, group, words > 1);
            expectSameBytes(scales, stored.numbers, `${name}, ${scaling} ${t.dtype}: numbers`);
            expectSameBytes(engine.codes(t), stored.codes, `${name}, ${scaling} ${t.dtype}: codes`);
            // The rest is about the mirror as much as about the kernel.
            if (name !== nameOf(BUILDS[0])) continue;
            const values = valuesOf(engine.read(t), scales, group, words);
            values.forEach((value, i) => {
              const x = expected[i];
              const at = words * Math.floor(i / group);
              const k = words === 1 ? 1 : scales[at + 1];
              // Half a unit of the last bit, or of the smallest number; of the k-th power, so a k-th part of it in the value.
              const code = (Math.abs(x) / (words === 1 ? 1 : scales[at + 2])) ** k;
              const bound = Math.max((eps / 2) * code, (finfo(t.dtype).smallestSubnormal / 2) * scales[at]) / code;
              const [up, down] = [1 + bound + 1e-4, Math.max(0, 1 - bound - 1e-4)].map((each) => each ** (1 / k));
              const most = x === 0 ? 0 : Math.max(up - 1, 1 - down);
              // Below the smallest number nothing is left.
              expect(
                Math.abs(value - x) <= most * Math.abs(x),
                `${name}, ${scaling} ${t.dtype}: ${x} as ${value}, k = ${k}`,
              ).toBe(true);
              expect(value === 0 || Math.sign(value) === Math.sign(x)).toBe(true);
            });
          }
        });
      }
    }
  });

  it('an update reads back what was stored', () => {
    const size = 700;
    const random = new Random(3);
    const grads = [random.normals(size), new Float32Array(size)];
    for (const scaling of SCALINGS) {
      const [group, words] = scaling === 'block-256' ? [256, 1] : [128, 3];
      onEveryBuild((engine, name) => {
        let state: ParameterState = stateOf(engine, scaling, ['float8_e4m3fn', 'float8_e4m3fn'], size);
        state = adamw(engine, state, floatTensor(engine, grads[0], [size]), stepAt(1), undefined, scaling);
        const held = [state.firstMoment, state.secondMoment].map((t, i) => {
          const numbers = engine.read(i === 0 ? state.firstScales! : state.secondScales!);
          return loadGroups(engine.read(t), numbers, group, words > 1);
        });
        const w = engine.read(state.master);
        const step = stepAt(3);
        const next = mirror(grads[1], held[0], held[1], w, hyperOf(step));
        state = adamw(engine, state, floatTensor(engine, grads[1], [size]), step, undefined, scaling);
        expectSameBytes(engine.read(state.master), next.w, `${name}, ${scaling}`);
      });
    }
  });
});

it('powers of two keep the largest moment within the format, and zeros the scale before', () => {
  onEveryBuild((engine, name) => {
    const zero = () => place(engine, sample(new Float32Array(8), [8], 'float8_e4m3fn'), 2 ** -7);
    const state = { master: floatTensor(engine, new Float32Array(8), [8]), firstMoment: zero(), secondMoment: zero() };
    const step = { ...stepAt(1), gradScale: 1 };
    const of = (x: number) => floatTensor(engine, new Float32Array(8).fill(x), [8]);
    const next = adamw(engine, state, of(3), step, undefined, 'power-of-two');
    // 448 / 0.3 is 1493, 448 / 0.45 is 995.
    expect([next.firstMoment.scaleInv, next.secondMoment.scaleInv], name).toEqual([2 ** -10, 2 ** -9]);
    const kept = adamw(
      engine,
      { ...state, firstMoment: zero(), secondMoment: zero() },
      of(0),
      step,
      undefined,
      'power-of-two',
    );
    expect([kept.firstMoment.scaleInv, kept.secondMoment.scaleInv], name).toEqual([2 ** -7, 2 ** -7]);
  });
});
