/**
 * A run's files in the origin's private file system (OPFS), as a Store. At every moment either a file, its successor or the file kept as
 * `previous` is complete: the successor is written, flushed and read back under a temporary name; the old file is renamed to `previous` if it
 * is to be kept; then the successor is renamed to `NAME.octavo-new`, a name that only complete files have; only then is the old file removed
 * and the new one renamed. Whoever next takes the lock finishes an interrupted replacement. For workers only, because synchronous file access
 * is limited to workers.
 */
import type { Store } from '../../src/engine/store.js';
import { sameBytes } from '../../src/formats/check.js';
import { lockName } from './protocol.js';

type Movable = FileSystemFileHandle & { move(name: string): Promise<void> };
type Folder = FileSystemDirectoryHandle & { keys(): AsyncIterableIterator<string> };

const TEMPORARY = '.octavo-tmp';
const WHOLE = '.octavo-new';
/** Time to wait for a lock: workers of a page that was just left may still be ending. */
const LOCK_TIMEOUT_MS = 5000;
const CHUNK = 1 << 20;

const RUNS = 'runs';

export const openFolder = async (...path: string[]): Promise<Folder> => {
  let folder = await navigator.storage.getDirectory();
  for (const name of [RUNS, ...path]) folder = await folder.getDirectoryHandle(name, { create: true });
  return folder as Folder;
};

const isNamed = (error: unknown, name: string) => error instanceof DOMException && error.name === name;

/** Explains an error that means a full disk or an exhausted quota. */
function explained(error: unknown, name: string, bytes: number): unknown {
  if (!isNamed(error, 'QuotaExceededError')) return error;
  return new Error(
    `the browser's storage for this page is full: ${name} needs ${Math.ceil(bytes / 1e6)} MB more. Delete runs that you no longer need, then resume`,
    { cause: error },
  );
}

/** Opens a file exclusively, with retries: a worker that was just ended may hold it for a moment. */
async function accessTo(handle: FileSystemFileHandle): Promise<FileSystemSyncAccessHandle> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await handle.createSyncAccessHandle();
    } catch (error) {
      if (attempt === 40 || !isNamed(error, 'NoModificationAllowedError')) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** File with the id of the shown run, beside the runs. It is on the disk at once, unlike localStorage, which takes seconds. */
const CURRENT = 'current';

export async function readCurrent(): Promise<string> {
  const root = await navigator.storage.getDirectory();
  return (await (await root.getFileHandle(CURRENT, { create: true })).getFile()).text();
}

export async function writeCurrent(id: string): Promise<void> {
  const root = await navigator.storage.getDirectory();
  const access = await accessTo(await root.getFileHandle(CURRENT, { create: true }));
  try {
    access.truncate(0);
    access.write(new TextEncoder().encode(id));
    access.flush();
  } finally {
    access.close();
  }
}

export async function openRun(id: string): Promise<Store> {
  const folder = await openFolder(id);

  const handleOf = async (name: string): Promise<Movable | undefined> => {
    try {
      return (await folder.getFileHandle(name)) as Movable;
    } catch (error) {
      if (isNamed(error, 'NotFoundError')) return undefined;
      throw error;
    }
  };
  const remove = async (name: string) => {
    if (await handleOf(name)) await folder.removeEntry(name);
  };
  const read = async (name: string) => {
    const handle = (await handleOf(name)) ?? (await handleOf(name + WHOLE));
    return handle && new Uint8Array(await (await handle.getFile()).arrayBuffer());
  };

  /** The log stays open between lines, because opening a file takes longer than a small step. */
  let log: { name: string; access: FileSystemSyncAccessHandle } | undefined;
  const closeLog = () => {
    log?.access.flush();
    log?.access.close();
    log = undefined;
  };

  /** Writes the temporary file, and checks it. */
  const writeTemporary = async (name: string, content: Uint8Array): Promise<Movable> => {
    const handle = (await folder.getFileHandle(name + TEMPORARY, { create: true })) as Movable;
    const access = await accessTo(handle);
    try {
      access.truncate(0);
      const written = access.write(content, { at: 0 });
      access.flush();
      if (written !== content.length || access.getSize() !== content.length) {
        throw new DOMException(`${written} of ${content.length} bytes`, 'QuotaExceededError');
      }
      const chunk = new Uint8Array(CHUNK);
      for (let at = 0; at < content.length; at += CHUNK) {
        const expected = content.subarray(at, at + CHUNK);
        const got = access.read(chunk.subarray(0, expected.length), { at });
        if (!sameBytes(chunk.subarray(0, got), expected)) {
          throw new Error(`${name}: expected the bytes that were written, got others from byte ${at} on`);
        }
      }
    } finally {
      access.close();
    }
    return handle;
  };
  /** Puts a complete successor in the place of the file. */
  const finish = async (name: string) => {
    await remove(name);
    await (await handleOf(name + WHOLE))!.move(name);
  };

  return {
    path: `runs/${id}`,
    read,
    async write(name, text, previous) {
      closeLog();
      const content = typeof text === 'string' ? new TextEncoder().encode(text) : text;
      let written: Movable;
      try {
        written = await writeTemporary(name, content);
      } catch (error) {
        await remove(name + TEMPORARY).catch(() => undefined);
        throw explained(error, name, content.length);
      }
      const old = previous ? await handleOf(name) : undefined;
      if (previous && old) {
        await remove(previous);
        await old.move(previous);
      }
      await written.move(name + WHOLE);
      await finish(name);
    },
    async append(name, text) {
      const content = new TextEncoder().encode(text);
      try {
        if (log?.name !== name) {
          closeLog();
          log = { name, access: await accessTo(await folder.getFileHandle(name, { create: true })) };
        }
        const at = log.access.getSize();
        if (log.access.write(content, { at }) !== content.length) throw new DOMException(name, 'QuotaExceededError');
      } catch (error) {
        throw explained(error, name, content.length);
      }
    },
    async list() {
      const names: string[] = [];
      for await (const name of folder.keys()) if (!name.endsWith(TEMPORARY)) names.push(name.replace(WHOLE, ''));
      return [...new Set(names)];
    },
    async lock() {
      const release = await lockOf(id);
      try {
        const names: string[] = [];
        for await (const name of folder.keys()) names.push(name);
        for (const name of names) {
          if (name.endsWith(TEMPORARY)) await folder.removeEntry(name);
          if (name.endsWith(WHOLE)) await finish(name.slice(0, -WHOLE.length));
        }
      } catch (error) {
        release();
        throw error;
      }
      return async () => {
        closeLog();
        release();
      };
    },
  };
}

/** Locks a run for one writer across all tabs. A worker that has ended holds no lock. */
async function lockOf(id: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const options = { signal: AbortSignal.timeout(LOCK_TIMEOUT_MS) };
    const hold = () => new Promise<void>((release) => resolve(release));
    navigator.locks.request(lockName(id), options, hold).catch((error) => {
      const busy = isNamed(error, 'TimeoutError') || isNamed(error, 'AbortError');
      reject(busy ? new Error('this run trains in another tab or window; pause it there') : error);
    });
  });
}
