/** RMSNorm, bit for bit against its mirror on every build. */
import { describe, expect, it } from 'vitest';
import { normBackward, normForward } from '../src/ops/norm.js';
import { floats } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, normals, place, sample } from './helpers/cases.js';
import { expectSame, expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { store } from './reference/codes.js';
import * as mirror from './reference/norm.js';

const onEveryBuild = useBuilds();
/** Rows around a unit of the backward pass (32), channels in vectors of 4. */
const SHAPES = [
  [1, 4],
  [3, 8],
  [31, 20],
  [32, 64],
  [33, 12],
  [65, 36],
  [100, 132],
  [2, 4100],
] as const;

describe.each(['float32', 'bfloat16'] as const)('%s', (dtype) => {
  it.each(SHAPES)('%i rows of %i channels, forward and backward', (rows, channels) => {
    const random = new Random(rows * channels);
    const shape = [rows, channels];
    const x = normals(random, shape, dtype, 3);
    const dy = normals(random, shape, dtype);
    const dres = normals(random, shape, dtype);
    const gain = random.normals(channels);
    const before = random.normals(channels);
    const eps = 1e-5;
    const forward = mirror.normForward(x.values, gain, eps);
    const backward = mirror.normBackward(dy.values, x.values, gain, forward.rstd, dres.values, before);

    onEveryBuild((engine, name) => {
      const [xs, gains] = [place(engine, x), floatTensor(engine, gain, [channels])];
      const { y, rstd } = normForward(engine, xs, gains, eps);
      expectSameBytes(engine.codes(y), store(forward.y, dtype), `${name}: y`);
      expectSame(floats(engine, rstd), forward.rstd, `${name}: rstd`);
      const dGain = floatTensor(engine, before, [channels]);
      const dx = normBackward(engine, place(engine, dy), xs, gains, rstd, place(engine, dres), dGain);
      expectSameBytes(engine.codes(dx), store(backward.dx, dtype), `${name}: dx`);
      expectSame(floats(engine, dGain), backward.dGain, `${name}: dGain`);
    });
  });

  it('rows of zeros, of tiny and of huge numbers', () => {
    const channels = 8;
    const values = [0, 2 ** -126, 2 ** -70, 2 ** 60, 2 ** 70].flatMap((size) =>
      Array.from({ length: channels }, (_, i) => size * (i - 3)),
    );
    const x = sample(values, [5, channels], dtype);
    const gain = Float32Array.from({ length: channels }, (_, i) => 1 + i / 8);
    const expected = mirror.normForward(x.values, gain, 1e-6);
    // The sum of squares of the last row overflows: its rstd is 0 and its y too. The others are finite.
    expect(expected.y.every(Number.isFinite)).toBe(true);
    expect(expected.y.slice(0, channels).every((y) => y === 0)).toBe(true);
    onEveryBuild((engine, name) => {
      const { y, rstd } = normForward(engine, place(engine, x), floatTensor(engine, gain, [channels]), 1e-6);
      expectSameBytes(engine.codes(y), store(expected.y, dtype), `${name}: y`);
      expectSame(floats(engine, rstd), expected.rstd, `${name}: rstd`);
    });
  });
});
