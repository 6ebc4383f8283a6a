/** Rotary embedding: its table against Math, the turn bit for bit against its mirror on every build. */
import { describe, expect, it } from 'vitest';
import { rope, ropeTable } from '../src/ops/rope.js';
import { floats, upload } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { normals, place } from './helpers/cases.js';
import { expectSame, expectSameBytes, expectWithin } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { store } from './reference/codes.js';
import * as mirror from './reference/rope.js';

const onEveryBuild = useBuilds();

/** Heads that turn, heads that do not, size, time, first position, rows. */
const SHAPES = [
  { heads: 1, still: 0, headDim: 2, time: 1, offset: 0, rows: 1 },
  { heads: 2, still: 1, headDim: 6, time: 5, offset: 0, rows: 10 },
  { heads: 3, still: 1, headDim: 8, time: 7, offset: 3, rows: 21 },
  { heads: 2, still: 0, headDim: 20, time: 1, offset: 40, rows: 4 },
  { heads: 6, still: 2, headDim: 32, time: 48, offset: 0, rows: 96 },
  { heads: 1, still: 3, headDim: 64, time: 9, offset: 1, rows: 9 },
] as const;

it('the table holds the cosines and sines of position * theta^(-2i/D)', () => {
  const [positions, headDim, theta] = [300, 20, 10_000];
  const angles = Array.from({ length: positions * (headDim / 2) }, (_, at) => {
    const [position, i] = [Math.floor(at / (headDim / 2)), at % (headDim / 2)];
    return position * theta ** ((-2 * i) / headDim);
  });
  onEveryBuild((engine, name) => {
    const { cosines, sines } = ropeTable(engine, positions, headDim, theta);
    // Half an ulp of float32 at 1 for the one rounding, and 300 radians times a few ulp of float64 for the angle.
    const bound = 2 ** -25 + 300 * 2 ** -50;
    expectWithin(floats(engine, cosines), angles.map(Math.cos), bound, `${name}: cosines`);
    expectWithin(floats(engine, sines), angles.map(Math.sin), bound, `${name}: sines`);
  });
});

describe.each(['float32', 'bfloat16'] as const)('%s', (dtype) => {
  it.each(SHAPES)('$heads + $still heads of $headDim, $rows rows, time $time, offset $offset', (shape) => {
    const { heads, still, headDim, time, offset, rows } = shape;
    const stride = (heads + still) * headDim;
    const x = normals(new Random(stride), [rows, stride], dtype);
    onEveryBuild((engine, name) => {
      const table = ropeTable(engine, offset + time, headDim, 10_000);
      const [cosines, sines] = [floats(engine, table.cosines).slice(), floats(engine, table.sines).slice()];
      for (const [direction, sign] of [
        ['forward', 1],
        ['back', -1],
      ] as const) {
        const t = place(engine, x);
        const offsetAt = upload(engine, Int32Array.of(offset));
        rope(engine, t, { heads, headDim, time, offsetAt }, table, direction);
        const turned = mirror.rope(x.values, stride, { heads, headDim, time, offset }, cosines, sines, sign);
        expectSameBytes(engine.codes(t), store(turned, dtype), `${name}: ${direction}`);
      }
    });
  });
});

it('turning back undoes the turn, and position 0 does not turn', () => {
  const [rows, headDim] = [12, 8];
  const x = normals(new Random(1), [rows, headDim], 'float32');
  onEveryBuild((engine, name) => {
    const table = ropeTable(engine, rows, headDim, 100);
    const t = place(engine, x);
    const shape = { heads: 1, headDim, time: rows };
    rope(engine, t, shape, table, 'forward');
    const there = floats(engine, t).slice();
    expectSame(there.slice(0, headDim), x.values.slice(0, headDim), `${name}: position 0`);
    expect(there.slice(headDim), name).not.toEqual(x.values.slice(headDim));
    rope(engine, t, shape, table, 'back');
    // Four products and two sums each way, on numbers below 6, each within 2^-24 of its size.
    expectWithin(floats(engine, t), x.values, 6 * 12 * 2 ** -24, `${name}: back`);
  });
});
