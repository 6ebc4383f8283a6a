/**
 * The library in other runtimes: the same codes, products, training runs and texts, kernels that `octavo verify` finds nothing wrong with. Fewer
 * engines and steps than `npm run test:runtimes`, whose list of runtimes it takes, and of each JavaScript engine one is verified.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { QUICK_CHECKS } from '../src/verify/index.js';
import { digestsOf, faults, fewEngines, REFERENCE, RUNTIMES } from './runtimes/matrix.mjs';

const TIMEOUT = 180_000;
const STEPS = 4;
type Runtime = (typeof RUNTIMES)[number];
const run = ({ run: conform }: Runtime, engines: object[], { steps = STEPS, verified = 0 } = {}) =>
  conform({ engines, steps, verified }, AbortSignal.timeout(TIMEOUT));
const reference = run(REFERENCE.runtime, REFERENCE.engines);
/** Flags and headers beside a name make the same JavaScript engine share memory, or multiply and add at once: they encode nothing. */
const isVerified = ({ name }: Runtime) => /^(Node \d+|\w+)$/.test(name);

it.each(RUNTIMES)(
  '$name',
  async (runtime) => {
    const engines = fewEngines(runtime);
    const verified = isVerified(runtime) ? 1 : 0;
    const rows = await run(runtime, engines, { verified });
    const [expected] = await reference;
    expect(rows.length).toBe(engines.length);
    expect(rows[0].checks).toBe(verified * QUICK_CHECKS);
    expect(rows.flatMap((row, i) => faults(runtime, engines[i], row, expected))).toEqual([]);
  },
  TIMEOUT,
);

it('every JavaScript engine and version is verified', () => {
  expect(
    RUNTIMES.filter(isVerified)
      .map(({ says }) => says)
      .sort(),
  ).toEqual([...new Set(RUNTIMES.map(({ says }) => says))].sort());
});

it('a row that is not as it should be is seen', async () => {
  const { runtime, engines } = REFERENCE;
  const [row] = await reference;
  const faultsOf = (other: object) => faults(runtime, engines[0], { ...row, ...other }, row).length;
  expect(faultsOf({})).toBe(0);
  for (const name of ['formats', 'products', 'files', 'text']) {
    expect(faultsOf({ digests: { ...row.digests, [name]: 'other' } }), name).toBe(1);
  }
  for (const recipe of Object.keys(row.digests.recipes)) {
    const recipes = { ...row.digests.recipes, [recipe]: 'other' };
    expect(faultsOf({ digests: { ...row.digests, recipes } }), recipe).toBe(1);
  }
  for (const info of [{ build: 'relaxed' }, { threads: 2 }, { turbo: true }, { runtime: 'node 21.0.0' }]) {
    expect(faultsOf({ info: { ...row.info, ...info } })).toBe(1);
  }
  for (const feature of ['relaxedSimd', 'sharedMemory'] as const) {
    const features = { ...row.info.features, [feature]: !row.info.features[feature] };
    expect(faultsOf({ info: { ...row.info, features } }), feature).toBe(1);
  }
  expect(faultsOf({ mismatches: [{}] })).toBe(1);
});

it(
  'docs/reproducibility.md has the digests of this code (else: npm run test:runtimes -- --write)',
  async () => {
    const [row] = await run(REFERENCE.runtime, REFERENCE.engines, { steps: 50 });
    const text = readFileSync(new URL('../docs/reproducibility.md', import.meta.url), 'utf8');
    const lines = text.split('\n').filter((line) => line.startsWith('| Node 20 '));
    expect(lines.length).toBe(2);
    for (const line of lines) {
      const cells = line.split('|').map((cell) => cell.trim());
      expect(cells).toEqual(expect.arrayContaining(Object.values(digestsOf(row))));
    }
  },
  TIMEOUT,
);
