#!/usr/bin/env node
/** `npm run bench`, or `node bench/main.mjs` after `npm run build`: checks every contender, times it, prints the table. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { openEngine, withDashes } from '../dist/cli/options.js';
import { init } from '../dist/index.js';
import { allCases } from './cases.mjs';
import { ceilingsOf, openCeiling } from './ceiling.mjs';
import { environment, environmentLines } from './environment.mjs';
import { runCase } from './harness.mjs';
import { caseLines, HEADER } from './table.mjs';

/** For a contender in a round: longer than a pause of the system, short enough for a few rounds of all. */
const SECONDS = 0.05;
const QUICK_SECONDS = 0.002;

function positive(text) {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1)) throw new InvalidArgumentError('expected an integer of 1 or more.');
  return value;
}

function pattern(text) {
  try {
    return new RegExp(text, 'i');
  } catch (error) {
    throw new InvalidArgumentError(error.message);
  }
}

const options = () =>
  new Command('bench')
    .description('check and time the engine')
    .option('--filter <pattern>', 'only cases whose name matches this regular expression', pattern)
    .option('--build <name>', "kernels: 'simd', 'relaxed' or 'auto'", 'auto')
    .option('--threads <n>', 'threads in all', positive, 1)
    .option('--rounds <n>', 'measurements of each contender (default: 5, quick: 2)', positive)
    .option('--quick', 'tiny sizes: shows that everything runs, its figures mean nothing')
    .option('--json [file]', 'write the figures, by default to bench/results/<date>-<runtime>.json');

async function main(argv) {
  const { filter, build, threads, quick, json, rounds = quick ? 2 : 5 } = options().parse(withDashes(argv)).opts();
  const cases = allCases(quick).filter(({ name }) => !filter || filter.test(name));
  if (cases.length === 0) throw new RangeError(`--filter: expected to match a case, got ${filter}`);
  // First, since asking for the relaxed build may need a flag that must be set before any wasm is compiled.
  const engine = await openEngine({ build, threads });
  const about = environment(engine, argv);
  const ceiling = await openCeiling(engine.info);
  const baseline = await init({ build: 'simd', threads: 1 });
  const timing = { rounds, seconds: quick ? QUICK_SECONDS : SECONDS };
  console.log([...environmentLines(about), '', HEADER].join('\n'));
  const results = cases.map(({ name, prepare }) => {
    const result = engine.scoped(() =>
      ceiling.scoped(() => {
        const contenders = prepare({ engine, baseline });
        return runCase(engine, contenders, ceilingsOf(ceiling, contenders), timing);
      }),
    );
    console.log(caseLines(name, result).join('\n'));
    return { name, ...result };
  });
  for (const each of [engine, ceiling, baseline]) each.dispose();
  if (json) await save(json, { ...about, quick: Boolean(quick), ...timing, results });
}

async function save(json, figures) {
  const name = `${figures.date.slice(0, 10)}-${figures.runtime.replace(/[^\w.]+/g, '-')}.json`;
  const file = json === true ? fileURLToPath(new URL(`results/${name}`, import.meta.url)) : json;
  await writeFile(file, `${JSON.stringify(figures, null, 1)}\n`);
  console.log(`\nwritten to ${file}`);
}

try {
  await main(process.argv);
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
