/** What a person touches: `octavo` as a program, its exit codes and lines, and that a refusal leaves every file as it was. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RECIPES } from '../src/ops/recipe.js';
import { PREVIOUS_STATE_FILE, STATE_FILE } from '../src/train/checkpoint.js';
import { METRICS_FILE } from '../src/train/log.js';

import { CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE } from '../src/train/model-files.js';
import { SETTINGS } from '../src/train/options.js';
import { SUMMARY_FILE } from '../src/train/output.js';
import { type Outcome, startOctavo, TINY_FLAGS } from './helpers/program.js';
import { digestOf, doneOf, evalsOf, logOf, storyOf, text } from './helpers/training.js';

/** The default learning rate, which the runs here begin with. */
const RATE = SETTINGS.learningRate.fallback;
const COMMANDS = ['train', 'generate', 'eval', 'inspect'];
/** What summary.json must have, from the issue. */
const SUMMARY = (
  'recipe parameters steps tokens train_loss val_loss val_bits_per_byte tokens_per_second peak_memory_bytes ' +
  'state_bytes_per_parameter build threads runtime digest'
).split(' ');

let root: string;
const at = (...parts: string[]) => join(root, ...parts);

const start = (args: readonly string[]) => startOctavo(args, root);
const octavo = (...args: string[]): Promise<Outcome> => start(args).outcome;

/** Runs a command that must succeed. */
async function succeeds(...args: string[]): Promise<Outcome> {
  const outcome = await octavo(...args);
  expect(outcome.stderr + outcome.code, args.join(' ')).toMatch(/0$/);
  expect(outcome.code, outcome.stderr).toBe(0);
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
async function refused(args: readonly string[], message: RegExp, code = 2): Promise<void> {
  const before = snapshot();
  const outcome = await octavo(...args);
  expect(outcome.stderr, args.join(' ')).toMatch(message);
  expect(outcome.stderr.trimEnd().split('\n').length, outcome.stderr).toBe(1);
  expect(outcome.stderr).toMatch(/^octavo: /);
  expect(outcome.stdout).toBe('');
  expect(outcome.code).toBe(code);
  expect(snapshot()).toEqual(before);
}

const story = (name: string) => storyOf(readFileSync(at(name, METRICS_FILE)));

const train = (outDir: string, ...more: string[]) => [
  'train',
  '--data',
  'text.txt',
  '--out_dir',
  outDir,
  ...TINY_FLAGS,
  ...more,
];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'octavo-cli-'));
  writeFileSync(at('text.txt'), text(12_000));
  writeFileSync(at('short.txt'), 'Call me Ishmael.');
  writeFileSync(at('empty.txt'), '');
  mkdirSync(at('folder'));
  // The run of most tests below: half done, with a checkpoint before the newest.
  await succeeds(...train('half', '--max_iters', '8', '--checkpoint_interval', '2', '--stop_at', '4'));
  expect(existsSync(at('half', STATE_FILE))).toBe(true);
});
afterAll(() => rmSync(root, { recursive: true }));

describe('help', () => {
  it('of the program lists its commands', async () => {
    const { stdout } = await succeeds('--help');
    for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });

  it.each(COMMANDS)('of %s says what it does and takes', async (name) => {
    const { stdout } = await succeeds(name, '--help');
    expect(stdout).toMatch(new RegExp(`^Usage: octavo ${name} `));
    expect(stdout).toMatch(/^ {2}-h, --help +display help/m);
    // Every option is explained.
    for (const line of stdout.split('\n'))
      if (/^ {2}--/.test(line)) expect(line).toMatch(/^ {2}--[a-z0-9-]+( <\w+>)? +\S/);
  });

  it('of train names every recipe, and defaults as they are', async () => {
    const help = (await succeeds('train', '--help')).stdout.replace(/\s+/g, ' ');
    for (const name of Object.keys(RECIPES)) expect(help).toMatch(new RegExp(`[ ,]${name}[ ,]`));
    const flags = {
      'max-iters': 'steps',
      'batch-size': 'batchSize',
      'block-size': 'blockSize',
      'gradient-accumulation-steps': 'gradientAccumulation',
      'learning-rate': 'learningRate',
      'weight-decay': 'weightDecay',
      beta1: 'beta1',
      beta2: 'beta2',
      'grad-clip': 'gradClip',
      'val-fraction': 'valFraction',
      seed: 'seed',
    } as const;
    for (const [flag, setting] of Object.entries(flags)) {
      const said = new RegExp(`--${flag} <\\w+> [^-]*?\\(default: ([^)]*)\\)`).exec(help);
      expect(Number(said?.[1]), flag).toBe(SETTINGS[setting].fallback);
    }
  });

  it('comes where no command is given, as a mistake', async () => {
    const { code, stderr } = await octavo();
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Usage: octavo /);
  });
});

describe('what is not understood', () => {
  it.each([
    [train('new', '--recipee', 'fp8'), /^octavo: unknown option '--recipee'\n\(Did you mean --recipe\?\)\n$/],
    [
      train('new', '--learning_rat=1'),
      /^octavo: unknown option '--learning-rat=1'\n\(Did you mean --learning-rate\?\)\n$/,
    ],
    [['trian'], /^octavo: unknown command 'trian'\n\(Did you mean train\?\)\n$/],
  ])('%j: with a suggestion', async (args, message) => {
    const { code, stdout, stderr } = await octavo(...args);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([2, '']);
  });

  it.each([
    [['train'], /required option '--data <file>' not specified/],
    [['generate'], /required option '--model <dir>' not specified/],
    [['inspect'], /missing required argument 'path'/],
    [['inspect', 'half', 'more'], /too many arguments/],
    [train('new', '--seed'), /option '--seed <n>' argument missing/],
    [
      train('new', '--learning_rate', 'fast'),
      /'--learning-rate <x>' argument 'fast' is invalid. expected a number, got 'fast'/,
    ],
    [train('new', '--batch_size='), /'--batch-size <n>' argument '' is invalid. expected a number, got ''/],
  ])('%j', async (args, message) => {
    await refused(args, message);
  });
});

describe('what cannot be', () => {
  it.each([
    [['--recipe', 'fp9'], /recipe: expected one of fp8, fp8-plain, .*, f32, got "fp9"$/m],
    [['--max_iters', '0'], /max_iters: expected an integer of at least 1, got 0$/m],
    [['--batch_size', '1.5'], /batch_size: expected an integer of at least 1, got 1.5$/m],
    [
      ['--gradient_accumulation_steps', '-1'],
      /gradient_accumulation_steps: expected an integer of at least 1, got -1$/m,
    ],
    [['--learning_rate', 'Infinity'], /learning_rate: expected a number of at least 0, got Infinity$/m],
    [['--seed', '-1'], /seed: expected an integer of at least 0 and at most \d+, got -1$/m],
    [['--val_fraction', '1'], /val_fraction: expected a number above 0 and below 1, got 1$/m],
    [['--eval_iters', '0'], /eval_iters: expected an integer of at least 1, got 0$/m],
    [['--checkpoint_interval', '0.5'], /checkpoint_interval: expected an integer of at least 1, got 0.5$/m],
    [['--n_embd', '30'], /n_embd: expected a multiple of n_head = 4, got 30$/m],
    [['--n_embd', '12'], /headDim = n_embd \/ n_head: expected an even number, for rotary pairs, got 3$/m],
    [['--n_kv_head', '3'], /n_kv_head: expected a divisor of n_head = 4, got 3$/m],
    [['--n_ff', '30'], /n_ff: expected a multiple of 4 for training, got 30$/m],
    [['--n_layer', '0'], /n_layer: expected an integer from 1 to 4096, got 0$/m],
    [['--threads', '0'], /threads: expected an integer from 1 to 64, got 0$/m],
    [['--build', 'fast'], /build: expected 'auto', 'simd' or 'relaxed', got "fast"$/m],
    [['--prompt', ''], /samplePrompt: expected at least one character, got none$/m],
    [['--data', 'none.txt'], /data: expected a readable text file, got none.txt \(ENOENT\)$/m],
    [['--data', 'folder'], /data: expected a readable text file, got folder \(EISDIR\)$/m],
    [['--data', 'empty.txt'], /data: expected a text file with bytes in it, got empty.txt, which is empty$/m],
    [['--data', 'short.txt'], /data: expected at least 65 tokens in the train part for block size 32, got 14 of 16$/m],
    [['--out_dir', 'text.txt/run'], /text.txt\/run: expected a directory that can be .*, got ENOTDIR: /],
    [['--out_dir', 'text.txt'], /text.txt: expected a directory that can be .*, got E[A-Z]+: /],
    [['--out_dir', '/proc/octavo'], /\/proc\/octavo: expected a directory that can be written to, got E[A-Z]+: /],
    [['--resume'], /new: expected a training run to resume, got no training_state.safetensors$/m],
  ])('train %j', async (more, message) => {
    await refused(train('new', ...more), message);
    expect(existsSync(at('new'))).toBe(false);
  });

  it.each([
    [['generate', '--model', 'none'], /none: expected a model directory with config.json, got none$/m],
    [['generate', '--model', 'text.txt'], /text.txt: expected a directory with files that can be read, got ENOTDIR: /],
    [['generate', '--model', 'half', '--prompt', ''], /prompt: expected at least one character, got none$/m],
    [['generate', '--model', 'half', '--temperature', '-1'], /temperature: expected a number of 0 or more, got -1$/m],
    [['generate', '--model', 'half', '--top_k', '0'], /topK: expected an integer of 1 or more, got 0$/m],
    [['generate', '--model', 'half', '--top_p', '2'], /topP: expected a number above 0 and at most 1, got 2$/m],
    [
      ['generate', '--model', 'half', '--max_new_tokens', '-3'],
      /maxNewTokens: expected an integer of 0 or more, got -3$/m,
    ],
    [
      ['eval', '--model', 'half', '--data', 'none.txt'],
      /data: expected a readable text file, got none.txt \(ENOENT\)$/m,
    ],
    [['eval', '--model', 'half', '--data', 'short.txt'], /data: expected more than 32 bytes to measure on, got 2$/m],
    [
      ['eval', '--model', 'half', '--data', 'text.txt', '--val_fraction', '0'],
      /val_fraction: expected a number above 0 and at most 1, got 0$/m,
    ],
    [
      ['eval', '--model', 'half', '--data', 'text.txt', '--block_size', '33'],
      /block_size: expected an integer from 1 to 32, got 33$/m,
    ],
    [train('new', '--on_anomaly', 'ignore'), /on_anomaly: expected one of stop, skip, rewind, got ignore$/m],
    [train('new', '--max_saturated', '2'), /max_saturated: expected a number of at least 0 and at most 1, got 2$/m],
    [['diff', 'none', 'text.txt'], /none: expected a directory or a safetensors file, got none \(ENOENT\)$/m],
    [['diff', 'folder', 'folder'], /folder: expected a training run, a training state or a model, got none$/m],
    [['inspect', 'none'], /none: expected a model directory or safetensors file, got none \(ENOENT\)$/m],
    [['inspect', 'folder'], /folder\/model.safetensors: expected a readable safetensors file, got ENOENT$/m],
    [['inspect', 'text.txt'], /text.txt: safetensors: expected /],
  ])('%j', async (args, message) => {
    await refused(args, message);
  });
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
      train('half', '--max_iters', '8'),
      /outDir: expected a directory without a run, got half, which has training_state.safetensors; resume it or name another$/m,
    );
  });

  it.each([
    [['--max_iters', '9'], 'steps = 8, got 9'],
    [['--seed', '2'], 'seed = 1337, got 2'],
    [['--recipe', 'bf16'], 'recipe.name = "fp8", got "bf16"'],
    [['--batch_size', '2'], 'batchSize = 4, got 2'],
    [['--block_size', '16'], 'blockSize = 32, got 16'],
    [['--learning_rate', '1'], `learningRate = ${RATE}, got 1`],
    [['--n_embd', '64'], 'config.hiddenSize = 32, got 64'],
    [['--n_layer', '3'], 'config.layers = 2, got 3'],
    [['--no-tie'], 'config.tieWordEmbeddings = true, got false'],
  ])('is not continued with %j', async (more, difference) => {
    await refused(
      resume(...more),
      new RegExp(`^octavo: resume: expected the settings the run began with, ${difference.replace('.', '\\.')}$`, 'm'),
    );
  });

  it('nor on another text', async () => {
    writeFileSync(at('other.txt'), text(12_000, 90_000));
    await refused(
      resume('--data', 'other.txt'),
      /resume: expected the data the run began with \(digest [0-9a-f]{16}\), got digest [0-9a-f]{16}$/m,
    );
  });

  it('nor to stop before it began', async () => {
    await refused(resume('--stop_at', '4'), /stopAt: expected a step after the checkpoint's 4, got 4$/m);
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
    await succeeds(...train('absurd', ...absurd, '--stop_at', '3'));
    const before = snapshot(at('absurd'));
    const { code, stdout, stderr } = await octavo(
      'train',
      '--resume',
      '--data',
      'text.txt',
      '--out_dir',
      'absurd',
      '--json',
    );
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
    await succeeds(...train('whole', ...steps));
    const { code, stdout, stderr } = await interrupted(train('stopped', ...steps), at('stopped', METRICS_FILE));
    expect(code).toBe(130);
    expect(stderr).toContain('Stopping after this step; once more to stop at once.\n');
    const step = Number(/^Stopped at step (\d+) of 100; the state is in stopped\.$/m.exec(stdout)?.[1]);
    expect(step >= 3 && step < 100).toBe(true);
    expect(logOf(readFileSync(at('stopped', METRICS_FILE))).at(-1)).toMatchObject({ type: 'checkpoint', step });

    const command = /^Resume with: npx octavo (.*)$/m.exec(stdout)?.[1];
    expect(command).toBe('train --resume --data text.txt --out_dir stopped');
    await succeeds(...command!.split(' '), '--threads', '1');
    expect(story('stopped')).toEqual(story('whole'));
    expect(readFileSync(at('stopped', STATE_FILE)).equals(readFileSync(at('whole', STATE_FILE)))).toBe(true);
  });

  it('with --json ends with the line of the checkpoint', async () => {
    const { code, stdout } = await interrupted(train('json', ...steps, '--json'), at('json', METRICS_FILE));
    expect(code).toBe(130);
    expect(logOf(Buffer.from(stdout)).at(-1)).toMatchObject({ type: 'checkpoint', path: 'json' });
  });
});

describe('from text to text', () => {
  it('train writes a model, its state, a log, a summary and a report', async () => {
    const dashes = train('run', '--max_iters=12', '--eval-interval', '5', '--sample_interval', '6', '--prompt', 'Call');
    const { stdout } = await succeeds(...dashes);
    const files = [CONFIG_FILE, TOKENIZER_FILE, MODEL_FILE, STATE_FILE, METRICS_FILE, SUMMARY_FILE, 'report.html'];
    expect(readdirSync(at('run')).sort()).toEqual(files.sort());

    const summary = JSON.parse(readFileSync(at('run', SUMMARY_FILE), 'utf8'));
    const log = logOf(readFileSync(at('run', METRICS_FILE)));
    for (const field of SUMMARY) expect(summary, field).toHaveProperty(field);
    const strings = ['recipe', 'build', 'runtime', 'digest'];
    for (const field of SUMMARY)
      expect(typeof summary[field], field).toBe(strings.includes(field) ? 'string' : 'number');
    expect(summary).toMatchObject({ recipe: 'fp8', steps: 12, parameters: 26784, threads: 1, digest: digestOf(log) });
    expect(summary.state_bytes_per_parameter).toBeLessThanOrEqual(4.1);
    expect(summary).toEqual((({ type: _, step: __, ...rest }) => rest)(doneOf(log)));
    for (const part of [
      summary.digest,
      summary.val_loss.toFixed(4),
      'run/report.html',
      'npx octavo generate --model run',
    ]) {
      expect(stdout).toContain(part);
    }

    const report = readFileSync(at('run', 'report.html'), 'utf8');
    expect(report).toMatch(/^<!doctype html>/);
    expect(report).toContain(summary.digest);
    expect(report).not.toMatch(/(src|href)="https?:/);
  });

  it('the log has what --json prints, whichever way flags are written', async () => {
    const { stdout, stderr } = await succeeds(
      ...train('again', '--max-iters', '12', '--eval_interval=5', '--sample-interval=6', '--prompt=Call', '--json'),
    );
    expect(stderr).toBe('');
    const lines = logOf(Buffer.from(stdout));
    expect(lines).toEqual(logOf(readFileSync(at('again', METRICS_FILE))));
    expect(story('again')).toEqual(story('run'));
  });

  it('generate continues a prompt: the same seed, the same text, on any number of threads and on either build', async () => {
    const text = async (...more: string[]) =>
      (await succeeds('generate', '--model', 'run', '--prompt', 'Call me', '--max_new_tokens', '60', ...more)).stdout;
    const first = await text('--threads', '1');
    expect(first).toMatch(/^Call me/);
    expect(first.length).toBeGreaterThan(40);
    expect(await text('--seed', '1337', '--threads', '2', '--build', 'relaxed')).toBe(first);
    expect(await text('--seed', '2')).not.toBe(first);
    const { prompt, text: continuation, tokens } = JSON.parse(await text('--json'));
    expect(`${prompt}${continuation}\n`).toBe(first);
    expect(tokens).toBe(60);
  });

  it('eval measures what the run measured, to the last bit', async () => {
    const { stdout } = await succeeds('eval', '--model', 'run', '--data', 'text.txt', '--json', '--threads', '2');
    const { loss, bits_per_byte } = JSON.parse(stdout);
    expect(evalsOf(logOf(readFileSync(at('run', METRICS_FILE)))).at(-1)).toMatchObject({
      val_loss: loss,
      val_bits_per_byte: bits_per_byte,
    });
    const plain = await succeeds('eval', '--model', 'run', '--data', 'text.txt');
    expect(plain.stdout).toContain(`loss ${loss.toFixed(4)} nats a byte, ${bits_per_byte.toFixed(4)} bits per byte`);
  });

  it('inspect lists the tensors, of a directory and of a file', async () => {
    const { stdout } = await succeeds('inspect', 'run');
    expect(stdout).toMatch(
      /^model\.layers\.0\.mlp\.down_proj\.weight +F8_E4M3 +32 x 64 +2048 +\S+ +\S+ +\d+\.\d\d % +\d+\.\d\d %$/m,
    );
    expect(stdout).toMatch(/^model\.embed_tokens\.weight +BF16 +256 x 32 +16384 /m);
    expect(stdout).toMatch(/\n34 tensors, \d+ bytes\n$/);
    expect((await succeeds('inspect', join('run', MODEL_FILE))).stdout).toBe(stdout);
    const rows = (await succeeds('inspect', join('run', STATE_FILE), '--json')).stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    // embed, two layers of six, norm
    expect(rows.length).toBe(14 * 3);
    expect(rows[0]).toMatchObject({ name: 'embed.master_weight', dtype: 'F16', shape: [256, 32], bytes: 16384 });
  });

  it('diff says that a run is itself, and with exit code 1 where two part', async () => {
    const same = await succeeds('diff', 'run', join('run'));
    expect(same.stdout).toMatch(/^\d+ steps in both, the same\nstates of step \d+: 0 of 42 tensors differ\n$/);
    await succeeds(...train('seed', '--seed', '5', '--max_iters', '2'));
    const { code, stdout, stderr } = await octavo('diff', 'run', 'seed');
    expect([code, stderr]).toEqual([1, '']);
    expect(stdout).toMatch(/^seed: 1337 and 5$/m);
    expect(stdout).toMatch(/^step 1 is the first of 2 in both to differ: embed and 13 more; losses \S+ and \S+$/m);
    const json = JSON.parse((await octavo('diff', 'run', 'seed', '--json')).stdout);
    expect(json).toMatchObject({ different: true, steps: 2, firstStep: { step: 1 } });
    // A state and a model have nothing to compare.
    await refused(
      ['diff', join('run', STATE_FILE), join('seed', MODEL_FILE)],
      /expected a step, a state or a model that .* has as well/,
    );
  });

  it('a reader that has enough ends it quietly', async () => {
    const { child, outcome } = start(['inspect', 'run', '--json']);
    child.stdout!.destroy();
    const { code, stderr } = await outcome;
    expect([code, stderr]).toEqual([0, '']);
  });
});
