/** A run killed a hundred times, wherever it is, and its end. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { PREVIOUS_STATE_FILE, STATE_FILE } from '../../src/train/checkpoint.js';
import { METRICS_FILE } from '../../src/train/log.js';
import { startOctavo, TINY_FLAGS } from '../helpers/program.js';
import { Random } from '../helpers/rng.js';
import { digestOf, logOf, storyOf, text } from '../helpers/training.js';

const KILLS = 100;
/** Milliseconds from the start of a process: loading takes about 300, a step 10, a checkpoint as much. */
const SOONEST = 200;
const LATEST = 1500;
const STEPS = 6000;
const FLAGS = [...TINY_FLAGS, '--max_iters', String(STEPS), '--checkpoint_interval', '2', '--eval_interval', '500'];

it('kill -9 at a hundred random moments: every restart resumes, and the digest is that of the uninterrupted run', async () => {
  const root = mkdtempSync(join(tmpdir(), 'octavo-kill-'));
  const folder = join(root, 'killed');
  const files = () => (existsSync(folder) ? readdirSync(folder) : []);
  try {
    writeFileSync(join(root, 'text.txt'), text(60_000));
    const begin = (name: string, ...more: string[]) =>
      startOctavo(['train', '--data', 'text.txt', '--out_dir', name, ...FLAGS, ...more], root);
    const random = new Random(9);
    const counts = { 'before the first checkpoint': 0, 'in a write': 0, elsewhere: 0 };
    const resume = () =>
      files().some((name) => name === STATE_FILE || name === PREVIOUS_STATE_FILE) ? ['--resume'] : [];
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, outcome } = begin('killed', ...resume());
      const timer = setTimeout(() => child.kill('SIGKILL'), SOONEST + random.uniform() * (LATEST - SOONEST));
      const { code, stderr } = await outcome;
      clearTimeout(timer);
      expect(code, stderr).toBeNull();
      const left = files();
      if (resume().length === 0) counts['before the first checkpoint']++;
      else if (left.some((name) => name.endsWith('.octavo-tmp'))) counts['in a write']++;
      else counts.elsewhere++;
      // A file that is replaced keeps its name.
      if (left.includes(PREVIOUS_STATE_FILE)) expect(left).toContain(STATE_FILE);
    }
    console.log(counts);
    expect(counts['in a write']).toBeGreaterThan(KILLS / 20);
    const last = await begin('killed', ...resume()).outcome;
    expect(last.code, last.stderr).toBe(0);
    const whole = await begin('whole').outcome;
    expect(whole.code, whole.stderr).toBe(0);
    const log = (name: string) => readFileSync(join(root, name, METRICS_FILE));
    expect(digestOf(logOf(log('killed')))).toBe(digestOf(logOf(log('whole'))));
    expect(storyOf(log('killed'))).toEqual(storyOf(log('whole')));
    expect(files().sort()).toEqual(readdirSync(join(root, 'whole')).sort());
  } finally {
    rmSync(root, { recursive: true });
  }
});
