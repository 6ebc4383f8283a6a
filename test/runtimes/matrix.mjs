/** Which runtimes the library is checked in, what each is found to have, and the engines to open in it. */
import { fileURLToPath } from 'node:url';
import { outcomeInBrowser } from '../../scripts/browser.mjs';
import { conformInProgram } from './programs.mjs';

const PAGE = fileURLToPath(new URL('.', import.meta.url));
const ALL_BUILDS = ['relaxed', 'simd'];
const program = (...command) => ({
  run: (job, signal) => conformInProgram(command, job, signal),
  builds: ALL_BUILDS,
  sharedMemory: true,
});
/** A page that is cross-origin isolated may share memory, another may not. */
const page = (browser, isolated) => ({
  run: async (job, signal) =>
    (await outcomeInBrowser(browser, { root: PAGE, isolated, strict: true, job, signal })).rows,
  builds: ALL_BUILDS,
  sharedMemory: isolated,
});
const TURBO = { builds: [...ALL_BUILDS, 'turbo'] };
const RELAXED_FLAG = '--experimental-wasm-relaxed-simd';

/** `says` is what begins its name in `engine.info`, or is in it. */
export const RUNTIMES = [
  { name: 'Node 20', says: 'node 20.', ...program('node', 20), builds: ['simd'] },
  { name: `Node 20 ${RELAXED_FLAG}`, says: 'node 20.', ...program('node', 20, RELAXED_FLAG), builds: ['relaxed'] },
  { name: 'Node 22', says: 'node 22.', ...program('node', 22) },
  { name: 'Node 24', says: 'node 24.', ...program('node', 24), ...TURBO },
  { name: 'Node 26', says: 'node 26.', ...program('node', 26), ...TURBO },
  { name: 'Bun', says: 'bun ', ...program('bun') },
  { name: 'Deno', says: 'deno ', ...program('deno') },
  { name: 'Chromium', says: 'Chrome/', ...page('chromium', false) },
  { name: 'Chromium, isolated', says: 'Chrome/', ...page('chromium', true) },
  { name: 'Firefox', says: 'Firefox/', ...page('firefox', false) },
  { name: 'Firefox, isolated', says: 'Firefox/', ...page('firefox', true) },
];

const engineOf = (build, threads) => (build === 'turbo' ? { turbo: true, threads } : { build, threads });

/** Every build on one, two and three threads; three are more than many machines have cores. */
export const allEngines = ({ builds, sharedMemory }) =>
  builds.flatMap((build) => (sharedMemory ? [1, 2, 3] : [1]).map((threads) => engineOf(build, threads)));

/** Every build once, on two threads or one in turn. */
export const fewEngines = ({ builds, sharedMemory }) =>
  builds.map((build, i) => engineOf(build, sharedMemory && i % 2 === 0 ? 2 : 1));

/** What every engine must agree with: the strict build on one thread. */
export const REFERENCE = { runtime: RUNTIMES[0], engines: [{ build: 'simd', threads: 1 }] };

/** Digests of a row under the heads of their columns. */
export const digestsOf = ({ digests: { formats, products, recipes, files, text } }) => ({
  formats,
  products,
  ...recipes,
  files,
  text,
});

/** What is wrong with a row: what its engine says it is, what verify found, and digests that are not the reference's. */
export function faults(
  { name, says, builds, sharedMemory },
  { build = 'relaxed', threads, turbo = false },
  row,
  reference,
) {
  const { info, mismatches } = row;
  const features = { relaxedSimd: builds.includes('relaxed'), sharedMemory };
  const expected = { build, threads, turbo, ...features, ...digestsOf(reference) };
  const got = { ...info, ...info.features, ...digestsOf(row) };
  const where = `${name}, ${turbo ? 'turbo' : build}, ${threads}`;
  const different = Object.keys(expected).filter((key) => got[key] !== expected[key]);
  return [
    ...(info.runtime.includes(says) ? [] : [`${where}: runtime: expected ${says}, got ${info.runtime}`]),
    ...different.map((key) => `${where}: ${key}: expected ${expected[key]}, got ${got[key]}`),
    ...mismatches.map((finding) => `${where}: verify: expected no mismatches, got ${JSON.stringify(finding)}`),
  ];
}

/** Cells of the table by head, a record for each engine. Browsers name themselves at length: what is told is name and version. */
export const rowsOf = (runtime, engines, rows) =>
  rows.map((row, i) => ({
    runtime: runtime.name,
    version: row.info.runtime.slice(row.info.runtime.indexOf(runtime.says)).match(/[\d.]+/)[0],
    build: engines[i].turbo ? 'turbo' : row.info.build,
    threads: String(row.info.threads),
    mismatches: `${row.mismatches.length} of ${row.checks}`,
    ...digestsOf(row),
  }));

/** A Markdown table, aligned. Rows that differ in nothing but the number of threads are one. */
export function tableOf(cells) {
  const merged = new Map();
  for (const { threads, ...rest } of cells) {
    const key = JSON.stringify(rest);
    merged.set(key, [...(merged.get(key) ?? []), threads]);
  }
  const heads = Object.keys(cells[0]);
  const rows = [...merged].map(([key, threads]) => {
    const row = { ...JSON.parse(key), threads: threads.join(', ') };
    return heads.map((head) => row[head]);
  });
  const widths = heads.map((head, i) => Math.max(...[head, ...rows.map((row) => row[i])].map(({ length }) => length)));
  const line = (texts) => `| ${texts.map((each, i) => each.padEnd(widths[i])).join(' | ')} |`;
  return [line(heads), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
