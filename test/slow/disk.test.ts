/**
 * Disks that fill up, refuse or vanish under a run, and two runs in one place: one line and a checkpoint that loads. Mounts file systems, so it
 * wants to be root on Linux.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STATE_FILE } from '../../src/train/checkpoint.js';
import { METRICS_FILE } from '../../src/train/log.js';
import { MODEL_FILE } from '../../src/train/model-files.js';
import { startOctavo, TINY_FLAGS } from '../helpers/program.js';
import { digestOf, logOf, text } from '../helpers/training.js';

let root: string;
let disk: string;
const at = (...parts: string[]) => join(root, ...parts);
const octavo = (...args: string[]) => startOctavo(args, root);
const train = (folder: string, ...more: string[]) =>
  octavo('train', '--data', 'text.txt', '--out_dir', folder, ...TINY_FLAGS, '--checkpoint_interval', '2', ...more);
const mount = (...options: string[]) => execFileSync('mount', ['-t', 'tmpfs', ...options, 'tmpfs', disk]);
const digest = (folder: string) => digestOf(logOf(readFileSync(join(folder, METRICS_FILE))));

/** Resolves when the run's log tells of so many steps. */
async function reached(folder: string, steps: number): Promise<void> {
  const log = join(folder, METRICS_FILE);
  for (;;) {
    if (existsSync(log) && readFileSync(log, 'utf8').split('"type":"step"').length > steps) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Takes what space there is, but for some pages, in a file. */
function fill(file: string): void {
  const page = new Uint8Array(4096);
  const content: Uint8Array[] = [];
  try {
    for (;;) {
      writeFileSync(file, page, { flag: 'a' });
      content.push(page);
    }
  } catch {
    truncateSync(file, 4096 * Math.max(0, content.length - 5));
  }
}

/** The run in the folder goes on from this step to the same state as the same run elsewhere, and its model loads. */
async function expectWhole(folder: string, step: number): Promise<void> {
  const max = ['--max_iters', '4000', '--stop_at', String(step + 3)];
  const resumed = await train(folder, ...max, '--resume').outcome;
  expect(resumed.code, resumed.stderr).toBe(0);
  const whole = await train('whole', ...max).outcome;
  expect(whole.code, whole.stderr).toBe(0);
  expect(digest(folder)).toBe(digest(at('whole')));
  const { code, stdout } = await octavo('generate', '--model', folder, '--prompt', 'Call', '--max_new_tokens', '5')
    .outcome;
  expect([code, stdout.startsWith('Call')]).toEqual([0, true]);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'octavo-disk-'));
  disk = at('disk');
  mkdirSync(disk);
  writeFileSync(at('text.txt'), text(12_000));
});
afterEach(() => {
  execFileSync('sh', ['-c', `umount -l ${disk} 2>/dev/null || true`]);
  rmSync(root, { recursive: true });
});

describe('a full disk', () => {
  it.each([600, 700, 900])(
    'of %i KiB ends the run with one line, and the checkpoint before stays',
    async (kilobytes) => {
      mount('-o', `size=${kilobytes}k`);
      // What fills it: a file that grows as the run goes on.
      const folder = join(disk, 'run');
      const run = train(folder, '--max_iters', '4000');
      await reached(folder, 4);
      fill(join(disk, 'other'));
      const { code, stderr } = await run.outcome;
      expect(code, stderr).toBe(1);
      const line =
        /^octavo: step \d+: \S+: expected a directory that can be written to, got (.*); the last checkpoint, of step (\d+), is in /m;
      expect(stderr).toMatch(line);
      expect(stderr.match(line)![1]).toMatch(/ENOSPC|others than were written/);
      expect(readdirSync(folder).filter((name) => name.startsWith('.') || name.endsWith('-tmp'))).toEqual([]);
      rmSync(join(disk, 'other'));
      // As far as both checkpoints fit again.
      await expectWhole(folder, Number(stderr.match(line)![2]));
    },
  );
});

describe('a directory', () => {
  it('that can only be read is refused at once, in one line', async () => {
    mount('-o', 'size=1m');
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    const { code, stderr, stdout } = await train(join(disk, 'run')).outcome;
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^octavo: \S+: expected a directory that can be written to, got EROFS: [^\n]*\n$/);
  });

  it('that can only be read from some moment on ends the run; what was saved loads once it can be written again', async () => {
    mount('-o', 'size=2m');
    const folder = join(disk, 'run');
    const run = train(folder, '--max_iters', '4000');
    await reached(folder, 6);
    // A file open for writing keeps a file system from being made read-only: once more.
    execFileSync('sh', ['-c', `until mount -o remount,ro ${disk} 2>/dev/null; do :; done`]);
    const { code, stderr } = await run.outcome;
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(
      /expected a directory that can be written to, got EROFS: .*; the last checkpoint, of step \d+, is in /,
    );
    execFileSync('mount', ['-o', 'remount,rw', disk]);
    const step = Number(/of step (\d+), is in /.exec(stderr)![1]);
    await expectWhole(folder, step);
  });

  it('that is deleted under a run ends it, and nothing is written in its place', async () => {
    const run = train(at('gone'), '--max_iters', '4000');
    await reached(at('gone'), 4);
    // At once: the run would write a file into a directory that is being emptied.
    renameSync(at('gone'), at('removed'));
    rmSync(at('removed'), { recursive: true });
    const { code, stderr } = await run.outcome;
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/expected a directory that can be written to, got ENOENT: /);
    expect(existsSync(at('gone'))).toBe(false);
  });

  it('of one run is closed to another, which changes nothing', async () => {
    const run = train(at('one'), '--max_iters', '400');
    await reached(at('one'), 3);
    for (const more of [[], ['--resume']]) {
      const { code, stderr } = await train(at('one'), ...more).outcome;
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /^octavo: \S+\/one: expected a directory that can be written to, got process \d+ at work there \(\.octavo-lock; remove it if that is another program\)\n$/,
      );
    }
    expect((await run.outcome).code).toBe(0);
    const whole = await train(at('whole'), '--max_iters', '400').outcome;
    expect(whole.code).toBe(0);
    expect(digest(at('one'))).toBe(digest(at('whole')));
    expect([STATE_FILE, MODEL_FILE].every((name) => existsSync(at('one', name)))).toBe(true);
  });
});
