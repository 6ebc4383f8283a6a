/** Finds experiments by name, among those shipped with the package, or by path. */
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileError } from '../../interop/errors.js';
import { parseJsonObject, plainJson } from '../../interop/json.js';
import { type Experiment, experimentOf, type Size } from '../../study/index.js';

const FOLDER = fileURLToPath(new URL('../../../studies', import.meta.url));
const EXTENSION = '.json';

export interface Study {
  readonly name: string;
  readonly path: string;
  /** Whether it is part of the package. */
  readonly shipped: boolean;
}

/** The shipped experiments, in name order. */
export const shippedStudies = (): Study[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith(EXTENSION))
    .sort()
    .map((file) => ({ name: basename(file, EXTENSION), path: `${FOLDER}/${file}`, shipped: true }));

/** A path ends in .json; anything else is a name. */
export function studyOf(given: string): Study {
  const shipped = shippedStudies();
  const found = shipped.find(({ name, path }) => name === given || path === resolve(given));
  if (found) return found;
  if (given.endsWith(EXTENSION)) return { name: basename(given, EXTENSION), path: given, shipped: false };
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
