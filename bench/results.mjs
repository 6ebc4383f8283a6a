/** Stores figures in bench/results: <date>-<runtime>.json, with what differs from the usual build and one thread in the name. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = new URL('results/', import.meta.url);

function nameOf({ date, runtime, build, threads }) {
  const parts = [date.slice(0, 10), runtime.replace(/[^\w.]+/g, '-')];
  if (build !== 'relaxed') parts.push(build);
  if (threads > 1) parts.push(`${threads}-threads`);
  return `${parts.join('-')}.json`;
}

/**
 * Saves figures. Other cases in a file of the same day and processor are kept, with their commit: they have their own ceilings, so a suite can be
 * run in parts, and again in part after a change.
 */
export function save(json, figures) {
  const file = json === true ? fileURLToPath(new URL(nameOf(figures), FOLDER)) : json;
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  const names = new Set(figures.results.map(({ name }) => name));
  const others =
    before?.machine.cpu === figures.machine.cpu ? before.results.filter(({ name }) => !names.has(name)) : [];
  const kept = others.map(({ commit = before.commit, ...result }) =>
    commit === figures.commit ? result : { ...result, commit },
  );
  writeFileSync(file, `${JSON.stringify({ ...figures, results: [...kept, ...figures.results] }, null, 1)}\n`);
  return file;
}

/** The newest file for each runtime, build and number of threads, ignoring files of --quick. */
export function newestResults() {
  if (!existsSync(FOLDER)) return [];
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.json'));
  const newest = new Map(files.sort().map((file) => [file.slice('YYYY-MM-DD-'.length), file]));
  return [...newest.values()]
    .map((file) => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')))
    .filter(({ quick }) => !quick);
}
