/** Files are replaced whole or not at all. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  promises,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { hostname, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOCK_FILE } from '../src/engine/lock.js';
import { openDirectory, readWhole } from '../src/engine/store.js';
import { refusalOf } from './helpers/training.js';

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'octavo-store-'));
  path = join(root, 'a', 'run');
});
afterEach(() => rmSync(root, { recursive: true }));

/** A store whose directory is there. */
async function opened() {
  const store = await openDirectory(path);
  await store.lock();
  return store;
}
/** Its files, without the lock. */
const filesThere = () =>
  readdirSync(path)
    .filter((name) => name !== LOCK_FILE)
    .sort();
const text = (name: string) => readFileSync(join(path, name), 'utf8');
const bytes = (content: string) => new TextEncoder().encode(content);

/** Runs `body` while a function of the file system fails, or does what is given. */
async function replacing<T>(name: 'rename' | 'link' | 'writeFile', body: () => Promise<T>, use?: unknown): Promise<T> {
  const own = promises[name];
  const failing = async () => {
    throw Object.assign(new Error(`EPERM: ${name}`), { code: 'EPERM' });
  };
  Object.assign(promises, { [name]: use ?? failing });
  syncBuiltinESMExports();
  try {
    return await body();
  } finally {
    Object.assign(promises, { [name]: own });
    syncBuiltinESMExports();
  }
}

describe('a directory', () => {
  it('is made when it is locked, and not before', async () => {
    const store = await openDirectory(path);
    expect(store.path).toBe(path);
    expect(await store.list()).toEqual([]);
    expect(await store.read('x')).toBeUndefined();
    expect((await refusalOf(store.write('x', 'one'))).message).toMatch(
      /expected a directory that can be written to, got ENOENT/,
    );
    expect(existsSync(path)).toBe(false);
    await store.lock();
    await store.write('x', 'one');
    expect(text('x')).toBe('one');
    await store.append('log', 'a\n');
    await store.append('log', 'b\n');
    expect(text('log')).toBe('a\nb\n');
    expect((await store.list()).sort()).toEqual(['log', 'x']);
  });

  it('reads what was written, bytes and text', async () => {
    const store = await opened();
    const content = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
    await store.write('x', content);
    expect(await store.read('x')).toEqual(content);
    await store.write('x', 'Ω');
    expect(await store.read('x')).toEqual(bytes('Ω'));
    await store.write('x', '');
    expect(await store.read('x')).toEqual(new Uint8Array(0));
  });
});

describe('a write', () => {
  it('leaves no temporary file, and keeps the file before where it is asked to', async () => {
    const store = await opened();
    await store.write('state', 'one', 'previous');
    expect(filesThere()).toEqual(['state']);
    await store.write('state', 'two', 'previous');
    await store.write('state', 'three', 'previous');
    expect(filesThere()).toEqual(['previous', 'state']);
    expect([text('state'), text('previous')]).toEqual(['three', 'two']);
    await store.write('state', 'four');
    expect([text('state'), text('previous')]).toEqual(['four', 'two']);
  });

  it('that fails leaves the file as it was, and nothing beside it', async () => {
    const store = await opened();
    await store.write('state', 'one');
    // The rename fails, because what it would replace is a directory with something in it.
    mkdirSync(join(path, 'model', 'inner'), { recursive: true });
    const error = await refusalOf(store.write('model', 'two'));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toMatch(new RegExp(`^${path}: expected a directory that can be written to, got E[A-Z]+: `));
    expect(filesThere()).toEqual(['model', 'state']);
    expect(text('state')).toBe('one');
  });

  it('that the disk does not give back as it was leaves the file before', async () => {
    const store = await opened();
    const content = Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 7);
    await store.write('state', 'one');
    const { writeFile } = promises;
    // A disk that loses a bit, or the end of a file, without a word.
    const losses = [
      (bytes: Uint8Array) => bytes.with(2_500_000, 1),
      (bytes: Uint8Array) => bytes.subarray(0, 2_000_000),
    ];
    for (const lose of losses) {
      const losing = (file: string, bytes: Uint8Array, options: object) => writeFile(file, lose(bytes), options);
      const failed = async () => {
        const { message } = await refusalOf(store.write('state', content, 'previous'));
        expect(message).toMatch(/got others than were written to .*state\.octavo-tmp, from byte \d+ on$/);
      };
      await replacing('writeFile', failed, losing);
      expect(filesThere()).toEqual(['state']);
      expect(text('state')).toBe('one');
    }
    await store.write('state', content);
    expect(Buffer.from((await store.read('state'))!).equals(content)).toBe(true);
  });

  it('goes to a file of its own until it is whole', async () => {
    const store = await opened();
    await store.write('state', 'one');
    // A process that dies in the midst of a large write.
    const script = `
      const { existsSync } = await import('node:fs');
      const { openDirectory } = await import(${JSON.stringify(new URL('../dist/engine/store.js', import.meta.url).href)});
      const store = await openDirectory(${JSON.stringify(path)});
      store.write('state', new Uint8Array(1 << 28), 'previous');
      const end = () => existsSync(${JSON.stringify(join(path, 'state.octavo-tmp'))}) && process.kill(process.pid, 'SIGKILL');
      setInterval(end);
    `;
    expect(() => execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })).toThrow();
    expect(filesThere()).toEqual(['state', 'state.octavo-tmp']);
    expect(text('state')).toBe('one');
    expect(await store.list()).toEqual(['state']);
  });

  it('that cannot be put in its place leaves the file before in it', async () => {
    const store = await opened();
    await store.write('state', 'one');
    await replacing('rename', async () => {
      await refusalOf(store.write('state', 'two', 'previous'));
    });
    expect(filesThere()).toEqual(['previous', 'state']);
    expect(text('state')).toBe('one');
    await store.write('state', 'two', 'previous');
    expect([text('state'), text('previous')]).toEqual(['two', 'one']);
  });

  it('keeps the file before also where there are no links', async () => {
    const store = await opened();
    await store.write('state', 'one');
    await replacing('link', () => store.write('state', 'two', 'previous'));
    expect([text('state'), text('previous')]).toEqual(['two', 'one']);
  });

  it('that was interrupted leaves a file that nobody sees, and the next writer removes', async () => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'state'), 'one');
    writeFileSync(join(path, 'state.octavo-tmp'), 'half');
    writeFileSync(join(path, 'notes.txt'), 'mine');
    const store = await openDirectory(path);
    expect((await store.list()).sort()).toEqual(['notes.txt', 'state']);
    expect(filesThere()).toContain('state.octavo-tmp');
    await store.lock();
    expect(filesThere()).toEqual(['notes.txt', 'state']);
  });
});

it.each([1, 2, 3, 4, 5, 9])('a file is read whole in pieces of %i', async (piece) => {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'four'), 'four');
  expect(Buffer.from(await readWhole(join(path, 'four'), piece)).toString()).toBe('four');
});

describe('a lock', () => {
  const own = new RegExp(`^${process.pid} ${hostname()} \\S+$`);

  /** What a process of its own makes of the directory. */
  const elsewhere = (more: string) => {
    const script = `
      const { openDirectory } = await import(${JSON.stringify(new URL('../dist/engine/store.js', import.meta.url).href)});
      const store = await openDirectory(${JSON.stringify(path)});
      try { const unlock = await store.lock(); console.log('locked'); ${more} } catch (error) { console.log(error.message); }
    `;
    return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim();
  };

  it('keeps others out, in this process and in another, until it is given back', async () => {
    const store = await openDirectory(path);
    const unlock = await store.lock();
    const again = await refusalOf((await openDirectory(path)).lock());
    const refusal = 'expected a directory that can be written to, got';
    expect(again.message).toBe(`${path}: ${refusal} this process at work there (${LOCK_FILE})`);
    const hint = 'remove it if that is another program';
    expect(elsewhere('')).toBe(`${path}: ${refusal} process ${process.pid} at work there (${LOCK_FILE}; ${hint})`);
    await unlock();
    expect(elsewhere('await unlock();')).toBe('locked');
  });

  it('is one, however the directory is spelt', async () => {
    const unlock = await (await openDirectory(path)).lock();
    const link = join(root, 'link');
    symlinkSync(path, link);
    for (const spelling of [`${path}/`, join(root, 'a', '..', 'a', 'run'), relative('.', path), link]) {
      const { message } = await refusalOf((await openDirectory(spelling)).lock());
      expect(message, spelling).toMatch(/got this process at work there/);
    }
    await unlock();
  });

  it('of somebody who came later stays when it is given back', async () => {
    const unlock = await (await openDirectory(path)).lock();
    writeFileSync(join(path, LOCK_FILE), '1 elsewhere');
    await unlock();
    expect(text(LOCK_FILE)).toBe('1 elsewhere');
  });

  it('of a process that was killed is taken over', async () => {
    expect(() => elsewhere("process.kill(process.pid, 'SIGKILL');")).toThrow();
    expect(filesThere()).toEqual([]);
    expect(text(LOCK_FILE)).toMatch(/^\d+ /);
    await (await openDirectory(path)).lock();
    expect(text(LOCK_FILE)).toMatch(own);
  });

  it("of an earlier process with this one's number is taken over; that of another thread is not", async () => {
    mkdirSync(path, { recursive: true });
    const file = join(path, LOCK_FILE);
    writeFileSync(file, `${process.pid} ${hostname()} 5`);
    const { message } = await refusalOf((await openDirectory(path)).lock());
    expect(message).toMatch('got this process at work there');
    const before = Date.now() / 1000 - process.uptime() - 60;
    utimesSync(file, before, before);
    await (await (await openDirectory(path)).lock())();
    expect(existsSync(file)).toBe(false);
  });

  it('of a dead process, taken over twice at once, is one', async () => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, LOCK_FILE), `999999999 ${hostname()}`);
    const stores = await Promise.all([openDirectory(path), openDirectory(path), openDirectory(path)]);
    const results = await Promise.allSettled(stores.map((store) => store.lock()));
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect(text(LOCK_FILE)).toMatch(own);
  });

  /** What locking gives where a dead process's lock is there, and that of `other` comes before the second attempt, or soon after it. */
  async function lockWhileTaken<T>(other: number, lock: () => Promise<T>, after = false): Promise<T> {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, LOCK_FILE), `999999999 ${hostname()}`);
    const { writeFile } = promises;
    let attempts = 0;
    const taken = async (...args: Parameters<typeof writeFile>) => {
      const take = () => writeFileSync(join(path, LOCK_FILE), `${other} ${hostname()}`);
      if (++attempts === 2 && after) setTimeout(take, 10);
      else if (attempts === 2) take();
      return writeFile(...args);
    };
    return replacing('writeFile', lock, taken);
  }

  it("of a dead process that another takes over at the same moment is that process's", async () => {
    const store = await openDirectory(path);
    const { message } = await lockWhileTaken(process.ppid, () => refusalOf(store.lock()));
    expect(message).toMatch(`got process ${process.ppid} at work there`);
    expect(text(LOCK_FILE)).toBe(`${process.ppid} ${hostname()}`);
  });

  it("of a dead process that another has taken over too is the later one's", async () => {
    const store = await openDirectory(path);
    const { message } = await lockWhileTaken(process.ppid, () => refusalOf(store.lock()), true);
    expect(message).toMatch(`got process ${process.ppid} at work there`);
    expect(text(LOCK_FILE)).toBe(`${process.ppid} ${hostname()}`);
  });

  it('of a dead process that another takes over, which dies too, is taken over', async () => {
    const store = await openDirectory(path);
    const unlock = await lockWhileTaken(999999998, () => store.lock());
    expect(text(LOCK_FILE)).toMatch(own);
    await unlock();
  });

  it.each(['', '123'])('that says %o belongs to nobody', async (content) => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, LOCK_FILE), content);
    const unlock = await (await openDirectory(path)).lock();
    expect(text(LOCK_FILE)).toMatch(own);
    await unlock();
  });

  it('of another machine is respected', async () => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, LOCK_FILE), '1 elsewhere');
    const { message } = await refusalOf((await openDirectory(path)).lock());
    expect(message).toMatch(/got process 1 of elsewhere at work there/);
  });

  it('made for nothing leaves no directory; a directory that was there stays, and so does what was written', async () => {
    const store = await openDirectory(path);
    await (await store.lock())();
    expect(existsSync(path)).toBe(false);
    const unlock = await store.lock();
    await store.write('x', 'one');
    await unlock();
    expect(readdirSync(path)).toEqual(['x']);
    await (await store.lock())();
    expect(readdirSync(path)).toEqual(['x']);
  });
});

describe('a path that is no directory', () => {
  it('below /proc, where mkdir -p of Node never ends, is refused too', async () => {
    const error = await refusalOf((await openDirectory('/proc/octavo/run')).lock());
    expect(error.message).toMatch(/^\/proc\/octavo\/run: expected a directory that can be written to, got E[A-Z]+: /);
  });

  it('is refused in one line that names it, by every operation', async () => {
    writeFileSync(join(root, 'file'), 'text');
    const store = await openDirectory(join(root, 'file', 'run'));
    const operations = [
      () => store.read('x'),
      () => store.write('x', ''),
      () => store.append('x', ''),
      () => store.list(),
      () => store.lock(),
    ];
    for (const operation of operations) {
      const error = await refusalOf(operation());
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toMatch(/^\/.*\/file\/run: expected a directory .*, got ENOTDIR: .*$/);
    }
    expect(readFileSync(join(root, 'file'), 'utf8')).toBe('text');
  });
});
