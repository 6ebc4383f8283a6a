/** Finds the folder for the results of a study, and makes sure that it belongs to no other study. */
import { join, relative } from 'node:path';
import { openDirectory, type Store } from '../../engine/store.js';
import { FileError } from '../../interop/errors.js';
import { describeJson, parseJsonObject } from '../../interop/json.js';
import type { Size } from '../../study/index.js';
import type { Study } from './library.js';

export const RESULTS_FILE = 'results.json';
/** Contains one folder per run, named by its digest. */
export const RUNS = 'runs';

export interface Place {
  readonly folder: Store;
  /** Path from the folder to the study's file, which tells apart studies of the same name; undefined for shipped studies. */
  readonly file?: string;
}

/** Refuses a folder that has results of another study, which would be overwritten. */
export async function placeOf({ name, path, shipped }: Study, size: Size, outDir: string): Promise<Place> {
  const title = size === 'quick' ? `${name}-quick` : name;
  if (title === RUNS) {
    throw new RangeError(`study: expected another name than ${RUNS}, the folder of the runs themselves, got ${path}`);
  }
  const folder = await openDirectory(join(outDir, title));
  const file = shipped ? undefined : relative(folder.path, path);
  const there = await folder.read(RESULTS_FILE);
  if (there) {
    const where = join(folder.path, RESULTS_FILE);
    const record = parseJsonObject(there, where, { maxValues: 1 << 22 });
    const [study, otherSize, otherFile] = ['study', 'size', 'file'].map((field) => record.get(field));
    if (study !== name || otherSize !== size || otherFile !== file) {
      const other = typeof otherFile === 'string' ? join(folder.path, otherFile) : describeJson(study);
      const got = typeof study === 'string' ? `those of ${other} (${describeJson(otherSize)})` : 'another record';
      throw new FileError(
        `${where}: expected results of ${shipped ? name : path} ("${size}"), got ${got}; name another --out-dir`,
      );
    }
  }
  return { folder, file };
}
