/** The library's front, as the README shows it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decode, encode, formatSpec } from '../src/formats/index.js';
import { type Engine, init } from '../src/index.js';
import type { Tensor } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { expectSame, expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { operands } from './reference/codes.js';
import { sums } from './reference/gemm.js';
import { amax } from './reference/lanes.js';
import { powerOfTwoScale, quantizeRows, scaled } from './reference/quantize.js';

const onEveryBuild = useBuilds();
let engine: Engine;
beforeAll(async () => {
  engine = await init({ threads: 1, build: 'simd' });
});
afterAll(() => engine.dispose());

const M = 5;
const N = 7;
const K = 12;
const random = new Random(1);
const a = random.normals(M * K, 0.01);
const w = random.normals(N * K, 3);

/** E4M3FN codes of rows of 260, times the scale of each one's block. */
function scaledValues(codes: Uint8Array, scales: Float32Array, [rows, columns]: readonly [number, number]) {
  const across = Math.ceil(260 / columns);
  const scaleAt = (i: number) => scales[Math.floor(i / 260 / rows) * across + Math.floor((i % 260) / columns)];
  return decode(codes, 'float8_e4m3fn').map((x, i) => x * (scales.length === 1 ? scales[0] : scaleAt(i)));
}

describe('tensors', () => {
  it('quantize: codes with a power-of-two scale from the largest magnitude', () => {
    for (const dtype of ['float8_e4m3fn', 'e5m2', 'F16'] as const) {
      onEveryBuild((own, name) => {
        const t = own.quantize(w, [N, K], { dtype });
        const scale = powerOfTwoScale(amax(w), t.dtype);
        expect(t, name).toMatchObject({
          dtype: { float8_e4m3fn: 'float8_e4m3fn', e5m2: 'float8_e5m2', F16: 'float16' }[dtype],
          shape: [N, K],
        });
        expect(t.scaleInv, name).toBe(1 / scale);
        expectSameBytes(own.codes(t), encode(scaled(w, scale), t.dtype), name);
        expectSame(own.read(t), scaled(decode(own.codes(t), t.dtype), 1 / scale), name);
      });
    }
  });

  it('quantize: bfloat16 and float32 take no scale, so that their products stay in range', () => {
    for (const dtype of ['bfloat16', 'float32']) {
      for (const scaling of ['tensor', 'row'] as const) {
        const t = engine.quantize([1, 2, 3, 4], [2, 2], { dtype, scaling });
        expect(t.scaleInv).toBe(1);
        expectSame(engine.read(engine.matmul(t, t)), Float32Array.of(7, 10, 15, 22), `${dtype} ${scaling}`);
      }
    }
  });

  it('quantize: a scale per row; rounding, saturate and seed as in encode', () => {
    const rows = quantizeRows(w, K, 'float8_e4m3fn', 'towardZero');
    const scale = powerOfTwoScale(amax(w), 'float8_e5m2');
    const stochastic = { rounding: 'stochastic', seed: 2 ** 33 + 1 } as const;
    onEveryBuild((own, name) => {
      const t = own.quantize(w, [N, K], { dtype: 'fp8', scaling: 'row', rounding: 'towardZero' });
      expectSameBytes(own.codes(t), rows.codes, name);
      expectSame(
        own.read(t),
        decode(rows.codes, 'fp8').map((x, i) => x * rows.scaleInv[Math.floor(i / K)]),
        name,
      );
      const s = own.quantize(w, [N, K], { dtype: 'float8_e5m2', ...stochastic });
      expectSameBytes(own.codes(s), encode(scaled(w, scale), 'float8_e5m2', stochastic), name);
    });
  });

  it('tensor: any dtype, unscaled; from arrays of every kind', () => {
    const values = [0.1, -1000, 3];
    for (const dtype of ['float32', 'bfloat16', 'float16', 'float8_e4m3fn', 'float8_e5m2', 'float8_e4m3'] as const) {
      for (const source of [values, Float32Array.from(values), Float64Array.from(values)]) {
        const t = engine.tensor(source, [3, 1], dtype);
        expect(t).toMatchObject({ dtype, shape: [3, 1], scaleInv: 1 });
        expectSameBytes(engine.codes(t), encode(Float32Array.from(values), dtype), dtype);
        engine.free(t);
      }
    }
  });

  it('fromCodes, codes and scales: what one engine gives out another takes in, to the bit', () => {
    const wide = random.normals(130 * 260);
    for (const scaling of ['tensor', 'row', { block: [1, 128] }, { block: [128, 128] }] as const) {
      onEveryBuild((own, name) => {
        const t = engine.quantize(wide, [130, 260], { dtype: 'float8_e4m3fn', scaling });
        const block = typeof scaling === 'object' ? scaling.block : undefined;
        const copy = own.fromCodes(engine.codes(t), [130, 260], { dtype: 'F8_E4M3', scales: engine.scales(t), block });
        const label = `${name} ${JSON.stringify(scaling)}`;
        const values = scaledValues(engine.codes(t) as Uint8Array, engine.scales(t), block ?? [1, 260]);
        expectSame(own.read(copy), values, label);
        const product = (rt: Engine, x: Tensor) => rt.read(rt.matmul(x, x, { transposeB: true }));
        expectSame(product(own, copy), product(engine, t), label);
        expectSame(own.scales(copy), engine.scales(t), label);
        own.free(copy);
        engine.free(t);
      });
    }
  });

  it('fromCodes: any scale, and nothing is rounded', () => {
    const codes = Uint8Array.of(56, 64, 68, 124);
    const t = engine.fromCodes(codes, [2, 2], { dtype: 'float8_e4m3fn', scales: 0.0123 });
    expectSame(
      engine.read(t),
      decode(codes, 'float8_e4m3fn').map((x) => x * Math.fround(0.0123)),
      'one',
    );
    expectSameBytes(engine.codes(t), codes, 'codes');
    const rows = engine.fromCodes(codes, [2, 2], { dtype: 'float8_e4m3fn', scales: [0.1, 0.3] });
    expectSame(engine.scales(rows), Float32Array.of(0.1, 0.3), 'rows');
    expectSame(engine.read(engine.fromCodes(Uint16Array.of(0x3f80), [1], { dtype: 'bf16' })), Float32Array.of(1), '1');
  });

  it.each([
    [new Uint8Array(3), {}, RangeError, /^codes: expected 4 for shape \[2,2\], got 3$/],
    [new Uint16Array(4), {}, TypeError, /^codes: expected Uint8Array for float8_e4m3fn, got Uint16Array$/],
    [Uint8Array.of(16, 0, 0, 0), { dtype: 'fp4' }, RangeError, /^codes\[0\]: expected a code below 16/],
    [new Uint8Array(4), { dtype: 'fp9' }, RangeError, /fp9/],
    [new Uint8Array(4), { scales: 0 }, RangeError, /^scales: expected a positive float32, got 0$/],
    [new Uint8Array(4), { scales: 1e-50 }, RangeError, /^scales: expected a positive float32, got 1e-50$/],
    [new Uint8Array(4), { scales: [1, 1, 1] }, RangeError, /^scales: expected 2, one for each row, got 3$/],
    [
      new Uint8Array(4),
      { dtype: 'e8m0', scales: [1, 1], block: [1, 32] },
      RangeError,
      /^dtype: .* with a sign for blocks/,
    ],
    [new Uint8Array(4), { scales: [1, Number.NaN] }, RangeError, /^scales\[1\]: expected a positive float32, got NaN$/],
    [new Uint8Array(4), { scales: [1, 2], block: [1, 2] }, RangeError, /^block: expected \[1, 32\], .*, got \[1,2\]$/],
    [
      new Uint8Array(4),
      { scales: [3, 1], block: [1, 32] },
      RangeError,
      /^scales\[0\]: expected a power of two for a block, got 3$/,
    ],
    [new Uint8Array(4), { block: [1, 32] }, TypeError, /^scales: expected one for each block, got a number$/],
    [
      new Uint16Array(4),
      { dtype: 'bf16', scales: [1, 1], block: [1, 32] },
      RangeError,
      /^dtype: expected a format of 8 bits/,
    ],
    [new Uint8Array(4), { scale: 1 }, TypeError, /^options.scale: /],
  ])('fromCodes refuses %o with %o', (codes, options, kind, message) => {
    const before = engine.arena.bytesInUse;
    const make = () => engine.fromCodes(codes, [2, 2], { dtype: 'float8_e4m3fn', ...options } as never);
    expect(make).toThrow(kind);
    expect(make).toThrow(message);
    expect(engine.arena.bytesInUse).toBe(before);
  });

  it('empty: memory that is free to write, aligned', () => {
    const t = engine.empty([3, 5], 'bf16');
    expect(t).toMatchObject({ dtype: 'bfloat16', shape: [3, 5], scaleInv: 1 });
    expect(t.ptr % 64).toBe(0);
    engine.free(t);
  });

  it('read and codes give copies', () => {
    const t = engine.tensor([1, 2], [2], 'float32');
    const [values, codes] = [engine.read(t), engine.codes(t)];
    values[0] = 9;
    codes[1] = 9;
    expectSame(engine.read(t), Float32Array.of(1, 2), 'the tensor');
    engine.free(t);
  });
});

describe('matmul', () => {
  it('multiplies quantized tensors, in a new tensor or in out, whichever way they are stored', () => {
    onEveryBuild((own, name) => {
      const x = own.quantize(a, [M, K], { dtype: 'float8_e4m3fn' });
      const y = own.quantize(w, [N, K], { dtype: 'float8_e5m2' });
      const product = { m: M, n: N, k: K, transposeA: false, transposeB: true };
      const operand = (t: Tensor) => operands(own.codes(t), t.dtype);
      const scale = Math.fround((x.scaleInv as number) * (y.scaleInv as number));
      const expected = scaled(sums({ ...product, a: operand(x), b: operand(y) }), scale);
      const c = own.matmul(x, y, { transposeB: true });
      expect(c, name).toMatchObject({ dtype: 'float32', shape: [M, N], scaleInv: 1 });
      expectSame(own.read(c), expected, name);
      const out = own.empty([M, N], 'float32');
      expect(own.matmul(x, y, { transposeB: true, out }), name).toBe(out);
      expectSame(own.read(out), expected, name);
      const turned = own.matmul(y, x, { transposeB: true });
      expect(turned.shape).toEqual([N, M]);
      const square = own.matmul(x, x, { transposeA: true });
      expect(square.shape).toEqual([K, K]);
    });
  });

  it('comes close to the product of the numbers that were quantized', () => {
    const x = engine.quantize(a, [M, K], { dtype: 'float8_e4m3fn' });
    const y = engine.quantize(w, [N, K], { dtype: 'float8_e4m3fn', scaling: 'row' });
    const got = engine.read(engine.matmul(x, y, { transposeB: true }));
    for (let i = 0; i < M; i++) {
      for (let j = 0; j < N; j++) {
        const terms = Array.from({ length: K }, (_, k) => a[i * K + k] * w[j * K + k]);
        const exact = terms.reduce((p, q) => p + q, 0);
        // Each factor is within 2^-4 of itself, or within 2^-10 of the smallest normal at its scale.
        const bound = terms.reduce((p, q) => p + Math.abs(q), 0) * 0.14 + 1e-4;
        expect(Math.abs(got[i * N + j] - exact) <= bound, `[${i}, ${j}]: ${got[i * N + j]}, not ${exact}`).toBe(true);
      }
    }
  });
});

describe('encode and decode', () => {
  it('are those of octavo/formats for float32 input', () => {
    const values = random.wide(1000, -20, 20);
    onEveryBuild((own, name) => {
      for (const dtype of ['fp8', 'float8_e5m2', 'bf16', 'float16', 'float32']) {
        const codes = own.encode(values, { dtype, saturate: false });
        expectSameBytes(codes, encode(values, dtype, { saturate: false }), name);
        expectSame(own.decode(codes, dtype), decode(codes, dtype), name);
      }
      expect(own.encode([], { dtype: 'fp8' })).toEqual(new Uint8Array(0));
      expect(own.decode(new Uint8Array(0), 'fp8')).toEqual(new Float32Array(0));
    });
  });

  it('read a part of a larger buffer as that part', () => {
    const codes = Uint8Array.of(1, 2, 0x38, 0x40, 5).subarray(2, 4);
    expectSame(engine.decode(codes, 'e4m3fn'), Float32Array.of(1, 2), 'decoded');
    const values = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    expectSame(engine.encode(values, { dtype: 'e4m3fn' }), Uint8Array.of(0x38, 0x40), 'encoded');
  });
});

describe('wrong arguments', () => {
  const t = () => engine.tensor([1, 2, 3, 4, 5, 6], [2, 3], 'float32');
  const freed = () => {
    const gone = t();
    engine.free(gone);
    return gone;
  };
  const replaced = () => {
    const gone = freed();
    expect(t().ptr).toBe(gone.ptr);
    return gone;
  };
  const cases: [string, () => unknown, typeof TypeError | typeof RangeError | typeof Error, RegExp][] = [
    [
      'tensor: too few values',
      () => engine.tensor([1], [2], 'float32'),
      RangeError,
      /^values: expected 2 numbers .* got 1/,
    ],
    [
      'tensor: no array',
      () => engine.tensor(undefined as never, [2], 'float32'),
      TypeError,
      /^values: .* got undefined/,
    ],
    ['tensor: a number', () => engine.tensor(3 as never, [1], 'float32'), TypeError, /^values: .* got 3/],
    ['tensor: empty shape', () => engine.tensor([], [], 'float32'), RangeError, /^shape: /],
    ['tensor: size 0', () => engine.tensor([], [0], 'float32'), RangeError, /^shape: .* got \[0\]/],
    ['tensor: half a row', () => engine.tensor([1], [0.5], 'float32'), RangeError, /^shape: /],
    ['tensor: no shape', () => engine.tensor([1], 1 as never, 'float32'), RangeError, /^shape: .* got 1/],
    ['tensor: unknown dtype', () => engine.tensor([1], [1], 'fp9'), RangeError, /^dtype: .* got 'fp9'/],
    ['tensor: no dtype', () => engine.tensor([1], [1], undefined as never), TypeError, /^dtype: .* got undefined/],
    ['empty: unknown dtype', () => engine.empty([1], 'e4m3'), RangeError, /^dtype: .* 'e4m3'/],
    ['empty: too large', () => engine.empty([2 ** 31], 'float32'), RangeError, /^shape: .* got 2147483648/],
    ['empty: beyond memory', () => engine.empty([2 ** 31 - 1], 'float32'), RangeError, /^memory: /],
    [
      'quantize: scaling',
      () => engine.quantize(a, [M, K], { dtype: 'fp8', scaling: 'block' as 'row' }),
      RangeError,
      /^scaling: .* got "block"/,
    ],
    ['quantize: dtype', () => engine.quantize(a, [M, K], { dtype: 'int8' }), RangeError, /^dtype: /],
    [
      'quantize: no seed',
      () => engine.quantize(a, [M, K], { dtype: 'fp8', rounding: 'stochastic' }),
      TypeError,
      /^seed: .* got undefined/,
    ],
    [
      'quantize: bad seed',
      () => engine.quantize(a, [M, K], { dtype: 'fp8', rounding: 'stochastic', seed: -1 }),
      TypeError,
      /^seed: .* got -1/,
    ],
    [
      'quantize: rounding',
      () => engine.quantize(a, [M, K], { dtype: 'fp8', rounding: 'up' as never }),
      RangeError,
      /^rounding: .* got 'up'/,
    ],
    ['encode: no array', () => engine.encode(null as never, { dtype: 'fp8' }), TypeError, /^values: .* got null/],
    [
      'encode: rounding',
      () => engine.encode([1], { dtype: 'fp8', rounding: 7 as never }),
      TypeError,
      /^rounding: .* got 7/,
    ],
    [
      'decode: wrong width',
      () => engine.decode(new Uint16Array(1), 'fp8'),
      TypeError,
      /^codes: expected Uint8Array .* got Uint16Array/,
    ],
    ['decode: signed bytes', () => engine.decode(new Int8Array(1) as never, 'fp8'), TypeError, /^codes: .* Int8Array/],
    ['decode: an array', () => engine.decode([1] as never, 'fp8'), TypeError, /^codes: .* got Array/],
    ['decode: nothing', () => engine.decode(null as never, 'fp8'), TypeError, /^codes: .* got null/],
    [
      'decode: no code',
      () => engine.decode(Uint8Array.of(15, 16), 'fp4'),
      RangeError,
      /^codes\[1\]: expected a code below 16 .* got 16/,
    ],
    ...([['1'], [undefined], [1n], BigInt64Array.of(1n), { length: 1 }] as never[]).map(
      (values): (typeof cases)[number] => [
        `values: ${typeof values[0]} in ${(values as object).constructor.name}`,
        () => [engine.tensor(values, [1], 'float32'), engine.encode(values, { dtype: 'fp8' })],
        TypeError,
        /^values\[0\]: expected a number, got /,
      ],
    ),
    [
      'values: a buffer that was sent away',
      () => {
        const values = Float32Array.of(1, 2);
        structuredClone(values, { transfer: [values.buffer] });
        return engine.tensor(values, [2], 'float32');
      },
      RangeError,
      /^values: expected 2 numbers .* got 0/,
    ],
    ['quantize: no options', () => engine.quantize(a, [M, K], undefined as never), TypeError, /^options: .* undefined/],
    ['encode: no options', () => engine.encode([1], undefined as never), TypeError, /^options: .* got undefined/],
    [
      'encode: saturate',
      () => engine.encode([1], { dtype: 'fp8', saturate: 'no' as never }),
      TypeError,
      /^saturate: expected a boolean, got 'no'/,
    ],
    ['read: nothing', () => engine.read(undefined as never), TypeError, /^read: expected a tensor, got undefined/],
    ['codes: a number', () => engine.codes(5 as never), TypeError, /^codes: expected a tensor, got 5/],
    ['free: nothing', () => engine.free(null as never), TypeError, /^free: expected a tensor, got null/],
    ['read: freed', () => engine.read(freed()), Error, /^read: expected a live tensor/],
    ['matmul: freed', () => engine.matmul(t(), freed()), Error, /^b: expected a live tensor/],
    ['read: more than there is', () => engine.read({ ...t(), shape: [17] }), Error, /^read: expected a live tensor/],
    [
      'read: scales of other rows',
      () =>
        engine.read({
          ...engine.quantize([1, 2, 3, 4, 5, 6], [2, 3], { dtype: 'fp8', scaling: 'row' }),
          shape: [6, 1],
        }),
      RangeError,
      /^read: expected the scales of a tensor of shape \[6,1\]/,
    ],
    ['matmul: options', () => engine.matmul(t(), t(), null as never), TypeError, /^options: .* got null/],
    [
      'matmul: out of an operand',
      () => [engine.tensor([1], [1, 1], 'float32')].map((x) => engine.matmul(x, x, { out: x })),
      RangeError,
      /^matmul: expected out with memory of its own/,
    ],
    ['scope: no function', () => engine.scope(5 as never), TypeError, /^scope: expected a function, got 5/],
    ['scope: a promise', () => engine.scope(async () => t()), TypeError, /^scope: .* got a promise/],
    [
      'matmul: a format without products',
      () => engine.matmul(engine.tensor([1, 2], [2, 1], 'float8_e4m3fnuz'), t()),
      RangeError,
      /^matmul: expected A of dtype float8_e4m3fn, .*, got float8_e4m3fnuz$/,
    ],
    ['matmul: inner sizes', () => engine.matmul(t(), t()), RangeError, /inner dimensions, got A with 3 and B with 2/],
    [
      'matmul: out',
      () => engine.matmul(t(), t(), { transposeB: true, out: t() }),
      RangeError,
      /out of shape \[2, 2\], got \[2, 3\]/,
    ],
    [
      'matmul: no tensor',
      () => engine.matmul(t(), undefined as never),
      TypeError,
      /^b: expected a tensor, got undefined/,
    ],
    ['matmul: an array', () => engine.matmul([1, 2] as never, t()), TypeError, /^a: expected a tensor, got Array/],
    [
      'free: what stands in the place of a freed tensor',
      () => engine.free(replaced()),
      Error,
      /^free: expected a live tensor/,
    ],
    [
      'read: the same',
      () => engine.read(replaced()),
      Error,
      /^read: expected a live tensor of this engine, got one that was freed/,
    ],
    [
      'free: twice',
      () => [engine.empty([1], 'fp8')].flatMap((x) => [x, x]).map((x) => engine.free(x)),
      Error,
      /^free: expected a live tensor/,
    ],
  ];

  it.each(cases)('%s', (_, call, kind, message) => {
    engine.scope(() => {
      const before = engine.arena.bytesInUse;
      let error: unknown;
      try {
        call();
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(kind);
      expect((error as Error).message).toMatch(message);
      // What the arguments allocated is there still; 512 bytes hold two tensors of the tests above.
      expect(engine.arena.bytesInUse - before).toBeLessThanOrEqual(512);
    });
  });

  it('a tensor of another engine, at an address that both have given', async () => {
    const engines = await Promise.all([1, 2].map(() => init({ threads: 1, build: 'simd' })));
    const [mine, theirs] = engines.map((own, i) => own.tensor([i], [1], 'float32'));
    expect(mine.ptr).toBe(theirs.ptr);
    for (const call of [() => engines[0].read(theirs), () => engines[0].free(theirs)]) {
      expect(call).toThrow(/: expected a live tensor of this engine, got one that was freed or is another's$/);
    }
    expectSame(engines[0].read(mine), Float32Array.of(0), 'the own one');
    for (const own of engines) own.dispose();
  });

  it('keeps its shape where the array it was given changes', () => {
    const shape = [2, 3];
    const own = engine.tensor([1, 2, 3, 4, 5, 6], shape, 'float32');
    shape[0] = 300;
    expect(own.shape).toEqual([2, 3]);
    engine.free(own);
  });

  it('after dispose', async () => {
    const own = await init({ threads: 1 });
    const x = own.tensor([1], [1], 'float32');
    own.dispose();
    for (const call of [
      () => own.encode([1], { dtype: 'fp8' }),
      () => own.tensor([1], [1], 'float32'),
      () => own.empty([1], 'float32'),
      () => own.read(x),
      () => own.codes(x),
      () => own.matmul(x, x),
    ]) {
      expect(call).toThrow(/^engine: expected an open engine, got one that was disposed$/);
    }
    expect(() => own.dispose()).not.toThrow();
  });
});

describe('memory', () => {
  it('scope frees what was made inside, except the tensor it returns', () => {
    const before = engine.arena.bytesInUse;
    const kept = engine.scope(() => {
      engine.tensor([1, 2, 3], [3], 'float32');
      const y = engine.quantize(w, [N, K], { dtype: 'fp8', scaling: 'row' });
      engine.scope(() => engine.tensor([1], [1], 'float32'));
      return y;
    });
    expect(engine.read(kept).length).toBe(N * K);
    expect(engine.arena.bytesInUse).toBeGreaterThan(before);
    engine.free(kept);
    expect(engine.arena.bytesInUse).toBe(before);
    expect(() =>
      engine.scope(() => {
        engine.tensor([1], [1], 'float32');
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(engine.arena.bytesInUse).toBe(before);
  });

  it('a step that allocates and frees leaves memory as it was, and does not grow it', () => {
    const step = () =>
      engine.scope(() => {
        const x = engine.quantize(a, [M, K], { dtype: 'fp8' });
        const y = engine.quantize(w, [N, K], { dtype: 'fp8' });
        engine.read(engine.matmul(x, y, { transposeB: true }));
      });
    step();
    const [used, size] = [engine.arena.bytesInUse, engine.arena.buffer.byteLength];
    for (let i = 0; i < 1000; i++) step();
    expect(engine.arena.bytesInUse).toBe(used);
    expect(engine.arena.buffer.byteLength).toBe(size);
  });

  it('goes on after scratch was refused, with scratch of its own', async () => {
    const own = await init({ threads: 1, build: 'simd' });
    const product = (of: Engine) => {
      const [x, y] = [of.quantize(a, [M, K], { dtype: 'fp8' }), of.quantize(w, [N, K], { dtype: 'fp8' })];
      return of.scope(() => of.read(of.matmul(x, y, { transposeB: true })));
    };
    // First with an engine that has none yet, then with one that loses what it has.
    for (const _ of [1, 2]) {
      expect(() => own.parallel('differing', 1, 2 ** 33, 0, 0, 0, 0)).toThrow(/^memory: expected at most 4 GiB/);
      const taken = own.arena.bytesInUse;
      expectSame(
        own.scope(() => product(own)),
        engine.scope(() => product(engine)),
        'after a refusal',
      );
      expect(own.arena.bytesInUse).toBeGreaterThan(taken);
    }
    own.dispose();
  });

  it('knows sizes beyond 2 GiB', () => {
    // 2^23 panels of 16 k for each of 32 rows and a line of 64.
    expect(engine.kernels.prepackedBytes(formatSpec('float8_e4m3fn').id, 2 ** 28, 8)).toBe(2 ** 23 * 576);
    expect(engine.kernels.prepackedBytes(formatSpec('bfloat16').id, 2 ** 28, 4)).toBe(2 ** 23 * 1088);
    expect(engine.kernels.quantizeScratch(2 ** 29)).toBeGreaterThan(2 ** 32);
    expect(engine.kernels.attentionScratch(1024, 2 ** 20)).toBeGreaterThan(2 ** 34);
  });

  it('a tensor keeps its values while memory grows', () => {
    const t = engine.tensor(w, [N, K], 'float32');
    const big = engine.empty([3 * 2 ** 20], 'float32');
    expect(engine.arena.peakBytes).toBeGreaterThan(3 * 2 ** 22);
    expectSame(engine.read(t), w, 'after growth');
    engine.free(big);
    engine.free(t);
  });
});
