/** Fewer bits and clipped outliers: against the formats of the same bits, on every build. */
import { describe, expect, it } from 'vitest';
import { round } from '../src/formats/index.js';
import { outlierBound, restrict } from '../src/ops/restrict.js';
import { floats } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, place, placeFloats, sample } from './helpers/cases.js';
import { expectSame, expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';

const onEveryBuild = useBuilds();
const COUNT = 4099;

/** Any finite float32, numbers around 1, ties, and what is not finite. */
function numbers(): Float32Array<ArrayBuffer> {
  const random = new Random(1);
  const all = [
    ...random.patterns(COUNT).filter(Number.isFinite),
    ...random.wide(COUNT, -30, 20),
    ...random.wide(COUNT, -4, 4).map((x) => Math.fround(Math.round(x * 64) / 64)),
    ...[0, -0, 2 ** -149, 3.4e38, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ];
  return Float32Array.from(all);
}

describe('fewer bits', () => {
  it.each([
    ['float8_e5m2', 5, 2],
    ['float8_e4m3', 4, 3],
    ['float8_e3m4', 3, 4],
    ['float16', 5, 10],
    ['bfloat16', 8, 7],
  ] as const)('%s', (dtype, expBits, manBits) => {
    const values = numbers();
    for (const rounding of ['tiesToEven', 'towardZero'] as const) {
      const rounded = round(values, dtype, { rounding, saturate: true });
      const expected = Float32Array.from(values, (x, i) => (Number.isFinite(x) ? rounded[i] : x));
      onEveryBuild((engine, name) => {
        const t = floatTensor(engine, values, [values.length]);
        const got = restrict(engine, t, { dtype: 'float32', format: { expBits, manBits }, rounding });
        expectSame(floats(engine, got), expected, `${name}: ${rounding}`);
      });
    }
  });

  it.each([3, 5, 7])('E8M%i towards zero is a mask over the bits, and fits bfloat16', (manBits) => {
    const values = numbers().filter(Number.isFinite);
    const bits = new Uint32Array(values.buffer.slice(0, 4 * values.length)).map(
      (word) => (word & (-1 << (23 - manBits))) >>> 0,
    );
    const expected = new Float32Array(bits.buffer);
    onEveryBuild((engine, name) => {
      const t = floatTensor(engine, values, [values.length]);
      for (const dtype of ['float32', 'bfloat16'] as const) {
        const got = restrict(engine, t, { dtype, format: { expBits: 8, manBits }, rounding: 'towardZero' });
        expectSameBytes(engine.read(got), expected, `${name}: ${dtype}`);
      }
    });
  });

  it('after factors per row and column, in place', () => {
    const [rows, columns] = [9, 20];
    const random = new Random(2);
    const t = sample(random.normals(rows * columns), [rows, columns], 'bfloat16');
    const [rowFactor, columnFactor] = [random.normals(rows), random.normals(columns)];
    const values = t.values.map((x, i) =>
      Math.fround(Math.fround(x * rowFactor[Math.floor(i / columns)]) * columnFactor[i % columns]),
    );
    const expected = Float32Array.from(round(values, 'float16'));
    onEveryBuild((engine, name) => {
      const factors = { rowFactor: placeFloats(engine, rowFactor), columnFactor: placeFloats(engine, columnFactor) };
      const format = { expBits: 5, manBits: 10 };
      const got = restrict(engine, place(engine, t), { dtype: 'float32', format, ...factors });
      expectSameBytes(floats(engine, got), expected, name);
      const again = restrict(engine, got, { dtype: 'float32', format: { expBits: 8, manBits: 7 }, out: got });
      expect(again.ptr).toBe(got.ptr);
      expectSameBytes(floats(engine, again), Float32Array.from(round(expected, 'bfloat16')), name);
    });
  });
});

describe('outliers', () => {
  const random = new Random(3);
  const values = random.normals(64 * 64).map((x, i) => (i % 100 === 0 ? 50 * x : x));

  it.each([0.1, 0.01, 0.001, 0])(
    'at most %d of the numbers are beyond the bound, which is the smallest of its kind',
    (share) => {
      const above = (bound: number) => values.filter((x) => Math.abs(x) >= bound).length;
      onEveryBuild((engine, name) => {
        const bound = outlierBound(engine, floatTensor(engine, values, [64, 64]), share);
        // The next smaller number with two bits of mantissa.
        const power = 2 ** Math.floor(Math.log2(bound));
        const below = bound === power ? bound - power / 8 : bound - power / 4;
        expect(above(bound) <= share * values.length, `${name}: ${bound}`).toBe(true);
        expect(above(below) > share * values.length, `${name}: ${below}`).toBe(true);
      });
    },
  );

  it('are clipped to it with their signs, what is not finite is not', () => {
    const some = Float32Array.of(1, -1, 3, -3, 2.5, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e30);
    const expected = Float32Array.of(1, -1, 2.5, -2.5, 2.5, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, 2.5);
    onEveryBuild((engine, name) => {
      const t = floatTensor(engine, some, [some.length]);
      expectSame(floats(engine, restrict(engine, t, { dtype: 'float32', clip: 2.5 })), expected, name);
      expect(outlierBound(engine, t, 0.01), name).toBe(0);
    });
  });

  it('per row count after the factor of the row', () => {
    onEveryBuild((engine, name) => {
      const t = floatTensor(engine, [1, 1, 1, 1, 1, 1, 1, 1], [2, 4]);
      const factors = placeFloats(engine, Float32Array.of(1, 8));
      expect([outlierBound(engine, t, 0.5, factors), outlierBound(engine, t, 0.49, factors)], name).toEqual([1.25, 10]);
    });
  });
});
