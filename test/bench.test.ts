/** The benchmarks: every case runs, is checked before it is timed, and a wrong result is refused. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkedRows } from '../bench/cases/gemm.mjs';
import { allCases } from '../bench/cases.mjs';
import { openCeiling } from '../bench/ceiling.mjs';
import { ceilingsOf } from '../bench/ceilings.mjs';
import { lineChart } from '../bench/chart.mjs';
import { environment, environmentLines } from '../bench/environment.mjs';
import { check, quantile, runCase, scoped } from '../bench/harness.mjs';
import { save } from '../bench/results.mjs';
import { parseShapes, readShapes } from '../bench/shapes.mjs';
import { caseLines } from '../bench/table.mjs';
import { type Engine, init } from '../src/index.js';

type Seen = Record<string, unknown>;

interface Contender {
  readonly name: string;
  readonly run: () => unknown;
  readonly seen: (result: unknown) => Seen | Promise<Seen>;
  readonly expected: () => Seen | Promise<Seen>;
  readonly close?: () => unknown;
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

const context = () => ({ engine, baseline, rivals: [], threads: 2, build: engine.info.build });

describe('every case', () => {
  it.each(allCases({ quick: true, long: true }))('$name', ({ name, prepare }) =>
    scoped(engine, () =>
      scoped(ceiling, async () => {
        const contenders: Contender[] = await prepare(context());
        const bounds: Contender[] = [...ceilingsOf(ceiling, contenders).values()];
        for (const contender of [...contenders, ...bounds]) {
          await scoped(engine, async () => {
            const seen = await contender.seen(await contender.run());
            const expected = await contender.expected();
            const fixed = { name: contender.name, run: () => undefined, expected: () => expected };
            await check(engine, { ...fixed, seen: () => seen });
            for (const [what, wrong] of wrongs(seen, expected)) {
              const label = `${contender.name}, ${what}`;
              await expect(check(engine, { ...fixed, seen: () => wrong }), label).rejects.toThrow(
                /wrong result, not timed/,
              );
            }
          });
        }
        for (const contender of contenders) await contender.close?.();
        // Contenders that move their state on are right only once.
        const fresh = await prepare(context());
        const result = await runCase(engine, fresh, ceilingsOf(ceiling, fresh), TIMING);
        expect(result.rows.map((row) => row.name)).toEqual(contenders.map((contender) => contender.name));
        for (const { rate, rounds, ofCeiling, speed } of result.rows) {
          expect(rounds.length).toBe(TIMING.rounds);
          expect([rate, ofCeiling, speed].every((x) => x > 0 && Number.isFinite(x))).toBe(true);
        }
        expect(caseLines({ name, ...result }).length).toBe(1 + result.rows.length + result.ceilings.length);
      }),
    ),
  );
});

describe('the harness', () => {
  it('refuses a tensor with one wrong byte in memory', async () => {
    const [{ prepare }] = allCases({ quick: true }).filter(({ name }) => name.startsWith('gemm'));
    await scoped(engine, async () => {
      for (const contender of await prepare(context())) {
        await check(engine, contender);
        const run = () => {
          const out = contender.run();
          new Uint8Array(engine.arena.buffer)[out.ptr] ^= 1;
          return out;
        };
        await expect(check(engine, { ...contender, run }), contender.name).rejects.toThrow(/wrong result/);
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

  it('times nothing of a case with a wrong contender', async () => {
    let runs = 0;
    const wrong = { ...right, name: 'wrong', run: () => ++runs };
    await expect(runCase(engine, [right, wrong], ceilings, TIMING)).rejects.toThrow(/^wrong: wrong result/);
    expect(runs).toBe(1);
  });

  it.each([false, true])('shows what a contender throws while it is timed (deferred: %s)', async (deferred) => {
    let runs = 0;
    const count = () => {
      if (++runs > 1) throw new Error('second run');
      return 3;
    };
    const run = deferred ? async () => count() : count;
    await expect(runCase(engine, [{ ...right, deferred, run }], ceilings, TIMING)).rejects.toThrow('second run');
  });

  it('times promises until they are kept, and closes contenders whatever happens', async () => {
    const closed: string[] = [];
    const pause = () => new Promise((resolve) => setTimeout(() => resolve(3), 4));
    const close = (name: string) => () => {
      closed.push(name);
      return { peakBytes: 7 };
    };
    const late = { ...right, name: 'late', deferred: true, run: pause, detail: { rival: 'x' }, close: close('late') };
    const { rows } = await runCase(engine, [late], ceilings, TIMING);
    expect(rows[0]).toMatchObject({ rival: 'x', peakBytes: 7 });
    expect(rows[0].seconds).toBeGreaterThan(0.003);
    const wrong = { ...right, run: () => 4, close: close('wrong') };
    await expect(runCase(engine, [wrong, late], ceilings, TIMING)).rejects.toThrow(/wrong result/);
    expect(closed).toEqual(['late', 'wrong', 'late']);
  });

  it('takes quantiles between values', () => {
    expect([0, 0.25, 0.5, 1].map((q) => quantile([4, 1, 3, 2], q))).toEqual([1, 1.75, 2.5, 4]);
    expect(quantile([5], 0.25)).toBe(5);
  });
});

it('the cases that run in a page do so, in Chromium', async () => {
  const main = fileURLToPath(new URL('../bench/main.mjs', import.meta.url));
  const args = [
    '--browser',
    'chromium',
    '--quick',
    '--rounds',
    '1',
    '--filter',
    'tiny dX|^training',
    '--build',
    'simd',
  ];
  const { stdout } = await promisify(execFile)(process.execPath, [main, ...args]);
  expect(stdout).toMatch(/^runtime {2}chrome [\d.]+$/m);
  expect(stdout).toMatch(/^gemm tiny dX, .*\n {2}float32 -> float32 +\S+ GFLOP\/s/m);
  expect(stdout).toMatch(/^training step, .*\n( {2}(f32|bf16|mxfp8|fp8)\S* +\S+ tokens\/s.*\n){8}/m);
}, 120_000);

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

it('the environment names machine, runtime, build, start-up, commit and command', () => {
  const about = environment(engine, ['node', 'bench/main.mjs', '--quick']);
  expect(about).toMatchObject({ build: engine.info.build, threads: 2, runtime: engine.info.runtime });
  const lines = environmentLines(about);
  const names = ['machine', 'runtime', 'build', 'start-up', 'commit', 'command'];
  expect(lines.map((line: string) => line.split(' ')[0])).toEqual(names);
  expect(lines.join()).not.toContain('undefined');
});

it('a file keeps other cases of the same processor, each with its commit', () => {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-results-'));
  const file = join(folder, 'figures.json');
  const run = (cpu: string, commit: string, ...names: string[]) => {
    save(file, { machine: { cpu }, commit, results: names.map((name) => ({ name, rows: [commit] })) });
    return JSON.parse(readFileSync(file, 'utf8')).results;
  };
  try {
    run('p', 'one', 'a', 'b', 'c');
    expect(run('p', 'two', 'b')).toEqual([
      { name: 'a', rows: ['one'], commit: 'one' },
      { name: 'c', rows: ['one'], commit: 'one' },
      { name: 'b', rows: ['two'] },
    ]);
    expect(run('p', 'two', 'c').map((each: { commit?: string }) => each.commit)).toEqual(['one', undefined, undefined]);
    expect(run('p', 'one', 'c').map((each: { commit?: string }) => each.commit)).toEqual([undefined, 'two', undefined]);
    expect(run('q', 'one', 'd').length).toBe(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('charts', () => {
  const ticks = [32, 64, 128].map((at) => ({ at, text: String(at) }));
  const line = { name: 'a < b', points: [1, 30, 60].map((y, i) => [32 * 2 ** i, y]) };
  const chart = (more: object) =>
    lineChart({
      title: 'T & U',
      xTitle: 'n',
      yTitle: 'GFLOP/s',
      series: [line, { ...line, dashed: true }],
      xTicks: ticks,
      ...more,
    });

  it.each([{}, { yLog: true }])('are SVG without holes, text escaped (%o)', (more) => {
    const svg = chart(more);
    expect(svg).toMatch(/^<svg .*<\/svg>\n$/s);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    expect(svg).toContain('a &lt; b');
    expect(svg).toContain('T &amp; U');
    expect(svg.match(/<circle/g)?.length).toBe(3);
  });

  it('put the largest value inside, and equal names apart', () => {
    const ys = [...chart({}).matchAll(/<text x="580" y="([\d.]+)"/g)].map(([, y]) => Number(y));
    expect(Math.abs(ys[0] - ys[1])).toBeGreaterThan(10);
    expect(Math.min(...[...chart({}).matchAll(/cy="([\d.]+)"/g)].map(([, y]) => Number(y)))).toBeGreaterThan(39);
  });
});
