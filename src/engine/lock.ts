/** One writer for a directory: a file with the name of the process. Node, Bun and Deno. */

type FileSystem = typeof import('node:fs/promises');

export const LOCK_FILE = '.octavo-lock';

/** Locks of this process, to tell them from one of an earlier process with its number. */
const held = new Set<string>();

const PAUSE_MS = 50;
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

const codeOf = (error: unknown) => (error as { code?: string }).code;

/** Makes the directory, and gives what ends the lock. Another writer's lock is an error; that of a process that is gone is taken over. */
export async function lockDirectory(path: string): Promise<() => Promise<void>> {
  const fs = await import('node:fs/promises');
  const { join, dirname } = await import('node:path');
  const { hostname } = await import('node:os');
  const made = await makeDirectory(fs, dirname, path);
  // One name for a directory, however it was spelt.
  const file = join(await fs.realpath(path), LOCK_FILE);
  const mine = `${process.pid} ${hostname()}`;
  // One made for nothing goes again; one with something in it stays.
  const leave = () => (made ? fs.rmdir(path).catch(() => undefined) : undefined);
  const take = async () => {
    try {
      await fs.writeFile(file, mine, { flag: 'wx' });
    } catch (error) {
      // On a full disk it is there, and empty.
      if (codeOf(error) !== 'EEXIST') await fs.rm(file, { force: true }).catch(() => undefined);
      throw error;
    }
  };
  try {
    await take();
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      await leave();
      throw error;
    }
    await free(fs, file, hostname());
    await take();
    // Of two that take it over at once, the later one has it.
    await pause();
    await free(fs, file, hostname(), process.pid);
  }
  held.add(file);
  return async () => {
    held.delete(file);
    // The directory may be gone by now, or another in its place, which somebody else has locked.
    if ((await contentOf(fs, file)) === mine) await fs.rm(file, { force: true }).catch(() => undefined);
    await leave();
  };
}

/** What a lock says; nothing where it is gone. */
const contentOf = (fs: FileSystem, file: string): Promise<string> => fs.readFile(file, 'utf8').catch(() => '');

/** Removes a lock of nobody; one of somebody else is an error. */
async function free(fs: FileSystem, file: string, here: string, mine?: number): Promise<void> {
  let [pid, host] = (await contentOf(fs, file)).split(' ');
  if (!host) {
    // Just being written, or cut off then.
    await pause();
    [pid, host] = (await contentOf(fs, file)).split(' ');
  }
  if (host === here && Number(pid) === mine) return;
  const holder = host && holderOf(file, Number(pid), host === here ? undefined : host);
  const hint = host === here ? '' : '; remove it if that is gone';
  if (holder) throw new Error(`${holder} at work there (${LOCK_FILE}${hint})`);
  await fs.rm(file, { force: true });
}

/** The process that holds a lock, unless it is gone. One of another machine cannot be asked. */
function holderOf(file: string, pid: number, host: string | undefined): string | undefined {
  if (host !== undefined) return `process ${pid} of ${host}`;
  if (pid === process.pid) return held.has(file) ? 'this process' : undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Of another user it may not be asked, but is there.
    if (codeOf(error) === 'ESRCH') return undefined;
  }
  return `process ${pid}`;
}

/**
 * Whether it had to be made. As mkdir's own `recursive`, which never ends where a parent is there and takes no directories (Node 20, below
 * /proc).
 */
async function makeDirectory(fs: FileSystem, dirname: (path: string) => string, path: string): Promise<boolean> {
  const make = async () => {
    try {
      await fs.mkdir(path);
      return true;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || !(await fs.stat(path)).isDirectory()) throw error;
      return false;
    }
  };
  try {
    return await make();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(fs, dirname, dirname(path));
    return make();
  }
}
