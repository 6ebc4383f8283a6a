/** Where the results of a study go: a folder with its name, of one study alone. */
import { join, relative } from 'node:path';
import { openDirectory, type Store } from '../../engine/store.js';
import { FileError } from '../../interop/errors.js';
import { describeJson, parseJsonObject } from '../../interop/json.js';
import type { Size } from '../../study/index.js';
import type { Study } from './library.js';

export const RESULTS_FILE = 'results.json';
/** Beside the folders of studies: a folder for each run, by its digest. */
export const RUNS = 'runs';

export interface Place {
  readonly folder: Store;
  /** From there to the file of a study of one's own: what tells it from another of its name. */
  readonly file?: string;
}

/** Refused where the folder has results of another study: to write over them would be a loss without a word. */
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
