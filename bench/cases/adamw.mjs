/** AdamW on stored states of several formats, against the mirror. Bytes counted: the gradient read, and every state read and written once. */
import { encode, formatSpec } from '../../dist/formats/index.js';
import { adamw } from '../../dist/ops/adamw.js';
import * as mirror from '../mirror.mjs';
import { traffic } from '../work.mjs';

/** First moment, second moment, master weight. */
const STATES = {
  float32: ['float32', 'float32', 'float32'],
  'fp8 (m e4m3fn, v e5m2, master float16)': ['float8_e4m3fn', 'float8_e5m2', 'float16'],
};
const STEP = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 0.1,
  beta1Power: 0.9 ** 3,
  beta2Power: 0.95 ** 3,
  gradScale: 0.5,
};

export const adamwCases = ({ adamw: elements }) => [
  {
    name: `adamw, ${elements} parameters`,
    prepare: ({ engine }) => Object.entries(STATES).map(([name, dtypes]) => contender(engine, elements, name, dtypes)),
  },
];

/** A state as it is stored: scaled by MAX / amax if the format is narrow. */
function stored(values, dtype) {
  const plain = dtype === 'float32' || dtype === 'bfloat16';
  const { scale, scaleInv } = plain ? { scale: 1, scaleInv: 1 } : mirror.fullRangeScale(mirror.amax(values), dtype);
  return { dtype, codes: encode(mirror.scaled(values, scale), dtype, { saturate: true }), scaleInv };
}

function contender(engine, elements, name, dtypes) {
  const random = new mirror.Random(3);
  const grad = random.normals(elements, 1e-2);
  const squares = random.normals(elements, 1e-2).map((x) => x * x);
  const values = [random.normals(elements, 1e-2), squares, random.normals(elements, 0.02)];
  const start = values.map((numbers, i) => stored(numbers, dtypes[i]));
  const [firstMoment, secondMoment, master] = start.map(({ dtype, codes, scaleInv }) =>
    mirror.place(engine, { dtype, codes, shape: [elements] }, scaleInv),
  );
  const gradient = mirror.floatTensor(engine, grad, [elements]);
  const bytes = dtypes.reduce((sum, dtype) => sum + formatSpec(dtype).bytes, 0);
  let state = { firstMoment, secondMoment, master };
  return {
    name,
    ...traffic(elements * (4 + 2 * bytes)),
    // Repeats steps with the same gradient: the state stays within range for far more steps than are timed.
    run: () => {
      state = adamw(engine, state, gradient, STEP);
      return state;
    },
    seen: (next) => {
      const tensors = [next.firstMoment, next.secondMoment, next.master];
      return record(tensors.map((t) => ({ codes: engine.codes(t), scaleInv: t.scaleInv })));
    },
    expected: () => {
      const rate = (STEP.learningRate * Math.sqrt(1 - STEP.beta2Power)) / (1 - STEP.beta1Power);
      const hyper = { ...STEP, rate, decay: 1 - STEP.learningRate * STEP.weightDecay };
      const decoded = start.map(({ codes, dtype, scaleInv }) => mirror.decoded(codes, dtype, scaleInv));
      const { m, v, w } = mirror.adamw(grad, ...decoded, hyper);
      return record([m, v, w].map((next, i) => stored(next, dtypes[i])));
    },
  };
}

/** Codes and scales of m, v and w, under one name each, for comparison. */
const record = (states) =>
  Object.fromEntries(
    ['m', 'v', 'w'].flatMap((name, i) => [
      [name, states[i].codes],
      [`scale of ${name}`, states[i].scaleInv],
    ]),
  );
