/** The benchmarks: every case runs, is checked before it is timed, and a wrong result is refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkedRows } from '../bench/cases/gemm.mjs';
import { allCases } from '../bench/cases.mjs';
import { ceilingsOf, openCeiling } from '../bench/ceiling.mjs';
import { environment, environmentLines } from '../bench/environment.mjs';
import { check, quantile, runCase } from '../bench/harness.mjs';
import { parseShapes, readShapes } from '../bench/shapes.mjs';
import { caseLines } from '../bench/table.mjs';
import { type Engine, init } from '../src/index.js';

type Seen = Record<string, unknown>;

interface Contender {
  readonly name: string;
  readonly run: () => unknown;
  readonly seen: (result: unknown) => Seen;
  readonly expected: () => Seen;
}

const TIMING = { rounds: 2, seconds: 0.001 };
let engine: Engine;
let baseline: Engine;
let ceiling: Engine;

beforeAll(async () => {
  engine = await init({ threads: 2 });
  baseline = await init({ build: 'simd', threads: 1 });
  ceiling = await openCeiling(engine.info);
});
afterAll(() => {
  for (const each of [engine, baseline, ceiling]) each.dispose();
});

/** The least that can be wrong with a value. */
function spoiled(value: unknown, wanted: unknown): unknown {
  if (ArrayBuffer.isView(value)) {
    const copy = (value as Uint8Array).slice();
    new Uint8Array(copy.buffer)[Math.floor(copy.byteLength / 2)] ^= 1;
    return copy;
  }
  if (typeof value !== 'number') return `${value}x`;
  const within = (wanted as { within?: number }).within;
  return within === undefined
    ? value + Math.abs(value) * Number.EPSILON
    : (wanted as { near: number }).near + 1.01 * within;
}

/** What a result could have instead of what it has, by name: each must be refused. */
function wrongs(seen: Seen, expected: Seen): [string, Seen][] {
  return Object.keys(expected).flatMap((key) => {
    const value = seen[key];
    const wrong: [string, unknown][] = [
      ['one bit', spoiled(value, expected[key])],
      ['missing', undefined],
    ];
    if (typeof value === 'number') wrong.push(['NaN', Number.NaN]);
    if (ArrayBuffer.isView(value)) wrong.push(['short', (value as Uint8Array).subarray(1)]);
    return wrong.map(([what, other]): [string, Seen] => [`${key}: ${what}`, { ...seen, [key]: other }]);
  });
}

describe('every case', () => {
  it.each(allCases(true))('$name', ({ name, prepare }) => {
    engine.scoped(() =>
      ceiling.scoped(() => {
        const contenders: Contender[] = prepare({ engine, baseline });
        const bounds: Contender[] = [...ceilingsOf(ceiling, contenders).values()];
        for (const contender of [...contenders, ...bounds]) {
          engine.scoped(() => {
            const seen = contender.seen(contender.run());
            const expected = contender.expected();
            const fixed = { name: contender.name, run: () => undefined, expected: () => expected };
            check(engine, { ...fixed, seen: () => seen });
            for (const [what, wrong] of wrongs(seen, expected)) {
              const label = `${contender.name}, ${what}`;
              expect(() => check(engine, { ...fixed, seen: () => wrong }), label).toThrow(/wrong result, not timed/);
            }
          });
        }
        // Contenders that move their state on are right only once.
        const fresh = prepare({ engine, baseline });
        const result = runCase(engine, fresh, ceilingsOf(ceiling, fresh), TIMING);
        expect(result.rows.map((row) => row.name)).toEqual(contenders.map((contender) => contender.name));
        for (const { rate, rounds, ofCeiling, speed } of result.rows) {
          expect(rounds.length).toBe(TIMING.rounds);
          expect([rate, ofCeiling, speed].every((x) => x > 0 && Number.isFinite(x))).toBe(true);
        }
        expect(caseLines(name, result).length).toBe(1 + result.rows.length + result.ceilings.length);
      }),
    );
  });
});

describe('the harness', () => {
  it('refuses a tensor with one wrong byte in memory', () => {
    const [{ prepare }] = allCases(true).filter(({ name }) => name.startsWith('gemm'));
    engine.scoped(() => {
      for (const contender of prepare({ engine, baseline })) {
        check(engine, contender);
        const run = () => {
          const out = contender.run();
          new Uint8Array(engine.arena.buffer)[out.ptr] ^= 1;
          return out;
        };
        expect(() => check(engine, { ...contender, run }), contender.name).toThrow(/wrong result/);
      }
    });
  });

  const sum = {
    name: 'sum',
    amount: 1,
    unit: 'FLOP',
    limit: { kind: 'exact', amount: 1 },
    expected: () => ({ value: 3 }),
  };
  const right = { ...sum, run: () => 3, seen: (value: number) => ({ value }) };
  const ceilings = new Map([['exact', right]]);

  it('times nothing of a case with a wrong contender', () => {
    let runs = 0;
    const wrong = { ...right, name: 'wrong', run: () => ++runs };
    expect(() => runCase(engine, [right, wrong], ceilings, TIMING)).toThrow(/^wrong: wrong result/);
    expect(runs).toBe(1);
  });

  it('shows what a contender throws while it is timed', () => {
    let runs = 0;
    const run = () => {
      if (++runs > 1) throw new Error('second run');
      return 3;
    };
    expect(() => runCase(engine, [{ ...right, run }], ceilings, TIMING)).toThrow('second run');
  });

  it('takes quantiles between values', () => {
    expect([0, 0.25, 0.5, 1].map((q) => quantile([4, 1, 3, 2], q))).toEqual([1, 1.75, 2.5, 4]);
    expect(quantile([5], 0.25)).toBe(5);
  });
});

it('large products are checked in rows from first to last', () => {
  expect(checkedRows(5, 1)).toEqual([0, 1, 2, 3, 4]);
  const rows = checkedRows(1000, 1e6);
  expect([rows.length, rows[0], rows[19]]).toEqual([20, 0, 999]);
  expect(checkedRows(1000, 1e12)).toEqual([0, 999]);
  expect(checkedRows(1, 1e12)).toEqual([0]);
});

it('shapes are read, and refused by line', () => {
  expect(readShapes().length).toBeGreaterThan(20);
  expect(parseShapes('# comment\n\n1 2 3\n4 5 6 tn dW # more', 'x')).toEqual([
    { m: 1, n: 2, k: 3, layout: 'nt', name: 'x' },
    { m: 4, n: 5, k: 6, layout: 'tn', name: 'x dW' },
  ]);
  for (const line of ['1 2', '1 2 0', '1 2 x', '1 2 3 tt'])
    expect(() => parseShapes(`\n${line}`, 'x')).toThrow(/^x:2: expected/);
});

it('the environment names machine, runtime, build, commit and command', () => {
  const about = environment(engine, ['node', 'bench/main.mjs', '--quick']);
  expect(about).toMatchObject({ build: engine.info.build, threads: 2, runtime: engine.info.runtime });
  const lines = environmentLines(about);
  expect(lines.map((line: string) => line.split(' ')[0])).toEqual(['machine', 'runtime', 'build', 'commit', 'command']);
  expect(lines.join()).not.toContain('undefined');
});
