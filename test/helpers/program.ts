/** `octavo` as people call it: as a program of its own, or in this process, which is sooner. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect } from 'vitest';
import { octavo } from '../../src/cli/program.js';
import { text } from './training.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A model of which a step takes some 10 ms. */
export const TINY_FLAGS =
  '--n_layer 2 --n_head 4 --n_kv_head 2 --n_embd 32 --n_ff 64 --block_size 32 --batch_size 4 --threads 1'.split(' ');

export interface Outcome {
  /** Null where a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export function startOctavo(args: readonly string[], cwd: string): { child: ChildProcess; outcome: Promise<Outcome> } {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk;
    });
  }
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...texts }));
  });
  return { child, outcome };
}

/** The same in this process, of which the command then has the standard streams, the directory and the exit code. */
export async function octavoHere(args: readonly string[], cwd: string): Promise<Outcome> {
  const texts = { stdout: '', stderr: '' };
  const [directory, exitCode] = [process.cwd(), process.exitCode];
  const writes = { stdout: process.stdout.write, stderr: process.stderr.write };
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = ((chunk: string) => {
      texts[name] += chunk;
      return true;
    }) as typeof process.stdout.write;
  }
  process.chdir(cwd);
  process.exitCode = 0;
  try {
    await octavo(args);
    return { code: Number(process.exitCode), ...texts };
  } finally {
    process.chdir(directory);
    process.exitCode = exitCode;
    for (const name of ['stdout', 'stderr'] as const) process[name].write = writes[name];
  }
}

/** A folder for the commands of a suite, with a text in it; gone after the suite. */
export function useFolder() {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'octavo-cli-'));
    writeFileSync(join(root, 'text.txt'), text(12_000));
  });
  afterAll(() => rmSync(root, { recursive: true }));

  const at = (...parts: string[]) => join(root, ...parts);
  const start = (args: readonly string[]) => startOctavo(args, root);
  const here = (...args: string[]) => octavoHere(args, root);

  /** Runs a command that must succeed. */
  async function succeeds(...args: string[]): Promise<Outcome> {
    const outcome = await here(...args);
    expect(outcome.code, `${args.join(' ')}: ${outcome.stderr}`).toBe(0);
    return outcome;
  }

  /** Every file below a folder with its bytes. */
  function snapshot(folder = root): Map<string, string> {
    const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return new Map(
      names.map((entry) => join(entry.parentPath, entry.name)).map((path) => [path, readFileSync(path, 'base64')]),
    );
  }

  /** Runs a command that must be refused: one line that matches, nothing on stdout, no file made or changed. */
  async function refused(args: readonly string[], message: RegExp, run = here): Promise<void> {
    const before = snapshot();
    const outcome = await run(...args);
    expect(outcome.stderr, args.join(' ')).toMatch(message);
    expect(outcome.stderr.trimEnd().split('\n').length, outcome.stderr).toBe(1);
    expect(outcome.stderr).toMatch(/^octavo: /);
    expect(outcome.stdout).toBe('');
    expect(outcome.code).toBe(2);
    expect(snapshot()).toEqual(before);
  }

  return { at, start, here, succeeds, snapshot, refused };
}

/** A short run of a tiny model on the text in the folder. */
export const trainArgs = (outDir: string, ...more: string[]): string[] => [
  'train',
  '--data',
  'text.txt',
  '--out_dir',
  outDir,
  ...TINY_FLAGS,
  ...more,
];

/** A run half done, with a checkpoint before the newest. */
export const halfArgs = (): string[] =>
  trainArgs('half', '--max_iters', '8', '--checkpoint_interval', '2', '--stop_at', '4');
