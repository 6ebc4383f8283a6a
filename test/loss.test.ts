/** Cross-entropy, bit for bit against its mirror on every build. */
import { describe, expect, it } from 'vitest';
import { crossEntropy } from '../src/ops/loss.js';
import { upload } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { normals, place, type Sample, sample, tokens } from './helpers/cases.js';
import { expectSameBytes, expectSameNumber } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { store } from './reference/codes.js';
import * as mirror from './reference/loss.js';

const onEveryBuild = useBuilds();
const SHAPES = [
  [1, 1],
  [1, 2],
  [3, 3],
  [5, 4],
  [2, 5],
  [7, 97],
  [33, 256],
  [4, 5003],
] as const;

function check(logits: Sample, targets: Int32Array<ArrayBuffer>): void {
  const [rows, vocabulary] = logits.shape;
  for (const gradScale of [0, 1, 0.37 / rows]) {
    const { losses, gradient } = mirror.crossEntropy(logits.values, vocabulary, targets, gradScale);
    const total = losses.reduce((sum, loss) => sum + loss, 0);
    const codes = gradScale === 0 ? logits.codes : store(gradient, logits.dtype);
    onEveryBuild((engine, name) => {
      const t = place(engine, logits);
      expectSameNumber(crossEntropy(engine, t, upload(engine, targets), gradScale), total, `${name}: loss`);
      expectSameBytes(engine.codes(t), codes, `${name}: gradient, gradScale ${gradScale}`);
    });
  }
}

describe.each(['float32', 'bfloat16'] as const)('%s', (dtype) => {
  it.each(SHAPES)('%i rows over %i tokens', (rows, vocabulary) => {
    const random = new Random(rows * vocabulary);
    for (const deviation of [1, 30])
      check(normals(random, [rows, vocabulary], dtype, deviation), tokens(random, rows, vocabulary));
  });

  it('logits far apart, large, equal', () => {
    const rows = [
      [0, -200, 50, 3, 1],
      [1e30, -1e30, 0, 1, 2],
      [-1e30, -1e30, -1e30, -1e30, -1e30],
      [7, 7, 7, 7, 7],
    ];
    check(sample(rows.flat(), [4, 5], dtype), Int32Array.of(1, 1, 4, 0));
  });
});

it('is log V for equal logits, and 0 for a certain one', () => {
  onEveryBuild((engine, name) => {
    const equal = place(engine, sample(new Float32Array(1000), [1, 1000], 'float32'));
    expect(crossEntropy(engine, equal, upload(engine, Int32Array.of(17))), name).toBe(Math.fround(Math.log(1000)));
    const certain = place(engine, sample([0, 100, 0], [1, 3], 'float32'));
    expect(crossEntropy(engine, certain, upload(engine, Int32Array.of(1))), name).toBe(0);
  });
});

it('a NaN among the logits makes a NaN loss', () => {
  for (const dtype of ['float32', 'bfloat16'] as const) {
    const logits = sample([1, Number.NaN, 2, 3, 4, 5], [2, 3], dtype);
    onEveryBuild((engine, name) => {
      expect(crossEntropy(engine, place(engine, logits), upload(engine, Int32Array.of(0, 0)), 1), name).toBeNaN();
    });
  }
});
