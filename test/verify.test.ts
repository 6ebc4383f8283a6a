/** What `octavo verify` finds, that it would find a mistake, and four rows of its exhaustive table; all of them are in test/slow. */
import { describe, expect, it } from 'vitest';
import { encode, encodeValue, formatSpec } from '../src/formats/index.js';
import { type Engine, init } from '../src/index.js';
import { runsOf } from '../src/verify/exhaustive.js';
import { exhaustive, type Finding, QUICK_CHECKS, quick, ROWS } from '../src/verify/index.js';
import { useBuilds } from './helpers/builds.js';
import { exhaustiveSuite, nameOf } from './helpers/exhaustive.js';
import { Random } from './helpers/rng.js';
import cuda from './vectors/cuda_digests.json' with { type: 'json' };
import digests from './vectors/exhaustive.json' with { type: 'json' };
import mlDtypes from './vectors/ml_dtypes_digests.json' with { type: 'json' };

// Every build; every number of threads is in test/codec.test.ts, and other runtimes in test/runtimes.test.ts.
const onEveryBuild = useBuilds([
  { build: 'simd', threads: 1 },
  { build: 'relaxed', threads: 2 },
]);

it('the quick checks find nothing, on every build', () => {
  onEveryBuild((engine, name) => {
    const findings = [...quick(engine)];
    expect(findings.length, name).toBe(QUICK_CHECKS);
    expect(
      findings.filter(({ mismatches }) => mismatches > 0),
      name,
    ).toEqual([]);
    // float4 has 16 codes, and no check has fewer inputs.
    expect(findings.every(({ inputs }) => inputs >= 16)).toBe(true);
  });
});

it('a wrong code is found, and said where', async () => {
  const engine = await init({ threads: 1 });
  const wrong = Object.create(engine) as Engine;
  wrong.encode = (values, { dtype, saturate }) => encode(values, dtype, { saturate });
  const findings: Finding[] = [];
  // Of one format; it takes a second for each.
  for (const finding of quick(wrong)) {
    if (findings.length > 0 && finding.dtype !== findings[0].dtype) break;
    if (finding.mismatches > 0) findings.push(finding);
  }
  const roundings = new Set(findings.map(({ rounding }) => rounding));
  expect([...roundings].sort()).toEqual(['stochastic', 'tiesToAway', 'towardZero']);
  expect(findings[0].first).toMatch(/^-?[\d.e-]+: expected \d+, got \d+$/);
  engine.dispose();
});

describe('exhaustively', () => {
  it('the expected runs are the definition, at random bits and at their own ends', () => {
    const random = new Random(1);
    const floats = new Float32Array(1);
    const bits = new Uint32Array(floats.buffer);
    for (const row of ROWS.filter(({ dtype }) => dtype !== 'bfloat16' && dtype !== 'float16')) {
      const { starts, codes } = runsOf(row);
      expect(starts[0]).toBe(0);
      const patterns = Array.from({ length: 200 }, () => random.word() >>> 0);
      for (const pattern of [...patterns, ...starts, ...starts.slice(1).map((start) => start - 1)]) {
        bits[0] = pattern;
        const at = starts.findLastIndex((start) => start <= pattern);
        const options = { ...row, random: row.rounding === 'stochastic' ? 0x5555 / 2 ** 16 : undefined };
        expect(codes[at]).toBe(encodeValue(floats[0], formatSpec(row.dtype), options));
      }
    }
  });

  it('the table has every row', () => {
    expect(Object.keys(digests.digests)).toEqual(ROWS.map(nameOf));
  });

  /** Where others differ for a reason docs/numerics.md names: float32 subnormals above 2^-127. */
  const DEPARTURES = ['float8_e8m0fnu tiesToEven overflowing'];

  it.each([
    ['CUDA', cuda.digests, []],
    ['ml_dtypes', mlDtypes.digests, DEPARTURES],
  ] as const)('the table is that of %s, where it has the row', (_, theirs, departures) => {
    const ours = digests.digests as Record<string, string>;
    const names = Object.keys(theirs);
    expect(names.length).toBeGreaterThan(6);
    expect(names.filter((name) => ours[name] !== (theirs as Record<string, string>)[name])).toEqual(departures);
  });

  // One of each width, rounding and overflow, with the one below.
  const few = ROWS.filter((row) =>
    [
      'float16 stochastic overflowing',
      'float8_e4m3fn tiesToEven saturating',
      'float6_e3m2fn towardZero overflowing',
    ].includes(nameOf(row)),
  );
  exhaustiveSuite(few);

  it('one wrong code in four thousand million is found', async () => {
    const engine = await init({ threads: 1 });
    const parallel = engine.parallel.bind(engine) as (name: string, ...rest: number[]) => void;
    const wrong = Object.create(engine) as Engine;
    (wrong as unknown as { parallel: typeof parallel }).parallel = (name, ...rest) => {
      parallel(name, ...rest);
      // The code of 1 + 2^-23.
      const [first, at] = [rest[2], rest[3]];
      if (name === 'encodeRange' && first === 0x3f800000) new Uint8Array(engine.arena.buffer)[at + 1]++;
    };
    const finding = exhaustive(wrong, ROWS.find((row) => nameOf(row) === 'float4_e2m1fn tiesToAway saturating')!);
    expect(finding.mismatches).toBe(1);
    expect(finding.first).toBe('1.0000001192092896 (0x3f800001): expected 2, got 3');
    engine.dispose();
  });
});
