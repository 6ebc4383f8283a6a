/** Casts of float32 to E4M3 with a copy in E5M2, which go through assembly/twice.ts, against the mirror, on every build. */
import { describe, it } from 'vitest';
import { encode } from '../src/formats/index.js';
import { quantize } from '../src/ops/quantize.js';
import { useBuilds } from './helpers/builds.js';
import { place, sample } from './helpers/cases.js';
import { expectSameBytes, expectSameNumber } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import * as mirror from './reference/quantize.js';

const onEveryBuild = useBuilds();
const random = new Random(23);

/** Numbers by kind, for a scale of 32. All but NaN take the path. */
const KINDS: Readonly<Record<string, (n: number) => Float32Array>> = {
  normal: (n) => random.wide(n, -8, 2),
  'rounded up to a power of two': (n) =>
    random.wide(n, -8, 2).map((x) => 1.99 * 2 ** Math.floor(Math.log2(Math.abs(x)))),
  'subnormal codes and zeros': (n) =>
    random.wide(n, -20, -4).map((x, i) => (i % 7 === 0 ? (i % 2 ? -0 : 0) : i % 11 === 0 ? x * 2 ** -120 : x)),
  // Of these, the last is the largest magnitude.
  'one at the largest code': (n) => random.wide(n, -8, 2).map((x, i) => (i === n - 1 ? -448 / 32 : x)),
  'one beyond it': (n) => random.wide(n, -8, 2).map((x, i) => (i === n - 1 ? 17 : x)),
  infinity: (n) => random.wide(n, -8, 2).map((x, i) => (i === 0 ? Number.NEGATIVE_INFINITY : x)),
  'from every binade': (n) => random.wide(n, -149, 127),
  'up to the largest that some scale brings into range': (n) => random.wide(n, 80, 106),
  NaN: (n) => random.wide(n, -8, 2).map((x, i) => (i === n >> 1 ? Number.NaN : x)),
  zeros: (n) => new Float32Array(n),
};
const SIZES = [1, 15, 16, 36, 4096 + 35];
/** Of the cast and of the copy. Only powers of two take the path, and only those at which no step leaves the range of float32. */
const SCALES = [
  [32, 2 ** 11],
  [27.5, 0.3],
  [2 ** -9, 2 ** -11],
  [-32, 4],
  [32, -4],
  [32, Number.POSITIVE_INFINITY],
  ...[-149, -127, -101, -100, -96, -95, -94, -92, -89, -88, 111, 112, 113, 114, 119, 120, 121, 122, 127].flatMap(
    (exponent) =>
      [
        [2 ** exponent, 1],
        [1, 2 ** exponent],
      ] as const,
  ),
];

describe.each(['float8_e4m3fn', 'float8_e4m3'] as const)('%s and a copy in E5M2', (dtype) => {
  it.each(Object.keys(KINDS))('%s', (kind) => {
    for (const n of SIZES) {
      const numbers = KINDS[kind](n);
      for (const [scale, copyScale] of n > 100 ? SCALES.slice(0, 3) : SCALES) {
        const values = numbers.map((x) => x * (32 / scale));
        const codes = encode(mirror.scaled(values, scale), dtype, { saturate: true });
        const copies = encode(mirror.scaled(values, copyScale), 'float8_e5m2', { saturate: true });
        const health = mirror.health(values, scale, codes, dtype);
        onEveryBuild((engine, name) => {
          const label = `${name}, ${n} numbers, times ${scale} and ${copyScale}`;
          const second = { dtype: 'float8_e5m2', scale: copyScale } as const;
          const found = quantize(engine, place(engine, sample(values, [n], 'float32')), { dtype, scale, second });
          expectSameBytes(engine.codes(found.codes), codes, label);
          expectSameBytes(engine.codes(found.second!), copies, `${label}: copy`);
          for (const key of ['amax', 'saturated', 'underflowed'] as const)
            expectSameNumber(found.health[key], health[key], `${label}: ${key}`);
        });
      }
    }
  });
});
