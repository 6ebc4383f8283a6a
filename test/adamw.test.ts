/** AdamW on states of every format, bit for bit against its mirror on every build, over several steps. */
import { describe, expect, it } from 'vitest';
import type { DType } from '../src/formats/index.js';
import { type Codes, encode } from '../src/formats/index.js';
import { type AdamwStep, adamw, type ParameterState } from '../src/ops/adamw.js';
import type { RandomPosition } from '../src/ops/quantize.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, place, sample } from './helpers/cases.js';
import { expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { type Hyper, adamw as mirror } from './reference/adamw.js';
import { load } from './reference/codes.js';
import { amax } from './reference/lanes.js';
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
/** Around a unit of 4096 elements. */
const SIZES = [1, 3, 7, 100, 4096, 4097, 9001];
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
const CASES = STATES.flatMap((state) => [false, true].map((stochastic) => [...state, stochastic] as const));

describe.each(CASES)('m %s, v %s, master %s, stochastic: %s', (mType, vType, wType, stochastic) => {
  it.each(SIZES)(`%i elements, ${STEPS} steps`, (size) => {
    const random = new Random(size);
    const grads = Array.from({ length: STEPS }, () => random.wide(size, -20, 2));
    let m = stored(new Float32Array(size), mType);
    let v = stored(new Float32Array(size), vType);
    let w = stored(random.normals(size, 0.02), wType);
    const start = { m, v, w };
    const history = grads.map((grad, i) => {
      const next = mirror(grad, decoded(m), decoded(v), decoded(w), hyperOf(stepAt(i + 1)));
      const random = stochastic ? randomAt(i + 1) : undefined;
      const at = (offset: number) => random && { ...random, stream: random.stream + offset };
      [m, v, w] = [stored(next.m, mType, at(0)), stored(next.v, vType, at(1)), stored(next.w, wType, at(2))];
      return { m, v, w };
    });
    onEveryBuild((engine, name) => {
      const lay = ({ dtype, codes, scaleInv }: Stored) =>
        place(engine, { dtype, codes, shape: [size], values: new Float32Array(0) }, scaleInv);
      let state: ParameterState = { master: lay(start.w), firstMoment: lay(start.m), secondMoment: lay(start.v) };
      history.forEach((expected, i) => {
        const random = stochastic ? randomAt(i + 1) : undefined;
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
