/**
 * The library in other runtimes: the same codes, products, training runs and texts, kernels that `octavo verify` finds nothing wrong with. Fewer
 * engines and steps than `npm run test:runtimes`, whose list of runtimes it takes.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { digestsOf, faults, fewEngines, REFERENCE, RUNTIMES } from './runtimes/matrix.mjs';

const TIMEOUT = 180_000;
const STEPS = 4;
const run = ({ run: conform }: (typeof RUNTIMES)[number], engines: object[], steps = STEPS) =>
  conform({ engines, steps, verified: 1 }, AbortSignal.timeout(TIMEOUT));
const reference = run(REFERENCE.runtime, REFERENCE.engines);

it.each(RUNTIMES)(
  '$name',
  async (runtime) => {
    const engines = fewEngines(runtime);
    const rows = await run(runtime, engines);
    const [expected] = await reference;
    expect(rows.length).toBe(engines.length);
    expect(rows[0].checks).toBeGreaterThan(300);
    expect(rows.flatMap((row, i) => faults(runtime, engines[i], row, expected))).toEqual([]);
  },
  TIMEOUT,
);

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
    const [row] = await run(REFERENCE.runtime, REFERENCE.engines, 50);
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
