/** Finds experiments by name, among those shipped with the package, or by path. */
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileError } from '../../interop/errors.js';
import { parseJsonObject, plainJson } from '../../interop/json.js';
import { type Experiment, experimentOf, type Size } from '../../study/index.js';

const FOLDER = fileURLToPath(new URL('../../../studies', import.meta.url));
const EXTENSION = '.json';

export interface Study {
  readonly name: string;
  readonly path: string;
}

/** The shipped experiments, in name order. */
export const shippedStudies = (): Study[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith(EXTENSION))
    .sort()
    .map((file) => ({ name: basename(file, EXTENSION), path: `${FOLDER}/${file}` }));

/** A path ends in .json; anything else is a name. */
export function studyOf(given: string): Study {
  if (given.endsWith(EXTENSION)) return { name: basename(given, EXTENSION), path: given };
  const shipped = shippedStudies();
  const found = shipped.find(({ name }) => name === given);
  if (found) return found;
  const names = shipped.map(({ name }) => name).join(', ');
  throw new RangeError(
    `study: expected one of ${names}, or a file ending in ${EXTENSION}, got ${JSON.stringify(given)}`,
  );
}

/** Reads and checks the file. Errors name the file and the field. */
export async function readExperiment({ path }: Study, size: Size): Promise<Experiment> {
  let content: Uint8Array;
  try {
    content = new Uint8Array(await readFile(path));
  } catch (error) {
    throw new RangeError(
      `study: expected a file that can be read, got ${path} (${(error as NodeJS.ErrnoException).code})`,
    );
  }
  const parsed = plainJson(parseJsonObject(content, path));
  try {
    return experimentOf(parsed, size);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new FileError(`${path}: ${error.message}`);
  }
}
