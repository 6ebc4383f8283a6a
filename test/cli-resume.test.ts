/** `octavo train` on a directory that has a run: resumed as it was, refused as another, stopped by Ctrl-C, failed. */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { LOCK_FILE } from '../src/engine/lock.js';
import { PREVIOUS_STATE_FILE, STATE_FILE } from '../src/train/checkpoint.js';
import { METRICS_FILE } from '../src/train/log.js';
import { MODEL_FILE } from '../src/train/model-files.js';
import { SETTINGS } from '../src/train/settings.js';
import { halfArgs, type Outcome, trainArgs, useFolder } from './helpers/program.js';
import { digestOf, logOf, storyOf, text } from './helpers/training.js';

/** The default learning rate, which the runs here begin with. */
const RATE = SETTINGS.learningRate.fallback;
const { at, start, succeeds, snapshot, refused } = useFolder();
const story = (name: string) => storyOf(readFileSync(at(name, METRICS_FILE)));

beforeAll(async () => {
  await succeeds(...halfArgs());
  expect(existsSync(at('half', STATE_FILE))).toBe(true);
});

describe('a directory with a run', () => {
  const resume = (...more: string[]) => [
    'train',
    '--resume',
    '--data',
    'text.txt',
    '--out_dir',
    'half',
    '--threads',
    '1',
    ...more,
  ];

  it('is not written over by another', async () => {
    await refused(
      trainArgs('half', '--max_iters', '8'),
      /--out-dir: expected a directory without a run, got half, which has training_state.safetensors; resume it or name another$/m,
    );
  });

  it.each([
    [['--max_iters', '9'], '--max-iters', '8', '9'],
    [['--seed', '2'], '--seed', '1337', '2'],
    [['--recipe', 'bf16'], '--recipe', '"fp8"', '"bf16"'],
    [['--batch_size', '2'], '--batch-size', '4', '2'],
    [['--block_size', '16'], '--block-size', '32', '16'],
    [['--learning_rate', '1'], '--learning-rate', `${RATE}`, '1'],
    [['--n_embd', '64'], '--n-embd', '32', '64'],
    [['--n_layer', '3'], '--n-layer', '2', '3'],
    [['--no-tie'], '--no-tie', 'true', 'false'],
  ])('is not continued with %j', async (more, flag, was, is) => {
    const message = `^octavo: ${flag}: expected ${was}, with which the run to resume began, got ${is}$`;
    await refused(resume(...more), new RegExp(message, 'm'));
  });

  it('nor on another text', async () => {
    writeFileSync(at('other.txt'), text(12_000, 90_000));
    await refused(
      resume('--data', 'other.txt'),
      /--data: expected that with which the run to resume began \(digest [0-9a-f]{16}\), got digest [0-9a-f]{16}$/m,
    );
  });

  it('nor to stop before it began', async () => {
    await refused(resume('--stop_at', '4'), /--stop-at: expected a step after the checkpoint's 4, got 4$/m);
  });

  /** A copy of the run with its state file changed. */
  function damaged(name: string, change: (file: Buffer) => Buffer): void {
    cpSync(at('half'), at(name), { recursive: true });
    writeFileSync(at(name, STATE_FILE), change(readFileSync(at(name, STATE_FILE))));
  }

  it.each([
    [
      'cut',
      (file: Buffer) => file.subarray(0, file.length - 100),
      /safetensors: expected \d+ bytes of data, .*, got \d+/,
    ],
    ['empty', (file: Buffer) => file.subarray(0, 0), /safetensors: expected at least 8 bytes .*, got 0/],
    [
      'bit',
      (file: Buffer) => Buffer.concat([file.subarray(0, -1), Buffer.of(file[file.length - 1] ^ 1)]),
      /expected \S+ with digest "\w+", got "\w+": the file was altered/,
    ],
    [
      'rate',
      (file: Buffer) =>
        Buffer.from(file.toString('latin1').replace(`learningRate\\":${RATE}`, 'learningRate\\":0.004'), 'latin1'),
      /expected a record with digest "\w+", got "\w+": the file was altered/,
    ],
  ])(
    'is refused where its checkpoint is damaged (%s), and the one before can be used',
    async (name, change, message) => {
      damaged(name, change);
      const args = ['train', '--resume', '--data', 'text.txt', '--out_dir', name, '--threads', '1'];
      const line = new RegExp(
        `^octavo: ${name}/training_state\\.safetensors: ${message.source}; without it the run resumes from training_state\\.previous\\.safetensors, the checkpoint before$`,
        'm',
      );
      await refused(args, line);
      if (name !== 'cut') return;
      rmSync(at(name, STATE_FILE));
      await succeeds(...args, '--stop_at', '3');
      expect(digestOf(logOf(readFileSync(at(name, METRICS_FILE))))).toBe(
        logOf(readFileSync(at('half', METRICS_FILE))).flatMap((line) =>
          line.type === 'step' && line.step === 3 ? line.digest : [],
        )[0],
      );
    },
  );

  it('model files that were damaged are refused', async () => {
    cpSync(at('half'), at('model'), { recursive: true });
    const file = readFileSync(at('model', MODEL_FILE));
    file[file.length - 5] ^= 4;
    writeFileSync(at('model', MODEL_FILE), file);
    await refused(
      ['generate', '--model', 'model'],
      /model\/model.safetensors: expected a model with digest "\w+", got "\w+": the file or config.json was altered$/m,
    );
    writeFileSync(at('model', MODEL_FILE), file.subarray(0, 5000));
    await refused(['generate', '--model', 'model'], /expected /);
    await refused(['inspect', 'model'], /expected /);
  });
});

describe('a run that fails', () => {
  it('has exit code 1, one line, the state it failed in, and the checkpoint before', async () => {
    const absurd = [
      '--learning_rate',
      '0',
      '--min_lr',
      '1e39',
      '--warmup_iters',
      '3',
      '--weight_decay',
      '0',
      '--max_iters',
      '8',
    ];
    await succeeds(...trainArgs('absurd', ...absurd, '--stop_at', '3'));
    const before = snapshot(at('absurd'));
    const args = ['train', '--resume', '--data', 'text.txt', '--out_dir', 'absurd', '--json'];
    const { code, stdout, stderr } = await start(args).outcome;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^octavo: step 5: expected a finite loss and gradient, got loss \S+ and gradient norm \S+ \(first in the gradient of \S+\); the last checkpoint, of step 4, is in absurd\n$/,
    );
    expect(logOf(Buffer.from(stdout)).map(({ type, step }) => `${type} ${step}`)).toEqual([
      'step 4',
      'checkpoint 4',
      'anomaly 5',
    ]);
    const after = snapshot(at('absurd'));
    expect(after.get(at('absurd', PREVIOUS_STATE_FILE))).toEqual(before.get(at('absurd', STATE_FILE)));
  });
});

describe('Ctrl-C', () => {
  const steps = ['--max_iters', '100'];

  /** Sends SIGINT once the log has some steps, and waits for the end. */
  async function interrupted(args: readonly string[], log: string): Promise<Outcome> {
    const { child, outcome } = start(args);
    const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length : 0);
    while (lines() < 5) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGINT');
    return outcome;
  }

  it('finishes the step, saves, and says how to resume; the resumed run is the whole run', async () => {
    await succeeds(...trainArgs('whole', ...steps));
    const { code, stdout, stderr } = await interrupted(trainArgs('stopped', ...steps), at('stopped', METRICS_FILE));
    expect(code).toBe(130);
    expect(stderr).toContain('Stopping after this step; once more to stop at once.\n');
    const step = Number(/^Stopped at step (\d+) of 100; the state is in stopped\.$/m.exec(stdout)?.[1]);
    expect(step >= 3 && step < 100).toBe(true);
    expect(logOf(readFileSync(at('stopped', METRICS_FILE))).at(-1)).toMatchObject({ type: 'checkpoint', step });

    const command = /^Resume with: npx octavo (.*)$/m.exec(stdout)?.[1];
    expect(command).toBe('train --resume --data text.txt --out-dir stopped --threads 1');
    await succeeds(...command!.split(' '));
    expect(story('stopped')).toEqual(story('whole'));
    expect(readFileSync(at('stopped', STATE_FILE)).equals(readFileSync(at('whole', STATE_FILE)))).toBe(true);
  });

  it('is what a reader asks for who closes the pipe: the state is saved, and leads to the same end', async () => {
    const { child, outcome } = start(trainArgs('piped', ...steps, '--json'));
    child.stdout!.once('data', () => child.stdout!.destroy());
    expect((await outcome).code).toBe(130);
    expect(logOf(readFileSync(at('piped', METRICS_FILE))).at(-1)?.type).toBe('checkpoint');
    await succeeds('train', '--resume', '--data', 'text.txt', '--out_dir', 'piped', '--threads', '1');
    expect(story('piped')).toEqual(story('whole'));
  });

  it('that also ends who reads the output, as in a pipe to tee, saves too', async () => {
    const { child, outcome } = start(trainArgs('teed', ...steps));
    const log = at('teed', METRICS_FILE);
    while (!existsSync(log) || readFileSync(log, 'utf8').split('\n').length < 5)
      await new Promise((resolve) => setTimeout(resolve, 5));
    child.stderr!.on('data', (chunk: string) => {
      if (!chunk.includes('Stopping')) return;
      child.stdout!.destroy();
      child.stderr!.destroy();
    });
    child.kill('SIGINT');
    expect((await outcome).code).toBe(130);
    expect(logOf(readFileSync(log)).at(-1)?.type).toBe('checkpoint');
    expect(existsSync(at('teed', LOCK_FILE))).toBe(false);
  });

  it('with --json ends with the line of the checkpoint', async () => {
    const { code, stdout } = await interrupted(trainArgs('json', ...steps, '--json'), at('json', METRICS_FILE));
    expect(code).toBe(130);
    expect(logOf(Buffer.from(stdout)).at(-1)).toMatchObject({ type: 'checkpoint', path: 'json' });
  });
});
