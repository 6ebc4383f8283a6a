/** Scales, codes, second copies and statistics of the quantize kernels against their mirror, on every build. */
import { describe, expect, it } from 'vitest';
import { type DType, encode, formatSpec, type Rounding } from '../src/formats/index.js';
import { amaxOf, dequantize, type Health, quantize, read } from '../src/ops/quantize.js';
import { fullRangeScale, powerOfTwoScale } from '../src/ops/scale.js';
import { floats, floatsAt } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, normals, ofCodes, place, placeFloats, type Sample, sample } from './helpers/cases.js';
import { bitsOf, expectSame, expectSameBytes, expectSameNumber } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { amax, mul } from './reference/lanes.js';
import * as mirror from './reference/quantize.js';

const onEveryBuild = useBuilds();
const FLOAT8: readonly DType[] = ['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3'];
const TARGETS: readonly DType[] = [...FLOAT8, 'float16', 'bfloat16'];
/** Around a kernel's row (4096) and a unit (8 rows). */
const SHAPES = [[1], [3], [5, 7], [64, 64], [9, 4096], [13, 2521], [8, 4099]] as const;

const same = (actual: Health, expected: Health, label: string) => {
  for (const key of ['amax', 'saturated', 'underflowed'] as const)
    expectSameNumber(actual[key], expected[key], `${label}: ${key}`);
};

describe.each(TARGETS)('to %s', (dtype) => {
  it.each(SHAPES.map((shape) => ({ shape })))('$shape: one scale from the amax', ({ shape }) => {
    const random = new Random(1);
    for (const source of ['float32', 'bfloat16'] as const) {
      const src = normals(random, shape, source, 3e-3);
      const srcScale = source === 'float32' ? 1 : 0.75;
      const values = mirror.valuesOf(src.values, 1, srcScale);
      const scale = mirror.powerOfTwoScale(amax(values), dtype);
      const codes = encode(mirror.scaled(values, scale), dtype);
      onEveryBuild((engine, name) => {
        const t = place(engine, src, srcScale);
        expectSameNumber(amaxOf(engine, t), amax(values), `${name}: amaxOf`);
        const result = quantize(engine, t, { dtype });
        expect(result.codes.scaleInv, name).toBe(1 / scale);
        expectSameBytes(engine.codes(result.codes), codes, name);
        const health = mirror.health(values, scale, codes, dtype);
        same(result.health, health, name);
        const less = quantize(engine, t, { dtype, scale, measured: false });
        expectSameBytes(engine.codes(less.codes), codes, `${name}, not measured`);
        same(
          less.health,
          { amax: Number.NaN, saturated: Number.NaN, underflowed: Number.NaN },
          `${name}, not measured`,
        );
        expectSame(engine.read(result.codes), mirror.scaled(engine.decode(codes, dtype), 1 / scale), `${name}: read`);
      });
    }
  });

  it('factors of rows and columns, a given scale, a second copy, statistics', () => {
    const random = new Random(2);
    for (const [rows, columns] of [
      [1, 1],
      [7, 5],
      [8, 8],
      [17, 131],
      [9, 1000],
    ]) {
      const src = normals(random, [rows, columns], 'bfloat16');
      const rowFactor = random.wide(rows, -3, 3);
      const columnFactor = random.wide(columns, -3, 3);
      const { max } = formatSpec(dtype);
      const second = { dtype: 'float8_e5m2', scale: 0.3 } as const;
      // So large that some saturate and, the spread being wide, some underflow in the narrow formats.
      const scale = Math.fround(max / 8);
      for (const [withRow, withColumn] of [
        [true, true],
        [true, false],
        [false, true],
      ]) {
        const factors = [withRow ? rowFactor : undefined, withColumn ? columnFactor : undefined] as const;
        const values = mirror.valuesOf(src.values, columns, Math.fround(0.7), ...factors);
        const codes = encode(mirror.scaled(values, scale), dtype, { saturate: true });
        const copies = encode(mirror.scaled(values, second.scale), second.dtype);
        onEveryBuild((engine, name) => {
          const t = place(engine, src, Math.fround(0.7));
          const result = quantize(engine, t, {
            dtype,
            scale,
            saturate: true,
            second,
            rowFactor: withRow ? placeFloats(engine, rowFactor) : 0,
            columnFactor: withColumn ? placeFloats(engine, columnFactor) : 0,
          });
          const label = `${name}, [${rows}, ${columns}]`;
          expectSameBytes(engine.codes(result.codes), codes, label);
          expectSameBytes(engine.codes(result.second!), copies, `${label}: second`);
          expect(result.second!.scaleInv).toBe(1 / second.scale);
          same(result.health, mirror.health(values, scale, codes, dtype), label);
          if (withRow && !withColumn)
            expectSameNumber(amaxOf(engine, t, placeFloats(engine, rowFactor)), amax(values), label);
        });
      }
    }
  });

  it.each(['tiesToEven', 'towardZero', 'tiesToAway'] as Rounding[])('a scale per row, %s', (rounding) => {
    const random = new Random(3);
    for (const [rows, columns] of [
      [1, 1],
      [5, 3],
      [8, 16],
      [33, 129],
      [9, 4100],
    ]) {
      const values = random.normals(rows * columns).map((x, i) => x * 2 ** ((Math.floor(i / columns) % 40) - 20));
      // A row of zeros keeps scale 1.
      if (rows > 4) values.fill(0, 2 * columns, 3 * columns);
      const expected = mirror.quantizeRows(values, columns, dtype, rounding);
      onEveryBuild((engine, name) => {
        const { codes, health } = quantize(engine, floatTensor(engine, values, [rows, columns]), {
          dtype,
          scale: 'row',
          rounding,
        });
        const label = `${name}, [${rows}, ${columns}]`;
        expectSameBytes(engine.codes(codes), expected.codes, label);
        const at = (codes.scaleInv as { rows: number }).rows;
        expectSame(floatsAt(engine, at, rows).slice(), expected.scaleInv, `${label}: scales`);
        expectSameNumber(health.amax, amax(values), `${label}: amax`);
        const back = engine
          .decode(expected.codes, dtype)
          .map((x, i) => mul(x, expected.scaleInv[Math.floor(i / columns)]));
        expectSame(read(engine, codes), back as Float32Array, `${label}: read`);
      });
    }
  });

  it('stochastic rounding by stream and step, counted over the whole tensor', () => {
    const src = normals(new Random(4), [3, 4100], 'float32');
    const positions = [
      { seed: 1, stream: 0, step: 0 },
      { seed: 2 ** 40 + 3, stream: 7, step: 1 },
      { seed: 1, stream: 2 ** 32 - 1, step: 2 ** 31 },
    ];
    for (const random of positions) {
      const codes = mirror.encodeStochastic(src.values, dtype, random);
      onEveryBuild((engine, name) => {
        const options = { dtype, rounding: 'stochastic', scale: 1, random } as const;
        const label = `${name}, ${JSON.stringify(random)}`;
        expectSameBytes(engine.codes(quantize(engine, place(engine, src), options).codes), codes, label);
        // The same words where a factor makes the kernel walk rows of 4100 instead of 4096.
        const rowFactor = placeFloats(engine, Float32Array.of(1, 1, 1));
        expectSameBytes(
          engine.codes(quantize(engine, place(engine, src), { ...options, rowFactor }).codes),
          codes,
          label,
        );
      });
    }
  });
});

describe('statistics', () => {
  it('count what saturates and what underflows, and know NaN and infinity', () => {
    // 2^-10 is half the smallest subnormal: a tie, which goes to zero. What follows it does not.
    const values = Float32Array.of(500, -449, 448, -0.0009, 2 ** -10, 0, -0, 1, -0.00098, 2 ** -9);
    const cases: readonly [Float32Array<ArrayBuffer>, Health][] = [
      [values, { amax: 500, saturated: 0.2, underflowed: 0.2 }],
      [
        Float32Array.of(1, Number.NEGATIVE_INFINITY),
        { amax: Number.POSITIVE_INFINITY, saturated: 0.5, underflowed: 0 },
      ],
      [
        Float32Array.of(Number.POSITIVE_INFINITY, Number.NaN, 1, 0),
        { amax: Number.NaN, saturated: 0.5, underflowed: 0 },
      ],
    ];
    onEveryBuild((engine, name) => {
      for (const [numbers, expected] of cases) {
        const t = floatTensor(engine, numbers, [numbers.length]);
        same(quantize(engine, t, { dtype: 'float8_e4m3fn', scale: 1 }).health, expected, name);
        expectSameNumber(amaxOf(engine, t), expected.amax, name);
      }
    });
  });
});

describe('scales', () => {
  it('are powers of two that bring amax to the top binade, or 1', () => {
    const amaxes = [
      ...new Random(5).wide(2000, -120, 120).map(Math.abs),
      1e-45,
      2 ** -149,
      2 ** -126,
      3.4e38,
      448,
      449,
      224,
      240,
    ];
    for (const dtype of TARGETS) {
      const { max } = formatSpec(dtype);
      for (const a of amaxes) {
        const scale = powerOfTwoScale(a, max);
        expect(scale, `${a}`).toBe(mirror.powerOfTwoScale(a, dtype));
        expect(bitsOf(scale) & 0x7fffff, `${a}: a power of two`).toBe(0);
        if (scale !== 1) expect(a * scale <= max && 2 * a * scale > max, `${a} * ${scale} against ${max}`).toBe(true);
      }
      for (const a of [0, Number.NaN, Number.POSITIVE_INFINITY]) expect(powerOfTwoScale(a, max)).toBe(1);
    }
  });

  it('of the optimizer state fill the range and undo each other', () => {
    for (const dtype of [...FLOAT8, 'float16'] as const) {
      for (const a of [...new Random(6).wide(500, -140, 120).map(Math.abs), 1e-45, 0]) {
        const { scale, scaleInv } = fullRangeScale(a, dtype);
        expect({ scale, scaleInv }).toEqual(mirror.fullRangeScale(a, dtype));
        expect(Math.abs(scale * scaleInv - 1) <= 2 ** -22, `${a}`).toBe(true);
      }
    }
  });
});

describe('arguments', () => {
  it('are refused by name, and nothing stays allocated', () => {
    onEveryBuild((engine) => {
      const src = floatTensor(engine, [1, 2, 3], [1, 3]);
      const perRow = { ...src, scaleInv: { rows: src.ptr } };
      const before = engine.arena.bytesInUse;
      const dtype = 'float8_e4m3fn';
      expect(() => quantize(engine, src, { dtype, rounding: 'stochastic' })).toThrow(TypeError);
      const random = { seed: 0, stream: 0, step: 0 };
      expect(() => quantize(engine, src, { dtype, rounding: 'stochastic', scale: 'row', random })).toThrow(
        /multiple of 4/,
      );
      expect(() => quantize(engine, src, { dtype, rounding: 'up' as Rounding, scale: 1 })).toThrow(
        /rounding: expected one of/,
      );
      expect(() => quantize(engine, perRow, { dtype })).toThrow(/one scale/);
      expect(() => amaxOf(engine, perRow)).toThrow(RangeError);
      expect(engine.arena.bytesInUse).toBe(before);
    });
  });

  it('dequantize gives a new float32 tensor', () => {
    const src: Sample = sample([1, -2, 0.5], [3], 'float8_e5m2');
    onEveryBuild((engine, name) => {
      expectSame(floats(engine, dequantize(engine, place(engine, src, 3))).slice(), Float32Array.of(3, -6, 1.5), name);
    });
  });
});

/**
 * Casts from BF16 have a path of their own (assembly/bf16-casts.ts); casts from float32 share the one of all other formats. The same
 * numbers must give the same codes. Rows: all normal; with zeros and a few subnormals; mostly subnormal; out of range; with infinity, NaN.
 */
describe('from BF16 as from float32', () => {
  const random = new Random(11);
  const rows: Readonly<Record<string, (n: number) => Float32Array>> = {
    normal: (n) => random.wide(n, -4, 4),
    'zeros and a few subnormals': (n) =>
      random.wide(n, -4, 4).map((x, i) => (i % 5 === 0 ? (i % 2 ? -0 : 0) : i % 61 === 0 ? x * 2 ** -11 : x)),
    'from every binade': (n) => random.wide(n, -30, 20),
    'mostly subnormal': (n) => random.wide(n, -20, -5),
    'beyond the largest': (n) => random.wide(n, 3, 12),
    huge: (n) => random.wide(n, 120, 126),
    infinity: (n) => random.wide(n, -4, 4).map((x, i) => (i === n - 3 ? Number.NEGATIVE_INFINITY : x)),
    NaN: (n) => random.wide(n, -4, 4).map((x, i) => (i === 5 ? Number.NaN : x)),
  };
  const casts = {
    'E4M3FN and a copy': { dtype: 'float8_e4m3fn', scale: 2, second: { dtype: 'float8_e5m2', scale: 64 } },
    'E4M3FN, by another copy': {
      dtype: 'float8_e4m3fn',
      scale: 0.5,
      second: { dtype: 'float8_e5m2', scale: 2 ** -14 },
    },
    'E4M3FN alone': { dtype: 'float8_e4m3fn', scale: 1 },
    'E4M3 alone': { dtype: 'float8_e4m3', scale: 4 },
    'E5M2, stochastic': { dtype: 'float8_e5m2', scale: 2 ** -8, rounding: 'stochastic' },
    'E5M2, stochastic, few subnormals': { dtype: 'float8_e5m2', scale: 32, rounding: 'stochastic' },
    'a scale that is no power of two': { dtype: 'float8_e4m3fn', scale: 3 },
    'a scale that leaves BF16 below': { dtype: 'float8_e4m3fn', scale: 2 ** 125 },
    'a scale that leaves BF16 above': { dtype: 'float8_e4m3fn', scale: 2 ** -122 },
  } as const;
  const SIZES = [
    [1, 36],
    [3, 64],
    [17, 4096 + 20],
  ] as const;

  it.each(Object.keys(rows))('%s', (kind) => {
    for (const [count, n] of SIZES) {
      const bf16 = sample(rows[kind](count * n), [count, n], 'bfloat16');
      const float32 = sample(bf16.values, [count, n], 'float32');
      const powers = Float32Array.from({ length: count }, (_, i) => 2 ** ((i % 5) - 2));
      onEveryBuild((engine, name) => {
        for (const [cast, options] of Object.entries(casts)) {
          for (const rowFactor of [0, placeFloats(engine, powers)]) {
            for (const measured of [true, false]) {
              const label = `${name}, ${cast}, [${count}, ${n}], ${rowFactor ? 'factors' : 'no factors'}`;
              const all = { ...options, rowFactor, measured, random: { seed: 2 ** 40 + 1, stream: 7, step: 3 } };
              const found = quantize(engine, place(engine, bf16, 0.25), all);
              const expected = quantize(engine, place(engine, float32, 0.25), all);
              expectSameBytes(engine.codes(found.codes), engine.codes(expected.codes), label);
              if (expected.second) {
                expectSameBytes(engine.codes(found.second!), engine.codes(expected.second), `${label}: copy`);
              }
              same(found.health, expected.health, label);
            }
          }
        }
      });
    }
  });

  it('every finite BF16 number, in order', () => {
    const codes = Uint16Array.from({ length: 2 * 0x7f80 }, (_, i) => (i < 0x7f80 ? i : 0x8000 + i - 0x7f80));
    // A row for each binade, as a row with many subnormal results takes the path of float32; with a factor each, or they would be one row.
    const bf16 = ofCodes(codes, [codes.length / 128, 128], 'bfloat16');
    const float32 = sample(bf16.values, bf16.shape, 'float32');
    const ones = new Float32Array(codes.length / 128).fill(1);
    onEveryBuild((engine, name) => {
      const rowFactor = placeFloats(engine, ones);
      // The scale of the source, then that of the cast. In the last ones, value = code * scale leaves float32's normal numbers.
      for (const [source, exponent] of [
        [0, -100],
        [0, -9],
        [0, 0],
        [0, 7],
        [0, 100],
        [64, -60],
        [127, -125],
        [-126, 126],
      ]) {
        for (const dtype of FLOAT8) {
          for (const rounding of ['tiesToEven', 'stochastic'] as const) {
            const second =
              rounding === 'tiesToEven' ? { dtype: 'float8_e5m2' as const, scale: 2 ** exponent / 4 } : undefined;
            const random = { seed: 5, stream: exponent + 200, step: 1 };
            const options = { dtype, scale: 2 ** exponent, rounding, random, second, rowFactor };
            const label = `${name}, ${dtype}, 2^${source} and 2^${exponent}, ${rounding}`;
            const found = quantize(engine, place(engine, bf16, 2 ** source), options);
            const expected = quantize(engine, place(engine, float32, 2 ** source), options);
            expectSameBytes(engine.codes(found.codes), engine.codes(expected.codes), label);
            if (second) expectSameBytes(engine.codes(found.second!), engine.codes(expected.second!), `${label}: copy`);
            same(found.health, expected.health, label);
          }
        }
      }
    });
  });
});
