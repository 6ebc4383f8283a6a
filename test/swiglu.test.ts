/** SwiGLU and Smooth-SwiGLU, bit for bit against their mirror on every build. */
import { describe, expect, it } from 'vitest';
import { type DType, formatSpec } from '../src/formats/index.js';
import { swigluBackward, swigluForward, type Target } from '../src/ops/swiglu.js';
import { floats } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, normals, place, type Sample, sample } from './helpers/cases.js';
import { expectSame, expectSameBytes, expectSameNumber } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { store } from './reference/codes.js';
import { health, scaled } from './reference/quantize.js';
import * as mirror from './reference/swiglu.js';

const onEveryBuild = useBuilds();
/** Rows around a unit (8), widths in vectors of 4. */
const SHAPES = [
  [1, 4],
  [7, 8],
  [8, 20],
  [9, 64],
  [33, 132],
] as const;

/** One format, and two as the FP8 recipe writes them; scales that are powers of two, as chosen by the recipe, and one that is not. */
const TARGETS: readonly { first: Target; second?: Target }[] = [
  { first: { dtype: 'float32', scale: 1 } },
  { first: { dtype: 'bfloat16', scale: 1 } },
  { first: { dtype: 'float8_e4m3fn', scale: 64 }, second: { dtype: 'float8_e5m2', scale: 4096 } },
  { first: { dtype: 'float8_e4m3', scale: 1000 }, second: { dtype: 'bfloat16', scale: 1 } },
];
const MODES = [
  { name: 'plain', perToken: false, perChannel: false },
  { name: 'per token', perToken: true, perChannel: false },
  { name: 'per channel', perToken: false, perChannel: true },
  { name: 'both', perToken: true, perChannel: true },
];

/** Powers of two, as the recipe chooses them. */
const inverses = (random: Random, width: number) =>
  Float32Array.from({ length: width }, () => 2 ** random.integer(-4, 4));

describe.each(['float32', 'bfloat16'] as const)('from %s', (dtype) => {
  describe.each(MODES)('$name', ({ perToken, perChannel }) => {
    it.each(SHAPES)('forward, %i rows of %i', (rows, width) => {
      const random = new Random(rows + width);
      const gateUp = normals(random, [rows, 2 * width], dtype, 4);
      const channelInv = perChannel ? inverses(random, width) : undefined;
      const expected = mirror.swigluForward(gateUp.values, width, { perToken, channelInv });
      for (const { first, second } of TARGETS) {
        const codes = store(scaled(expected.y, first.scale), first.dtype);
        const copies = second && store(scaled(expected.y, second.scale), second.dtype);
        const seen = health(expected.y, first.scale, codes, first.dtype);
        onEveryBuild((engine, name) => {
          const inv = channelInv && floatTensor(engine, channelInv, [width]);
          const result = swigluForward(engine, place(engine, gateUp), {
            first,
            second,
            perToken,
            channelInv: inv,
            channelAmax: true,
          });
          const label = `${name}, ${first.dtype}`;
          expectSameBytes(engine.codes(result.y), codes, `${label}: y`);
          expect(result.y.scaleInv).toBe(1 / first.scale);
          if (second) expectSameBytes(engine.codes(result.second!), copies!, `${label}: second`);
          if (perToken) expectSame(floats(engine, result.rowScale!), expected.rowScale, `${label}: rowScale`);
          else expect(result.rowScale).toBeUndefined();
          expectSame(result.channelAmax!, expected.channelAmax, `${label}: channelAmax`);
          for (const key of ['amax', 'saturated', 'underflowed'] as const)
            expectSameNumber(result.health[key], seen[key], `${label}: ${key}`);
        });
      }
    });

    it.each(SHAPES)('backward, %i rows of %i', (rows, width) => {
      const random = new Random(rows + width + 1);
      const gateUp = normals(random, [rows, 2 * width], dtype, 4);
      const dy = normals(random, [rows, width], dtype);
      const channelInv = perChannel ? inverses(random, width) : undefined;
      const rowScale = perToken ? inverses(random, rows) : undefined;
      const expected = store(mirror.swigluBackward(dy.values, gateUp.values, width, { rowScale, channelInv }), dtype);
      onEveryBuild((engine, name) => {
        const grads = swigluBackward(engine, place(engine, dy), place(engine, gateUp), {
          rowScale: rowScale && floatTensor(engine, rowScale, [rows]),
          channelInv: channelInv && floatTensor(engine, channelInv, [width]),
        });
        expectSameBytes(engine.codes(grads), expected, name);
      });
    });
  });
});

/** One row of gates and ups, smoothed per token into E4M3. */
function smooth(gateUp: Sample, check: (y: Float32Array, scale: number, name: string) => void): void {
  onEveryBuild((engine, name) => {
    const first = { dtype: 'float8_e4m3fn' as DType, scale: 1 };
    const { y, rowScale } = swigluForward(engine, place(engine, gateUp), { first, perToken: true });
    check(engine.read(y), floats(engine, rowScale!)[0], name);
  });
}

describe('smoothing per token', () => {
  it('a row of zeros gives zeros and scale 1, not NaN', () => {
    smooth(sample(new Float32Array(16), [1, 16], 'bfloat16'), (y, scale, name) => {
      expectSame(y, new Float32Array(8), name);
      expect(scale, name).toBe(1);
    });
  });

  it('takes the power of two not below the largest |up|, within the normal numbers', () => {
    const cases = [
      [1, 1],
      [1.001, 2],
      [0.75, 1],
      [0.5, 0.5],
      [-3, 4],
      [2 ** -133, 2 ** -126],
      [2 ** 127, 2 ** 126],
      [2 ** 100, 2 ** 100],
    ];
    for (const [up, expected] of cases) {
      const row = [1, 1, 1, 1, up, 0, up / 4, 0];
      smooth(sample(row, [1, 8], 'float32'), (y, scale, name) => {
        expect(scale, `${name}: ${up}`).toBe(expected);
        expect(y.every(Number.isFinite), `${name}: ${up}`).toBe(true);
      });
    }
  });

  it('an infinite or NaN row keeps scale 1 and shows itself', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      smooth(sample([1, 1, 1, 1, bad, 1, 1, 1], [1, 8], 'float32'), (y, scale, name) => {
        expect(scale, name).toBe(1);
        expectSame(y.slice(0, 1), Float32Array.of(Number.isNaN(bad) ? bad : formatSpec('float8_e4m3fn').max), name);
      });
    }
  });

  it('gates far from zero neither overflow nor turn into NaN', () => {
    const gates = [-1000, -88.5, -87, 88, 1000, -0, 0, 50];
    const gateUp = sample([...gates, ...gates.map(() => 1)], [1, 16], 'float32');
    const expected = mirror.swigluForward(gateUp.values, 8, {});
    expect(expected.y.every(Number.isFinite)).toBe(true);
    onEveryBuild((engine, name) => {
      const { y } = swigluForward(engine, place(engine, gateUp), { first: { dtype: 'float32', scale: 1 } });
      expectSame(engine.read(y), expected.y, name);
    });
  });
});
