/** Files by name in one place: a directory here, another kind of storage elsewhere. A file is replaced whole or not at all. */
import { hasNodeModules } from './features.js';

export interface Store {
  /** For messages. */
  readonly path: string;
  /** Undefined where there is no such file. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Written beside, flushed, renamed. With `previous`, the file that was there is kept under that name. */
  write(name: string, content: Uint8Array | string, previous?: string): Promise<void>;
  append(name: string, text: string): Promise<void>;
  list(): Promise<string[]>;
}

const TEMPORARY = '.octavo-tmp';

/** A directory of this machine; made when first written to. Needs node:fs (Node, Bun, Deno). */
export async function openDirectory(path: string): Promise<Store> {
  if (!hasNodeModules()) throw new Error(`${path}: expected a runtime with files (Node, Bun or Deno), got none`);
  const fs = await import('node:fs/promises');
  const { dirname, join } = await import('node:path');
  const at = (name: string) => join(path, name);

  const codeOf = (error: unknown) => (error as { code?: string }).code;
  const absent = (error: unknown) => codeOf(error) === 'ENOENT';
  /** The outcome, or one line with the path, what it should be and what the system says. */
  const expecting = async <T>(what: string, outcome: Promise<T>): Promise<T> => {
    try {
      return await outcome;
    } catch (cause) {
      throw new RangeError(`${path}: expected ${what}, got ${(cause as Error).message}`, { cause });
    }
  };
  /** Renames live in the directory. Windows opens none, and keeps them without being asked. */
  const flushDirectory = async () => {
    if (process.platform === 'win32') return;
    const handle = await fs.open(path, 'r');
    await handle.sync().finally(() => handle.close());
  };
  /** As mkdir's own `recursive`, which never ends where a parent is there and takes no directories (Node 20, below /proc). */
  const makeDirectory = async (target: string): Promise<void> => {
    const made = async () => {
      try {
        await fs.mkdir(target);
      } catch (error) {
        if (codeOf(error) !== 'EEXIST' || !(await fs.stat(target)).isDirectory()) throw error;
      }
    };
    try {
      await made();
    } catch (error) {
      if (!absent(error) || dirname(target) === target) throw error;
      await makeDirectory(dirname(target));
      await made();
    }
  };
  const present = async (target: string) =>
    fs.access(target).then(
      () => true,
      () => false,
    );

  const read = async (name: string) => {
    try {
      return new Uint8Array(await fs.readFile(at(name)));
    } catch (error) {
      if (absent(error)) return undefined;
      throw error;
    }
  };
  const write = async (name: string, content: Uint8Array | string, previous?: string) => {
    await makeDirectory(path);
    const temporary = at(name + TEMPORARY);
    try {
      await fs.writeFile(temporary, content, { flush: true });
      if (previous && (await present(at(name)))) await fs.rename(at(name), at(previous));
      await fs.rename(temporary, at(name));
    } catch (error) {
      await fs.rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    await flushDirectory();
  };
  const append = async (name: string, text: string) => {
    await makeDirectory(path);
    await fs.appendFile(at(name), text);
  };
  const list = async () => {
    try {
      const names = await fs.readdir(path);
      // What an interrupted write left behind is of no use to anybody.
      const left = names.filter((name) => name.endsWith(TEMPORARY));
      for (const name of left) await fs.rm(at(name), { force: true });
      return names.filter((name) => !left.includes(name));
    } catch (error) {
      if (absent(error)) return [];
      throw error;
    }
  };

  return {
    path,
    read: (name) => expecting('a directory with files that can be read', read(name)),
    write: (name, content, previous) => expecting('a directory that can be written to', write(name, content, previous)),
    append: (name, text) => expecting('a directory that can be written to', append(name, text)),
    list: () => expecting('a directory that can be read', list()),
  };
}
