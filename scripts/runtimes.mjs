/**
 * `npm run test:runtimes`: runs formats, kernels, products and 50 training steps with every recipe, in every runtime, build and number of threads,
 * and prints one table. Exits with code 1 if a row differs. With --write the table is also written into docs/reproducibility.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceMarked } from './marks.mjs';
import { ROOT, setup, setupRuntimes } from './setup.mjs';

const STEPS = 50;
/** Limit for all engines of one runtime; a slow one takes minutes. */
const TIMEOUT = 15 * 60_000;
const DOCUMENT = join(ROOT, 'docs/reproducibility.md');

await setup();
await setupRuntimes();
const { allEngines, faults, REFERENCE, RUNTIMES, rowsOf, tableOf } = await import('../test/runtimes/matrix.mjs');

const run = ({ run: conform }, engines) => conform({ engines, steps: STEPS }, AbortSignal.timeout(TIMEOUT));
const [reference] = await run(REFERENCE.runtime, REFERENCE.engines);
const cells = [];
const wrong = [];
for (const runtime of RUNTIMES) {
  const engines = allEngines(runtime);
  const began = performance.now();
  try {
    const rows = await run(runtime, engines);
    cells.push(...rowsOf(runtime, engines, rows));
    wrong.push(...rows.flatMap((row, i) => faults(runtime, engines[i], row, reference)));
  } catch (error) {
    wrong.push(`${runtime.name}: ${error.message}`);
  }
  const seconds = Math.round((performance.now() - began) / 1000);
  process.stderr.write(`${runtime.name}: ${engines.length} engines, ${seconds} s\n`);
}

const table = cells.length > 0 ? tableOf(cells) : 'No runtime gave a row.';
console.log(table);
for (const line of wrong) console.log(line);
console.log(wrong.length === 0 ? 'OK: all rows are equal' : `${wrong.length} differences`);
if (wrong.length > 0) process.exitCode = 1;
else if (process.argv.includes('--write')) {
  writeFileSync(DOCUMENT, replaceMarked(DOCUMENT, readFileSync(DOCUMENT, 'utf8'), 'runtimes', table));
}
