/** Storage for named files: a directory, or another kind of storage. A file is replaced as a whole or not at all. */
import { describe, sameBytes } from '../formats/check.js';
import { hasNodeModules } from './features.js';

export interface Store {
  /** Location, for messages. */
  readonly path: string;
  /** The content of a file; undefined if there is no such file. */
  read(name: string): Promise<Uint8Array | undefined>;
  /**
   * Locks the store for one writer, creating it if needed and removing what an interrupted write left behind. Returns the function that unlocks
   * it.
   */
  lock(): Promise<() => Promise<void>>;
  /** Writes a temporary file, flushes it, reads it back and renames it. With `previous`, the file it replaces is kept under that name. */
  write(name: string, content: Uint8Array | string, previous?: string): Promise<void>;
  append(name: string, text: string): Promise<void>;
  list(): Promise<string[]>;
}

const TEMPORARY = '.octavo-tmp';
/** Bytes read at a time when a written file is verified. */
const CHUNK = 1 << 20;

/** Bytes read at a time of files that `readFile` refuses, those of 2 GiB and more. */
const PIECE = 1 << 30;

/** Reads a file of any size, or a pipe. Needs node:fs. */
export async function readWhole(path: string, piece = PIECE): Promise<Uint8Array<ArrayBuffer>> {
  const { open } = await import('node:fs/promises');
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size < piece) return new Uint8Array(await handle.readFile());
    const content = new Uint8Array(size);
    let at = 0;
    for (let read = 1; read > 0; at += read) {
      ({ bytesRead: read } = await handle.read(content, at, Math.min(piece, size - at), at));
    }
    return content.subarray(0, at);
  } finally {
    await handle.close();
  }
}

/** A local directory as a store; lock it before writing. Needs node:fs (Node, Bun, Deno). */
export async function openDirectory(path: string): Promise<Store> {
  if (typeof path !== 'string') throw new TypeError(`directory: expected a path, got ${describe(path)}`);
  if (path === '') throw new RangeError('directory: expected a path, got an empty text');
  if (!hasNodeModules()) throw new Error(`${path}: expected a runtime with files (Node, Bun or Deno), got none`);
  const fs = await import('node:fs/promises');
  const { join } = await import('node:path');
  const { codeOf, LOCK_FILE, lockDirectory } = await import('./lock.js');
  const at = (name: string) => join(path, name);

  const absent = (error: unknown) => codeOf(error) === 'ENOENT';
  /** Awaits `outcome`; an error becomes one line with the path, what was expected and the system's message. */
  const expecting = async <T>(what: string, outcome: Promise<T>): Promise<T> => {
    try {
      return await outcome;
    } catch (cause) {
      throw new RangeError(`${path}: expected ${what}, got ${(cause as Error).message}`, { cause });
    }
  };
  /** Makes renames durable. Windows cannot open a directory, and keeps renames without this. */
  const flushDirectory = async () => {
    if (process.platform === 'win32') return;
    const handle = await fs.open(path, 'r');
    await handle.sync().finally(() => handle.close());
  };
  const present = async (target: string) =>
    fs.access(target).then(
      () => true,
      () => false,
    );

  const read = async (name: string) => {
    try {
      return await readWhole(at(name));
    } catch (error) {
      if (absent(error)) return undefined;
      // The system's message does not name the file.
      if (codeOf(error) === 'EISDIR') throw new Error(`a directory with the name ${name}`, { cause: error });
      throw error;
    }
  };
  /** Reads the file back: a file system that is full, or that loses data, may report it late or never. */
  const verify = async (target: string, content: Uint8Array) => {
    const handle = await fs.open(target, 'r');
    try {
      const chunk = new Uint8Array(CHUNK);
      for (let start = 0; start < content.length; start += chunk.length) {
        const expected = content.subarray(start, start + chunk.length);
        const { bytesRead } = await handle.read(chunk, 0, expected.length, start);
        if (!sameBytes(chunk.subarray(0, bytesRead), expected)) {
          throw new Error(`others than were written to ${target}, from byte ${start} on`);
        }
      }
    } finally {
      await handle.close();
    }
  };
  /** Gives the file a second name, so that it keeps its own until another takes it; where there are no links, the second instead of its own. */
  const keep = async (target: string, previous: string) => {
    await fs.rm(previous, { force: true });
    await fs.link(target, previous).catch(() => fs.rename(target, previous));
  };
  const write = async (name: string, text: Uint8Array | string, previous?: string) => {
    const content = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    const temporary = at(name + TEMPORARY);
    try {
      await fs.writeFile(temporary, content, { flush: true });
      await verify(temporary, content);
      if (previous && (await present(at(name)))) await keep(at(name), at(previous));
      await fs.rename(temporary, at(name));
    } catch (error) {
      await fs.rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    await flushDirectory();
  };
  const append = (name: string, text: string) => fs.appendFile(at(name), text);
  const list = async () => {
    try {
      const names = await fs.readdir(path);
      return names.filter((name) => name !== LOCK_FILE && !name.endsWith(TEMPORARY));
    } catch (error) {
      if (absent(error)) return [];
      throw error;
    }
  };

  const lock = async () => {
    const unlock = await lockDirectory(path);
    try {
      for (const name of await fs.readdir(path)) if (name.endsWith(TEMPORARY)) await fs.rm(at(name), { force: true });
    } catch (error) {
      await unlock();
      throw error;
    }
    return unlock;
  };

  return {
    path,
    lock: () => expecting('a directory that can be written to', lock()),
    read: (name) => expecting('a directory with files that can be read', read(name)),
    write: (name, content, previous) => expecting('a directory that can be written to', write(name, content, previous)),
    append: (name, text) => expecting('a directory that can be written to', append(name, text)),
    list: () => expecting('a directory that can be read', list()),
  };
}
