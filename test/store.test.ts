/** Files are replaced whole or not at all. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDirectory } from '../src/engine/store.js';
import { refusalOf } from './helpers/training.js';

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'octavo-store-'));
  path = join(root, 'a', 'run');
});
afterEach(() => rmSync(root, { recursive: true }));

const text = (name: string) => readFileSync(join(path, name), 'utf8');
const bytes = (content: string) => new TextEncoder().encode(content);

describe('a directory', () => {
  it('is made when first written to, and not before', async () => {
    const store = await openDirectory(path);
    expect(store.path).toBe(path);
    expect(await store.list()).toEqual([]);
    expect(await store.read('x')).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    await store.write('x', 'one');
    expect(text('x')).toBe('one');
    await store.append('log', 'a\n');
    await store.append('log', 'b\n');
    expect(text('log')).toBe('a\nb\n');
    expect((await store.list()).sort()).toEqual(['log', 'x']);
  });

  it('reads what was written, bytes and text', async () => {
    const store = await openDirectory(path);
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
    const store = await openDirectory(path);
    await store.write('state', 'one', 'previous');
    expect(readdirSync(path)).toEqual(['state']);
    await store.write('state', 'two', 'previous');
    await store.write('state', 'three', 'previous');
    expect(readdirSync(path).sort()).toEqual(['previous', 'state']);
    expect([text('state'), text('previous')]).toEqual(['three', 'two']);
    await store.write('state', 'four');
    expect([text('state'), text('previous')]).toEqual(['four', 'two']);
  });

  it('that fails leaves the file as it was, and nothing beside it', async () => {
    const store = await openDirectory(path);
    await store.write('state', 'one');
    // The rename fails, because what it would replace is a directory with something in it.
    mkdirSync(join(path, 'model', 'inner'), { recursive: true });
    const error = await refusalOf(store.write('model', 'two'));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toMatch(new RegExp(`^${path}: expected a directory that can be written to, got E[A-Z]+: `));
    expect(readdirSync(path).sort()).toEqual(['model', 'state']);
    expect(text('state')).toBe('one');
  });

  it('goes to a file of its own until it is whole', async () => {
    const store = await openDirectory(path);
    await store.write('state', 'one');
    // A process that dies in the midst of a large write: what is at the name is one of the two, never a part.
    const script = `
      const { openDirectory } = await import(${JSON.stringify(new URL('../dist/engine/store.js', import.meta.url).href)});
      const store = await openDirectory(${JSON.stringify(path)});
      store.write('state', new Uint8Array(1 << 26), 'previous');
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), 20);
    `;
    expect(() => execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })).toThrow();
    const left = readdirSync(path);
    if (left.includes('previous')) {
      expect(text('previous')).toBe('one');
      if (left.includes('state')) expect((await store.read('state'))!.length).toBe(1 << 26);
    } else {
      expect(text('state')).toBe('one');
    }
    expect((await store.list()).filter((name) => !['state', 'previous'].includes(name))).toEqual([]);
    expect(readdirSync(path).filter((name) => !['state', 'previous'].includes(name))).toEqual([]);
  });

  it('that was interrupted leaves a file that the next look removes', async () => {
    const store = await openDirectory(path);
    await store.write('state', 'one');
    writeFileSync(join(path, 'state.octavo-tmp'), 'half');
    writeFileSync(join(path, 'notes.txt'), 'mine');
    expect((await store.list()).sort()).toEqual(['notes.txt', 'state']);
    expect(readdirSync(path).sort()).toEqual(['notes.txt', 'state']);
    writeFileSync(join(path, 'state.octavo-tmp'), 'half');
    await store.write('state', 'two');
    expect(readdirSync(path).sort()).toEqual(['notes.txt', 'state']);
  });
});

describe('a path that is no directory', () => {
  it('below /proc, where mkdir -p of Node never ends, is refused too', async () => {
    const error = await refusalOf((await openDirectory('/proc/octavo/run')).write('x', ''));
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
    ];
    for (const operation of operations) {
      const error = await refusalOf(operation());
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toMatch(/^\/.*\/file\/run: expected a directory .*, got ENOTDIR: .*$/);
    }
    expect(readFileSync(join(root, 'file'), 'utf8')).toBe('text');
  });
});
