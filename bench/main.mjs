#!/usr/bin/env node
/** `npm run bench`, or `node bench/main.mjs` after `npm run build`: checks every contender, times it, prints the table. */
import { Command, InvalidArgumentError } from 'commander';
import { withDashes } from '../dist/cli/flag-names.js';
import { openEngine } from '../dist/cli/options.js';
import { init } from '../dist/index.js';
import { runInBrowser } from './browser.mjs';
import { allCases } from './cases.mjs';
import { openCeiling } from './ceiling.mjs';
import { environment, environmentLines } from './environment.mjs';
import { save } from './results.mjs';
import { openRivals } from './rivals/index.mjs';
import { runCases } from './run.mjs';
import { caseLines, HEADER, rivalLines } from './table.mjs';

/** Time per contender and round: longer than a pause of the system, short enough for a few rounds of all. */
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

const parser = () =>
  new Command('bench')
    .description('check and time the engine')
    .option('--filter <pattern>', 'only cases whose name matches this regular expression', pattern)
    .option('--build <name>', "kernels: 'simd', 'relaxed' or 'auto'", 'auto')
    .option('--turbo', '256-bit vectors, in Node 24 and newer')
    .option('--threads <n>', 'threads in all', positive, 1)
    .option('--browser <name>', "'chromium' or 'firefox': the cases that a page can run, there")
    .option('--rivals', 'other packages in the same rounds (bench/rivals); npm run bench installs them')
    .option('--long', 'with the cases that take minutes each')
    .option('--rounds <n>', 'measurements of each contender (default: 5, quick: 2)', positive)
    .option('--quick', 'tiny sizes: shows that everything runs, its figures mean nothing')
    .option('--json [file]', 'write the figures, by default to bench/results/<date>-<runtime>.json');

async function main(argv) {
  const command = parser();
  const options = command.parse(withDashes(argv, command.options)).opts();
  const { filter, threads, quick, long, rounds = quick ? 2 : 5 } = options;
  const timing = { rounds, seconds: quick ? QUICK_SECONDS : SECONDS };
  if (options.browser) return inBrowser(options, timing, argv);
  const cases = allCases({ quick, long }).filter(({ name }) => !filter || filter.test(name));
  if (cases.length === 0) throw new RangeError(`--filter: expected to match a case, got ${filter}`);
  // First, because requesting the relaxed build may need a flag that must be set before any wasm is compiled.
  const engine = await openEngine(options);
  if (options.turbo && !engine.info.turbo) throw new Error(`--turbo: ${engine.info.turboRefusal}`);
  const about = environment(engine, argv);
  const ceiling = await openCeiling(engine.info);
  const baseline = await init({ build: 'simd', threads: 1 });
  const single = threads > 1 ? await openEngine({ ...options, threads: 1 }) : undefined;
  const rivals = options.rivals ? await openRivals(threads) : [];
  console.log([...environmentLines(about), ...rivalLines(rivals), '', HEADER].join('\n'));
  const context = { engine, baseline, single, rivals, threads, build: about.build };
  const results = [];
  try {
    for await (const result of runCases(cases, context, ceiling, timing)) {
      console.log(caseLines(result).join('\n'));
      results.push(result);
    }
  } finally {
    // Keep what was measured before a case that fails.
    const notes = rivals.map(({ name, includes }) => ({ name, includes }));
    write(options, { ...about, ...timing, rivals: notes, results });
  }
  for (const each of [engine, ceiling, baseline, single]) each?.dispose();
}

/** The same in a page, which returns all results at once. */
async function inBrowser({ browser, build, ...options }, timing, argv) {
  const { info, results } = await runInBrowser(browser, { ...options, build, timing });
  const here = await init({ threads: 1 });
  const { startup: _, engine: __, ...about } = environment(here, argv);
  here.dispose();
  const { runtime, fused, threads } = info;
  const figures = { ...about, runtime: browserOf(runtime), build: info.build, fused, threads, ...timing, results };
  console.log([...environmentLines(figures), '', HEADER, ...results.flatMap(caseLines)].join('\n'));
  write(options, figures);
}

/** Shortens the long names of browsers. */
const browserOf = (runtime) =>
  runtime
    .match(/(Firefox|Chrome)\/[\d.]+/)?.[0]
    .replace('/', ' ')
    .toLowerCase() ?? runtime;

function write({ json, quick }, figures) {
  if (json && figures.results.length > 0) {
    console.log(`\nwritten to ${save(json, { ...figures, quick: Boolean(quick) })}`);
  }
}

try {
  await main(process.argv);
  // Worker threads of rivals would keep the process alive.
  process.exit();
} catch (error) {
  console.error(`bench: ${error.stack}`);
  process.exit(1);
}
