/** Causal attention, bit for bit against its mirror on every build; and over a cache against the whole sequence. */
import { describe, expect, it } from 'vitest';
import { type DType, formatSpec } from '../src/formats/index.js';
import type { Engine } from '../src/index.js';
import {
  type AttentionShape,
  attentionBackward,
  attentionCached,
  attentionForward,
  emptyCache,
} from '../src/ops/attention.js';
import { bytes, floats, int32At, upload } from '../src/ops/tensor.js';
import { useBuilds, WITH_TURBO } from './helpers/builds.js';
import { atEnd, normals, place, type Sample, sample } from './helpers/cases.js';
import { expectSame, expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { withGuardedScratch } from './helpers/scratch.js';
import { ATTENTION_SHAPES, attentionName } from './helpers/shapes.js';
import * as mirror from './reference/attention.js';
import { load, operands, store } from './reference/codes.js';

const onEveryBuild = useBuilds(WITH_TURBO);
const STORAGE = ['float32', 'bfloat16'] as const;
const widthOf = ({ heads, kvHeads, headDim }: AttentionShape) => (heads + 2 * kvHeads) * headDim;

/** Forward and backward of one case against the mirror. */
function check(shape: AttentionShape, qkv: Sample, dOut: Sample): void {
  const { dtype } = qkv;
  const read = operands(qkv.codes, dtype);
  const { out, lse } = mirror.attentionForward(read, dtype, shape);
  const codes = store(out, dtype);
  const stored = { out: load(codes, dtype), dOut: dOut.values };
  const gradients = mirror.attentionBackward(read, dtype, shape, stored, operands(dOut.codes, dtype), lse);
  onEveryBuild((engine, name) => {
    const rows = place(engine, qkv);
    const result = attentionForward(engine, rows, shape);
    expectSameBytes(engine.codes(result.out), codes, `${name}: out`);
    expectSame(floats(engine, result.lse), lse, `${name}: lse`);
    const grads = attentionBackward(engine, rows, result.out, result.lse, place(engine, dOut), shape);
    expectSameBytes(engine.codes(grads), store(gradients, dtype), `${name}: gradients`);
  });
}

describe.each(STORAGE)('%s', (dtype) => {
  it.each(ATTENTION_SHAPES.map((shape) => [attentionName(shape), shape] as const))('%s', (_, shape) => {
    const random = new Random(shape.time);
    const rows = shape.batch * shape.time;
    // Of deviation 1 the probabilities are even; of 4 some rows are all but one-hot.
    for (const deviation of [1, 4]) {
      const qkv = normals(random, [rows, widthOf(shape)], dtype, deviation);
      check(shape, qkv, normals(random, [rows, shape.heads * shape.headDim], dtype));
    }
  });

  it('probabilities and gradients far below 1 are as exact as the others', () => {
    // One key takes all the weight and its value is 0: what is left are the products of tiny probabilities and tiny values.
    const shape = { batch: 1, time: 40, heads: 1, kvHeads: 1, headDim: 8 };
    const random = new Random(3);
    const numbers: number[] = [];
    for (let row = 0; row < shape.time; row++) {
      const q = Array.from({ length: 8 }, (_, d) => (d === 0 ? 16 : 0));
      const k = Array.from({ length: 8 }, (_, d) => (d === 0 ? (row === 0 ? 0 : -(6 + 8.5 * random.uniform())) : 0));
      const v = Array.from({ length: 8 }, () => (row === 0 ? 0 : random.normal() * 2 ** -random.integer(20, 55)));
      numbers.push(...q, ...k, ...v);
    }
    const qkv = sample(numbers, [shape.time, 24], dtype);
    check(shape, qkv, sample(random.wide(shape.time * 8, -50, -10), [shape.time, 8], dtype));
  });
});

describe.each(STORAGE)('with a cache, %s: the rows of the whole sequence, in pieces of any length', (dtype: DType) => {
  const shapes = ATTENTION_SHAPES.filter(({ batch, time }) => batch === 1 && time > 1);

  function checkPieces(shape: AttentionShape, qkv: Sample): void {
    const { time, heads, headDim } = shape;
    const width = widthOf(shape);
    onEveryBuild((engine, name) => {
      const rows = place(engine, qkv);
      const whole = engine.codes(attentionForward(engine, rows, shape).out);
      for (const lengths of [[1], [2, 1, 1], [7], [time - 2, 1]]) {
        const cache = emptyCache(engine, time, shape, dtype, upload(engine, Int32Array.of(0)));
        for (let at = 0, i = 0; at < time; i++) {
          const length = Math.min(lengths[i % lengths.length], time - at);
          const ptr = rows.ptr + at * width * formatSpec(dtype).bytes;
          const piece = { ...rows, shape: [length, width], ptr };
          int32At(engine, cache.lengthAt)[0] = at;
          const out = attentionCached(engine, piece, { ...shape, time: length }, cache);
          const expected = whole.slice(at * heads * headDim, (at + length) * heads * headDim);
          expectSameBytes(engine.codes(out), expected, `${name}: ${length} tokens at ${at}, of ${lengths}`);
          at += length;
        }
      }
    });
  }

  it.each(shapes.map((shape) => [attentionName(shape), shape] as const))('%s', (_, shape) => {
    checkPieces(shape, normals(new Random(shape.time), [shape.time, widthOf(shape)], dtype, 2));
  });

  it.each(['queries', 'keys', 'values'])('%s about the bound below which BF16 operands are zero', (which) => {
    const shape = { batch: 1, time: 20, heads: 2, kvHeads: 1, headDim: 8 };
    const { values } = normals(new Random(7), [20, 32], dtype);
    // What multiplies them is so large that they count.
    const exponents = { queries: [-60, 60, 0], keys: [60, -60, 0], values: [0, 0, -60] }[which]!;
    const scaled = values.map((x, i) => x * 2 ** exponents[i % 32 < 16 ? 0 : i % 32 < 24 ? 1 : 2]);
    checkPieces(shape, sample(scaled, [20, 32], dtype));
  });

  it('an infinite key and a NaN value', () => {
    const shape = { batch: 1, time: 40, heads: 2, kvHeads: 2, headDim: 16 };
    const { values } = normals(new Random(8), [40, 96], dtype);
    // At the first position, as a panel's earlier queries would multiply a later one by their zeros.
    const [key, value] = [35, 90];
    checkPieces(
      shape,
      sample(
        values.map((x, i) => (i === key ? Infinity : i === value ? NaN : x)),
        [40, 96],
        dtype,
      ),
    );
  });
});

describe('the cache', () => {
  const shape = { batch: 1, time: 1, heads: 2, kvHeads: 1, headDim: 10 };

  /** Attention of `time` tokens from position `from` on over a cache of eight, which is one block. */
  function attend(engine: Engine, from: number, time: number, other: { batch?: number; dtype?: DType } = {}) {
    const { batch = 1, dtype = 'bfloat16' } = other;
    const cache = emptyCache(engine, 8, shape, 'bfloat16', upload(engine, Int32Array.of(from)));
    bytes(engine, cache.tensor).fill(0);
    const rows = place(engine, normals(new Random(4), [batch * time, widthOf(shape)], dtype));
    return { cache, rows, run: (at = cache) => attentionCached(engine, rows, { ...shape, batch, time }, at) };
  }

  it('refuses tokens beyond its positions, of several texts, or in another format', () => {
    onEveryBuild((engine) => {
      for (const [from, time] of [
        [8, 1],
        [7, 2],
        [0, 9],
      ] as const) {
        expect(attend(engine, from, time).run).toThrow(
          `cache: expected at most 8 positions, got ${time} more than ${from}`,
        );
      }
      expect(attend(engine, 0, 1, { batch: 2 }).run).toThrow('cache: expected tokens of one text, got a batch of 2');
      expect(attend(engine, 0, 1, { dtype: 'float32' }).run).toThrow('cache: expected tokens in bfloat16, got float32');
      expect(attend(engine, 7, 1).run).not.toThrow();
    });
  });

  it('may lie at the end of memory', () => {
    onEveryBuild((engine, name) => {
      for (const from of [0, 5, 7]) {
        const { cache, run } = attend(engine, from, 1);
        const expected = engine.codes(run());
        const out = run({ ...cache, tensor: atEnd(engine, cache.tensor) });
        expectSameBytes(engine.codes(out), expected, `${name}: position ${from}`);
      }
    });
  });

  it('no kernel writes beyond its scratch', () => {
    onEveryBuild((engine) => {
      if (engine.info.threads > 1) return;
      for (const headDim of [2, 8, 17, 64]) {
        for (const positions of [1, 8, 9, 31, 32, 33, 70]) {
          const of = { ...shape, headDim };
          const cache = emptyCache(engine, positions, of, 'bfloat16', upload(engine, Int32Array.of(positions - 1)));
          const row = place(engine, normals(new Random(4), [1, widthOf(of)], 'bfloat16'));
          const names = withGuardedScratch(engine, () => attentionCached(engine, row, of, cache));
          expect([...names]).toEqual(['attentionCached']);
        }
      }
    });
  });
});

it('a later key or value changes no earlier row', () => {
  const shape = { batch: 1, time: 60, heads: 2, kvHeads: 1, headDim: 8 };
  const qkv = normals(new Random(5), [60, widthOf(shape)], 'bfloat16');
  const later = sample(
    qkv.values.map((x, i) => (i < 50 * widthOf(shape) ? x : x + 1)),
    qkv.shape,
    'bfloat16',
  );
  onEveryBuild((engine, name) => {
    const [a, b] = [qkv, later].map((s) => engine.codes(attentionForward(engine, place(engine, s), shape).out));
    expectSameBytes(b.slice(0, 50 * 16), a.slice(0, 50 * 16), name);
    expect(b.slice(50 * 16), name).not.toEqual(a.slice(50 * 16));
  });
});

it('a later value whose product with dO overflows changes no gradient of an earlier query', () => {
  const shape = { batch: 1, time: 12, heads: 1, kvHeads: 1, headDim: 8 };
  const last = 11 * 24 + 16;
  for (const dtype of STORAGE) {
    const random = new Random(6);
    const qkv = normals(random, [12, 24], dtype);
    const dOut = sample(
      normals(random, [12, 8], dtype).values.map((x) => 4 * Math.sign(x)),
      [12, 8],
      dtype,
    );
    const later = sample(
      qkv.values.map((x, i) => (i < last ? x : 3e38)),
      qkv.shape,
      dtype,
    );
    onEveryBuild((engine, name) => {
      const [a, b] = [qkv, later].map((s) => {
        const rows = place(engine, s);
        const { out, lse } = attentionForward(engine, rows, shape);
        return engine.read(attentionBackward(engine, rows, out, lse, place(engine, dOut), shape));
      });
      for (let row = 0; row < 11; row++) {
        expectSame(b.slice(row * 24, row * 24 + 8), a.slice(row * 24, row * 24 + 8), `${name}, ${dtype}: dQ of ${row}`);
      }
    });
  }
});
