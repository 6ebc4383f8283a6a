/**
 * GEMM, bit for bit against its mirror on every build and number of threads: which is what makes relaxed SIMD, threads and blocking free
 * choices. FP8, BF16 and FP16 products are exact, so fused and unfused agree; with a float32 operand the strict kernel is used.
 */
import { describe, expect, it } from 'vitest';
import { type BlockOptions, decodeBlocks, encodeBlocks } from '../src/formats/blocks.js';
import { type Codes, type DType, encode, formatSpec } from '../src/formats/index.js';
import type { QuantizeTensorOptions } from '../src/ops/engine.js';
import { matmul } from '../src/ops/matmul.js';
import { amaxOf } from '../src/ops/quantize.js';
import type { BlockScaling } from '../src/ops/quantize-blocks.js';
import type { Tensor } from '../src/ops/tensor.js';
import { useBuilds, WITH_TURBO } from './helpers/builds.js';
import { atEnd, finiteCodes, floatTensor, ofCodes, place, placeFloats, type Sample, sample } from './helpers/cases.js';
import { expectSameBytes, expectSameNumber } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { type GemmShape, gemmShapes } from './helpers/shapes.js';
import { operands } from './reference/codes.js';
import { blockOperands, finish, sums } from './reference/gemm.js';

const onEveryBuild = useBuilds(WITH_TURBO);

const OPERANDS: readonly (readonly [DType, DType])[] = [
  ['float8_e4m3fn', 'float8_e4m3fn'],
  ['float8_e4m3fn', 'float8_e5m2'],
  ['float8_e5m2', 'float8_e4m3fn'],
  ['float8_e5m2', 'float8_e5m2'],
  ['float8_e4m3', 'float8_e4m3'],
  ['bfloat16', 'bfloat16'],
  ['float16', 'float16'],
  ['float16', 'bfloat16'],
  ['bfloat16', 'float8_e4m3fn'],
  ['float32', 'float32'],
  ['float32', 'bfloat16'],
  ['float8_e5m2', 'float32'],
];
const OUTPUTS: readonly DType[] = ['float32', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2', 'float8_e4m3', 'float16'];
const SHAPES_EACH = 80;

/** Scales that are no powers of two, so that their order shows. */
const scale = (random: Random) => Math.fround(0.3 + random.uniform());
const scales = (random: Random, count: number) => Float32Array.from({ length: count }, () => scale(random));

/** Numbers of about 1; any finite code; or, for the 16-bit formats and float32, exponents over their whole useful range. */
function operand(random: Random, shape: readonly [number, number], dtype: DType): Sample {
  const count = shape[0] * shape[1];
  const kind = random.integer(0, 2);
  if (kind === 0) return sample(random.normals(count), shape, dtype);
  // Products of two such stay below 2^127 - log2 K: the condition of docs/numerics.md on the upper end.
  if (dtype === 'bfloat16' || dtype === 'float32')
    return sample(random.wide(count, kind === 1 ? -126 : -66, 57), shape, dtype);
  return ofCodes(finiteCodes(random, count, dtype), shape, dtype);
}

interface Choice {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly out: DType;
  readonly withAddend: boolean;
  /** What scales a row of C beside the tensors' own scales: nothing, the scales of A's rows, or a factor; likewise its columns and B. */
  readonly rows: 'none' | 'scale' | 'factor';
  readonly columns: 'none' | 'scale' | 'factor';
}

function choose(random: Random): Choice {
  const [transposeA, transposeB] = [random.word() < 2 ** 31, random.word() < 2 ** 31];
  // Scales per row of an operand can only run along the rows, or columns, of C.
  const rows = random.pick(['none', 'factor', transposeA ? 'none' : 'scale'] as const);
  const columns = random.pick(['none', 'factor', transposeB ? 'scale' : 'none'] as const);
  return { transposeA, transposeB, out: random.pick(OUTPUTS), withAddend: random.uniform() < 0.4, rows, columns };
}

/** One product by the mirror and by every build. */
function check(label: string, { m, n, k }: GemmShape, a: Sample, b: Sample, random: Random, options: Choice): void {
  const { transposeA, transposeB, out: outType, withAddend } = options;
  const addend = withAddend ? sample(random.normals(m * n, Math.sqrt(k)), [m, n], outType) : undefined;
  const rowScale = options.rows === 'none' ? undefined : scales(random, m);
  const columnScale = options.columns === 'none' ? undefined : scales(random, n);
  const aScale = options.rows === 'scale' ? 1 : scale(random);
  const bScale = options.columns === 'scale' ? 1 : scale(random);
  const product = sums({
    m,
    n,
    k,
    a: operands(a.codes, a.dtype),
    b: operands(b.codes, b.dtype),
    transposeA,
    transposeB,
  });
  const alpha = Math.fround(aScale * bScale);
  const largest = product.reduce((x, y) => Math.max(x, Math.abs(y)), 0);
  // FP8 codes come with a scale, such that the largest of them saturate.
  const { bits, max } = formatSpec(outType);
  const scaleInv = bits === 8 ? Math.fround((largest * alpha) / (2 * max)) || 1 : 1;
  const expected = finish(product, n, {
    alpha,
    rowScale,
    columnScale,
    addend: addend?.values,
    outScale: Math.fround(1 / scaleInv),
  });
  const codes = encode(expected.values, outType);

  onEveryBuild((engine, name) => {
    const vector = (values: Float32Array | undefined) => (values ? placeFloats(engine, values) : 0);
    const [row, column] = [vector(rowScale), vector(columnScale)];
    const out = { ...engine.empty([m, n], outType), scaleInv };
    const amax = matmul(
      engine,
      place(engine, a, options.rows === 'scale' ? { rows: row } : aScale),
      place(engine, b, options.columns === 'scale' ? { rows: column } : bScale),
      {
        transposeA,
        transposeB,
        out,
        addend: addend && place(engine, addend),
        rowFactor: options.rows === 'factor' ? row : 0,
        columnFactor: options.columns === 'factor' ? column : 0,
      },
    );
    const where = `${name}, ${label} [${m}, ${n}, ${k}] ${JSON.stringify(options)}`;
    expectSameBytes(engine.codes(out), codes, where);
    expectSameNumber(amax, expected.amax, `${where}: amax`);
  });
}

const stored = (rows: number, columns: number, turned: boolean): [number, number] =>
  turned ? [columns, rows] : [rows, columns];

const CASES = OPERANDS.map(([aType, bType], pair) => {
  const random = new Random(100 + pair);
  const cases = gemmShapes(SHAPES_EACH, pair).map((shape) => ({ shape, options: choose(random) }));
  return { name: `${aType} x ${bType}`, aType, bType, random, cases };
});

describe.each(CASES)('$name', ({ name, aType, bType, random, cases }) => {
  it(`${SHAPES_EACH} shapes equal the mirror, on every build`, () => {
    for (const { shape, options } of cases) {
      const { m, n, k } = shape;
      const a = operand(random, stored(m, k, options.transposeA), aType);
      const b = operand(random, stored(k, n, options.transposeB), bType);
      check(name, shape, a, b, random, options);
    }
  });

  it('rows of A and of B across the sum, a multiple of 4 KiB apart', () => {
    for (const k of [8, 21]) {
      for (const [m, n] of [
        [4096, 3],
        [7, 4096],
      ] as const) {
        const a = operand(random, [k, m], aType);
        check(name, { m, n, k }, a, operand(random, [k, n], bType), random, { ...plain('float32'), transposeA: true });
      }
    }
  });
});

it('the cases meet every choice with every output, and every transposition with every pair of formats', () => {
  const met = new Set<string>();
  for (const { name, cases } of CASES) {
    for (const { options } of cases) {
      for (const [key, value] of Object.entries(options)) met.add(`${key} ${value} with ${options.out}`);
      met.add(`${name}, ${options.transposeA} ${options.transposeB}`);
    }
  }
  const values = { transposeA: 2, transposeB: 2, withAddend: 2, rows: 3, columns: 3, out: 1 };
  const choices = Object.values(values).reduce((a, b) => a + b, 0) * OUTPUTS.length;
  expect(met.size).toBe(choices + 4 * OPERANDS.length);
});

const plain = (out: DType): Choice => ({
  transposeA: false,
  transposeB: false,
  out,
  withAddend: false,
  rows: 'none',
  columns: 'none',
});

describe('the ends of the range', () => {
  it('BF16 operands below 2^-60 read as zero, at the bound exactly', () => {
    const bits = [-(2 ** -7), 0, 2 ** -7].map((step) => 2 ** -60 * (1 + step));
    const values = [...bits, 2 ** -61, 2 ** -126, 2 ** -133].flatMap((x) => [x, -x]);
    const shape = [values.length, values.length] as const;
    const random = new Random(7);
    const mixed = Array.from({ length: shape[0] * shape[1] }, () => random.pick(values));
    for (const other of ['bfloat16', 'float16', 'float32'] as const) {
      const b = sample(
        mixed.map((x) => (other === 'float16' ? x * 2 ** 50 : x)),
        shape,
        other,
      );
      check(
        'tiny',
        { m: shape[0], n: shape[1], k: shape[0] },
        sample(mixed, shape, 'bfloat16'),
        b,
        random,
        plain('float32'),
      );
    }
  });

  it('all codes of a format, infinity and NaN among them', () => {
    const every = (dtype: DType): Codes =>
      formatSpec(dtype).bits === 8
        ? Uint8Array.from({ length: 256 }, (_, code) => code)
        : Uint16Array.from({ length: 4096 }, (_, i) => i * 16 + (i % 16));
    for (const dtype of ['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3', 'float16', 'bfloat16'] as const) {
      const column = ofCodes(every(dtype), [every(dtype).length, 1], dtype);
      const row = sample([1, -1, 0, 0.5], [1, 4], dtype);
      for (const out of OUTPUTS)
        check('every code', { m: column.shape[0], n: 4, k: 1 }, column, row, new Random(8), plain(out));
      const wide = ofCodes(every(dtype), [1, every(dtype).length], dtype);
      const one = sample([1, 1, 1], [3, 1], dtype);
      check('every code', { m: 3, n: wide.shape[1], k: 1 }, one, wide, new Random(9), plain('float32'));
      // One row times weights, and enough rows for panels: either way sixteen codes are decoded at once.
      const weights = ofCodes(every(dtype), [every(dtype).length / 16, 16], dtype);
      for (const m of [1, 2, 7]) {
        const rows = sample(new Array(m * 16).fill(1), [m, 16], dtype);
        const options = { ...plain('float32'), transposeB: true };
        check('every code', { m, n: weights.shape[0], k: 16 }, rows, weights, new Random(11), options);
        const turned = { ...plain('float32'), transposeA: true, transposeB: true };
        const columns = sample(new Array(m * 16).fill(1), [16, m], dtype);
        check('every code', { m: weights.shape[0], n: m, k: 16 }, weights, rows, new Random(12), options);
        check('every code', { m, n: weights.shape[0], k: 16 }, columns, weights, new Random(13), turned);
      }
    }
  });

  it('infinity and NaN in any row of a panel, and in any of its columns', () => {
    const [m, n, k] = [13, 17, 24];
    const b = (dtype: DType) => sample(new Random(14).normals(n * k), [n, k], dtype);
    for (const dtype of ['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3'] as const) {
      for (let row = 0; row < 12; row++) {
        const values = new Random(15)
          .normals(m * k)
          .map((x, i) => (Math.floor(i / k) === row && i % k === row ? NaN : x));
        const a = sample(values, [m, k], dtype);
        const options = { ...plain('float32'), transposeB: true };
        check('NaN', { m, n, k }, a, b(dtype), new Random(16), options);
        check('NaN', { m: n, n: m, k }, b(dtype), a, new Random(16), options);
      }
    }
  });

  it('operands at the end of memory are read 64 bytes beyond at most', () => {
    const layouts = [false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => ({ transposeA, transposeB })),
    );
    for (const [aType, bType] of OPERANDS) {
      for (const [m, n, k] of [
        [7, 9, 11],
        [1, 13, 21],
        [23, 5, 40],
      ]) {
        for (const { transposeA, transposeB } of layouts) {
          const random = new Random(17);
          const [a, b] = [
            operand(random, stored(m, k, transposeA), aType),
            operand(random, stored(k, n, transposeB), bType),
          ];
          onEveryBuild((engine, name) => {
            const [x, w] = [place(engine, a), place(engine, b)];
            const product = (x: Tensor, w: Tensor, out: Tensor) => {
              matmul(engine, x, w, { transposeA, transposeB, out });
              return engine.codes(out);
            };
            const outs = [0, 1, 2].map(() => engine.empty([m, n], 'float32'));
            const expected = product(x, w, outs[0]);
            const where = `${name}, ${aType} x ${bType} [${m}, ${n}, ${k}] ${transposeA} ${transposeB}`;
            expectSameBytes(product(atEnd(engine, x), w, outs[1]), expected, `${where}: A`);
            expectSameBytes(product(x, atEnd(engine, w), outs[2]), expected, `${where}: B`);
          });
        }
      }
    }
  });

  it('wide products go by ranges of columns', () => {
    // More rows than weights are decoded in registers for; two ranges with each number of threads.
    const { m, n, k } = { m: 17, n: 585, k: 4099 };
    const random = new Random(10);
    const b = (turned: boolean) =>
      ofCodes(finiteCodes(random, n * k, 'float8_e4m3fn'), stored(k, n, turned), 'float8_e4m3fn');
    const a = ofCodes(finiteCodes(random, m * k, 'float8_e4m3fn'), [m, k], 'float8_e4m3fn');
    const factors = { ...plain('bfloat16'), withAddend: true, rows: 'factor', columns: 'factor' } as const;
    check('wide', { m, n, k }, a, b(true), random, { ...factors, transposeB: true, columns: 'scale' });
    check('wide', { m, n, k }, a, b(false), random, factors);
  });
});

describe('block scales', () => {
  const SCALINGS: readonly { scaling: BlockScaling; options: Omit<BlockOptions, 'dtype'> }[] = [
    { scaling: 'mx', options: { block: [1, 32], scale: 'float8_e8m0fnu' } },
    { scaling: { block: [1, 128] }, options: { block: [1, 128], scale: 'power-of-two' } },
    { scaling: { block: [128, 128] }, options: { block: [128, 128], scale: 'power-of-two' } },
  ];
  /** Multiplied in ranges of columns. */
  const WIDE: GemmShape = { m: 3, n: 608, k: 4128 };
  const SHAPES: readonly GemmShape[] = [
    WIDE,
    { m: 1, n: 1, k: 1 },
    { m: 1, n: 9, k: 33 },
    { m: 7, n: 5, k: 127 },
    { m: 13, n: 17, k: 256 },
    { m: 130, n: 135, k: 131 },
    { m: 5, n: 11, k: 1025 },
    { m: 97, n: 8, k: 64 },
    { m: 3, n: 521, k: 40 },
  ];
  /** Numbers of about 1; or so far apart that scaled operands fall below 2^-60. */
  const values = (random: Random, count: number) =>
    random.uniform() < 0.5 ? random.normals(count) : random.wide(count, -80, 20);

  it.each(['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3'] as const)('%s equals the mirror, on every build', (dtype) => {
    const random = new Random(dtype.length);
    for (const shape of SHAPES) {
      for (const { scaling, options } of SCALINGS) {
        // MX knows whole blocks only, along whichever side is stored in rows.
        const whole = (size: number) => (scaling === 'mx' ? Math.ceil(size / 32) * 32 : size);
        const [m, n, k] = [shape.m, shape.n, shape.k].map(whole);
        const [transposeA, transposeB] = [random.word() < 2 ** 31, random.word() < 2 ** 31];
        const shapeA = stored(m, k, transposeA);
        const shapeB = stored(k, n, transposeB);
        const other = shape === WIDE ? 'same' : random.pick(['same', 'float8_e5m2', 'bfloat16', 'float32'] as const);
        const first = values(random, m * k);
        const second = values(random, k * n);
        const a = encodeBlocks(first, shapeA, { dtype, ...options });
        const b =
          other === 'same' ? encodeBlocks(second, shapeB, { dtype, ...options }) : sample(second, shapeB, other);
        const bScale = other === 'same' ? 1 : scale(random);
        const outType = random.pick(OUTPUTS.filter((type) => formatSpec(type).bits > 8));
        const product = sums({
          ...{ m, n, k, transposeA, transposeB, a: blockOperands(a) },
          b: 'block' in b ? blockOperands(b) : operands(b.codes, b.dtype),
        });
        const expected = finish(product, n, { alpha: bScale, outScale: 1 });
        onEveryBuild((engine, name) => {
          const where = `${name} [${m}, ${n}, ${k}] ${JSON.stringify([scaling, transposeA, transposeB, other, outType])}`;
          const placed = engine.quantize(first, shapeA, { dtype, scaling });
          const partner = 'block' in b ? engine.quantize(second, shapeB, { dtype, scaling }) : place(engine, b, bScale);
          expectSameBytes(engine.codes(placed), a.codes, `${where}: codes`);
          expectSameBytes(engine.read(placed), decodeBlocks(a), `${where}: values`);
          const out = engine.empty([m, n], outType);
          expectSameNumber(matmul(engine, placed, partner, { transposeA, transposeB, out }), expected.amax, where);
          expectSameBytes(engine.codes(out), encode(expected.values, outType), where);
          const before = engine.arena.bytesInUse;
          const spare = engine.quantize(second, shapeB, { dtype, scaling });
          engine.free(spare);
          expect(engine.arena.bytesInUse).toBe(before);
        });
      }
    }
  });

  it('are refused by name where there are none', () => {
    onEveryBuild((engine) => {
      const quantize = (options: Partial<QuantizeTensorOptions>) => () =>
        engine.quantize(Array(32).fill(1), [1, 32], { dtype: 'float8_e4m3fn', scaling: 'mx', ...options });
      expect(quantize({ scaling: { block: [2, 64] } })).toThrow(/scaling: expected a block of .* got \[2,64\]/);
      expect(quantize({ scaling: 'column' as 'row' })).toThrow(RangeError);
      expect(quantize({ rounding: 'towardZero' })).toThrow(/rounding: expected 'tiesToEven'/);
      expect(quantize({ saturate: false })).toThrow(/saturate/);
      expect(quantize({ dtype: 'bfloat16' })).toThrow(/dtype: expected a format of 8 bits with a sign/);
      expect(() => amaxOf(engine, quantize({})())).toThrow(/one scale, got one with several/);
      const blocked = quantize({})();
      expect(() => engine.matmul(blocked, blocked, { transposeB: true, out: blocked })).toThrow(RangeError);
    });
  });
});

describe('arguments', () => {
  it('are refused by name', () => {
    onEveryBuild((engine) => {
      const floats = (rows: number, columns: number) =>
        floatTensor(engine, new Float32Array(rows * columns), [rows, columns]);
      const out = floats(2, 4);
      const rows = placeFloats(engine, new Float32Array(8));
      const perRow = { ...floats(2, 3), scaleInv: { rows } };
      expect(() => matmul(engine, floats(2, 3), floats(4, 4), { out })).toThrow(
        /inner dimensions, got A with 3 and B with 4/,
      );
      expect(() => matmul(engine, floats(3, 3), floats(3, 4), { out })).toThrow(/out of shape \[3, 4\], got \[2, 4\]/);
      expect(() => matmul(engine, perRow, floats(2, 4), { transposeA: true, out: floats(3, 4) })).toThrow(RangeError);
      expect(() => matmul(engine, perRow, floats(3, 4), { out, rowFactor: rows })).toThrow(
        /one factor per row, got two/,
      );
      expect(() => matmul(engine, floats(2, 3), { ...floats(3, 4), scaleInv: { rows } }, { out })).toThrow(
        /summed dimension/,
      );
      expect(() => matmul(engine, floats(2, 3), floats(3, 4), { out: { ...out, scaleInv: { rows } } })).toThrow(
        /one scale/,
      );
      const operandsOf = [floats(2, 3), floats(3, 4)] as const;
      expect(() => matmul(engine, ...operandsOf, { out, addend: engine.empty([2, 4], 'bfloat16') })).toThrow(TypeError);
      expect(() => matmul(engine, ...operandsOf, { out, addend: floats(4, 2) })).toThrow(
        /addend of shape \[2, 4\], got \[4, 2\]/,
      );
      expect(() => matmul(engine, ...operandsOf, { out, addend: { ...out, scaleInv: 2 } })).toThrow(
        /addend without a scale/,
      );
    });
  });
});
