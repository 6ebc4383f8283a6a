/** One writer per directory, enforced by a lock file that names the process. Node, Bun and Deno. */

type FileSystem = typeof import('node:fs/promises');

export const LOCK_FILE = '.octavo-lock';

/** Contents of the lock files that this thread has made. */
const held = new Set<string>();

/** When the process began, in milliseconds since 1970. Taken now, as its uptime leaves out the time that a machine is suspended. */
const BEGAN = Date.now() - 1000 * process.uptime();

const OURS = 'this process';
const PAUSE_MS = 50;
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

export const codeOf = (error: unknown) => (error as { code?: string }).code;

/**
 * Creates the directory if needed, locks it and returns the function that unlocks it. Another writer's lock is an error; a lock whose process has
 * ended is taken over.
 */
export async function lockDirectory(path: string): Promise<() => Promise<void>> {
  const fs = await import('node:fs/promises');
  const { join, dirname } = await import('node:path');
  const { hostname } = await import('node:os');
  const made = await makeDirectory(fs, dirname, path);
  // The real path, so that a directory has one name however it was spelt.
  const file = join(await fs.realpath(path), LOCK_FILE);
  const mine = `${process.pid} ${hostname()} ${crypto.randomUUID()}`;
  // Removes a directory that was created here, unless something has been put into it (rmdir then fails).
  const leave = () => (made ? fs.rmdir(path).catch(() => undefined) : undefined);
  /** Whether there was no lock file, which now is ours. */
  const take = async () => {
    try {
      await fs.writeFile(file, mine, { flag: 'wx' });
      held.add(mine);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      // On a full disk the file exists by now, but is empty.
      await fs.rm(file, { force: true }).catch(() => undefined);
      await leave();
      throw error;
    }
  };
  if (!(await take())) {
    do await free(fs, file, hostname());
    while (!(await take()));
    // If two writers take over a lock at once, the later one gets it.
    await pause();
    if ((await contentOf(fs, file)) !== mine) {
      held.delete(mine);
      await free(fs, file, hostname());
      throw new Error(`another writer at work there (${LOCK_FILE})`);
    }
  }
  return async () => {
    held.delete(mine);
    // By now the directory may be gone, or replaced by another that someone else has locked.
    if ((await contentOf(fs, file)) === mine) await fs.rm(file, { force: true }).catch(() => undefined);
    await leave();
  };
}

/** The content of a lock file; empty if it is gone. */
const contentOf = (fs: FileSystem, file: string): Promise<string> => fs.readFile(file, 'utf8').catch(() => '');

/** Removes a lock file whose process has ended; throws if another process holds it. */
async function free(fs: FileSystem, file: string, here: string): Promise<void> {
  let content = await contentOf(fs, file);
  if (!content.includes(' ')) {
    // It is still being written, or its writing was interrupted.
    await pause();
    content = await contentOf(fs, file);
  }
  const [pid, host] = content.split(' ');
  const ours = held.has(content) ? OURS : undefined;
  const holder = ours ?? (host && (await holderOf(fs, file, Number(pid), host === here ? undefined : host)));
  // After a restart of the machine another program may have the same process id.
  const hint = holder === OURS ? '' : `; remove it if that is ${host === here ? 'another program' : 'gone'}`;
  if (holder) throw new Error(`${holder} at work there (${LOCK_FILE}${hint})`);
  await fs.rm(file, { force: true });
}

/** Describes the process that holds a lock; undefined if it has ended. A process on another machine cannot be checked and counts as running. */
async function holderOf(
  fs: FileSystem,
  file: string,
  pid: number,
  host: string | undefined,
): Promise<string | undefined> {
  if (host !== undefined) return `process ${pid} of ${host}`;
  if (pid === process.pid) {
    // Another thread's, unless it is older than this process: then an earlier process with the same id left it.
    const { mtimeMs } = await fs.stat(file).catch(() => ({ mtimeMs: 0 }));
    return mtimeMs > BEGAN ? OURS : undefined;
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    // A process of another user exists but may not be signalled (EPERM): only ESRCH means that it has ended.
    if (codeOf(error) === 'ESRCH') return undefined;
  }
  return `process ${pid}`;
}

/**
 * Creates a directory with its parents and returns whether it had to be created. mkdir's own `recursive` is not used: on Node 20 it never returns
 * if a parent exists but accepts no directories (below /proc).
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
