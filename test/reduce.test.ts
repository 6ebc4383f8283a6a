/** Sums and digests against their mirror on every build: the same for any number of threads. */
import { describe, expect, it } from 'vitest';
import { REDUCE_ELEMENTS } from '../src/engine/units.js';
import { digestOf, digestOfBytes, digestOfContent, globalNorm } from '../src/ops/reduce.js';
import { bytes, empty, floats } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, normals, place } from './helpers/cases.js';
import { expectSame, expectSameNumber } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import * as mirror from './reference/reduce.js';

const onEveryBuild = useBuilds();
/** Tails of a vector, and both sides of a chunk of 4096. */
const LENGTHS = [1, 2, 3, 4, 5, 7, 100, 4095, 4096, 4097, 4099, 8192, 20_003];

describe('the global norm', () => {
  it('of tensors of every length, and of all of them together', () => {
    const random = new Random(1);
    const tensors = LENGTHS.map((length) => random.wide(length, -40, 20));
    const each = tensors.map((t) => mirror.globalNorm([t]));
    const all = mirror.globalNorm(tensors);
    onEveryBuild((engine, name) => {
      const placed = tensors.map((t) => floatTensor(engine, t, [t.length]));
      placed.forEach((t, i) => {
        expectSameNumber(globalNorm(engine, [t]), each[i], `${name}, ${LENGTHS[i]} elements`);
      });
      expectSameNumber(globalNorm(engine, placed), all, `${name}, all`);
      expect(globalNorm(engine, [floatTensor(engine, [3, Number.NaN, 1], [3])]), name).toBeNaN();
      expect(globalNorm(engine, [floatTensor(engine, [3e38, 3e38], [2])]), `${name}: no overflow`).toBe(
        Math.sqrt(2 * Math.fround(3e38) ** 2),
      );
    });
  });
});

describe('sumRows', () => {
  it('adds to what is there, row after row', () => {
    for (const [rows, columns] of [
      [1, 1],
      [5, 3],
      [3, 4096],
      [2, 4097],
      [7, 9000],
    ]) {
      const random = new Random(columns);
      const values = random.wide(rows * columns, -10, 10);
      const before = random.wide(columns, -10, 10);
      const expected = mirror.sumRows(values, columns, before);
      onEveryBuild((engine, name) => {
        const src = floatTensor(engine, values, [rows, columns]);
        const out = floatTensor(engine, before, [columns]);
        engine.parallel('sumRows', Math.ceil(columns / REDUCE_ELEMENTS), 0, src.ptr, rows, columns, out.ptr);
        expectSame(floats(engine, out), expected, `${name}, [${rows}, ${columns}]`);
      });
    }
  });
});

describe('the digest', () => {
  const random = new Random(2);
  const noise = Uint8Array.from({ length: 200_003 }, () => random.word());

  it('of bytes from outside, a piece at a time, is that of the whole', () => {
    const long = Uint8Array.from({ length: 64 * 65_536 * 2 + 12_345 }, (_, i) => noise[i % noise.length]);
    const expected = mirror.digestOfBytes(long);
    onEveryBuild((engine, name) => {
      expect(digestOfContent(engine, long), name).toBe(expected);
      expect(digestOfContent(engine, noise), name).toBe(mirror.digestOfBytes(noise));
    });
  });

  it('of every length equals its definition', () => {
    for (const length of [1, 15, 16, 17, 31, 32, 33, 1000, 65_535, 65_536, 65_537, 131_072, 200_003]) {
      const expected = mirror.digestOfBytes(noise.subarray(0, length));
      onEveryBuild((engine, name) => {
        const t = empty(engine, [length], 'float8_e5m2');
        bytes(engine, t).set(noise.subarray(0, length));
        expect(digestOfBytes(engine, t.ptr, length), `${name}, ${length} bytes`).toBe(expected);
      });
    }
  });

  it('of a state changes with any bit, scale, number and order, and with nothing else', () => {
    const a = normals(random, [70, 300], 'bfloat16');
    const b = normals(random, [9], 'float32');
    const digests = new Set<string>();
    onEveryBuild((engine) => {
      const [x, y] = [place(engine, a), place(engine, b)];
      digests.add(digestOf(engine, [x, y], [1, 2]));
    });
    expect(digests.size, 'one digest for all builds').toBe(1);
    onEveryBuild((engine, name) => {
      const [x, y] = [place(engine, a), place(engine, b)];
      const others = [
        digestOf(engine, [y, x], [1, 2]),
        digestOf(engine, [x, y], [2, 1]),
        digestOf(engine, [x, { ...y, scaleInv: 2 }], [1, 2]),
        digestOf(engine, [x], [1, 2]),
      ];
      for (let i = 0; i < 64; i++) {
        const at = random.integer(0, 70 * 300 * 2 - 1);
        const bit = 1 << random.integer(0, 7);
        bytes(engine, x)[at] ^= bit;
        others.push(digestOf(engine, [x, y], [1, 2]));
        bytes(engine, x)[at] ^= bit;
      }
      const [own] = digests;
      expect(new Set(others).has(own), name).toBe(false);
      expect(digestOf(engine, [x, y], [1, 2]), name).toBe(own);
    });
  });
});
