/** What a person touches: the help of `octavo`, and what it refuses before anything is done, with exit codes and lines. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Option } from 'commander';
import { beforeAll, describe, expect, it } from 'vitest';
import { withDashes } from '../src/cli/flag-names.js';
import { RECIPES } from '../src/ops/recipe.js';
import { SETTINGS } from '../src/train/settings.js';
import { halfArgs, trainArgs, useFolder } from './helpers/program.js';

const COMMANDS = ['train', 'generate', 'eval', 'inspect'];
const { at, start, here, succeeds, refused } = useFolder();

beforeAll(async () => {
  writeFileSync(at('short.txt'), 'Call me Ishmael.');
  writeFileSync(at('empty.txt'), '');
  writeFileSync(at('seed'), 'a file that has the name of a flag');
  mkdirSync(at('folder'));
  mkdirSync(at('sharded'));
  writeFileSync(at('sharded/model-00001-of-00002.safetensors'), '');
  mkdirSync(at('nested/model.safetensors'), { recursive: true });
  mkdirSync(at('odd', 'metrics.jsonl'), { recursive: true });
  await succeeds(...halfArgs());
});

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

  it('--version prints the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    expect((await succeeds('--version')).stdout).toBe(`${version}\n`);
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
    const { code, stderr } = await here();
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Usage: octavo /);
  });
});

describe('what is not understood', () => {
  it.each([
    [trainArgs('new', '--recipee', 'fp8'), /^octavo: unknown option '--recipee'\n\(Did you mean --recipe\?\)\n$/],
    [
      trainArgs('new', '--learning_rat=1'),
      /^octavo: unknown option '--learning-rat=1'\n\(Did you mean --learning-rate\?\)\n$/,
    ],
    [['trian'], /^octavo: unknown command 'trian'\n\(Did you mean train\?\)\n$/],
  ])('%j: with a suggestion', async (args, message) => {
    const { code, stdout, stderr } = await here(...args);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([2, '']);
  });

  it('underscores in the names of flags are dashes, up to a lone --', () => {
    const words = ['a_b', '--c_d', '--e_f=g_h', '--', '--i_j'];
    expect(withDashes(words, [])).toEqual(['a_b', '--c-d', '--e-f=g_h', '--', '--i_j']);
    expect(withDashes(['--', '--i_j'], [])).toEqual(['--', '--i_j']);
  });

  it('values of flags keep their underscores, also where they begin with dashes', async () => {
    const options = [new Option('--a-b <text>'), new Option('--c-d')];
    expect(withDashes(['--a_b', '--x_y', '--c_d', '--x_y'], options)).toEqual(['--a-b', '--x_y', '--c-d', '--x-y']);
    expect(withDashes(['--a_b=--x_y', '--x_y'], options)).toEqual(['--a-b=--x_y', '--x-y']);
    expect(withDashes(['--a_b', '--', '--x_y'], options)).toEqual(['--a-b', '--', '--x-y']);
    const args = ['generate', '--model', 'half', '--max_new_tokens', '0', '--prompt'];
    expect((await succeeds(...args, '--foo_bar')).stdout).toBe('--foo_bar\n');
  });

  it.each([
    [['train'], /required option '--data <file>' not specified/],
    [['generate'], /required option '--model <dir>' not specified/],
    [['inspect'], /missing required argument 'path'/],
    [['inspect', 'half', 'more'], /too many arguments/],
    [trainArgs('new', '--seed'), /option '--seed <n>' argument missing/],
    [
      trainArgs('new', '--learning_rate', 'fast'),
      /'--learning-rate <x>' argument 'fast' is invalid. expected a number, got 'fast'/,
    ],
    [trainArgs('new', '--batch_size='), /'--batch-size <n>' argument '' is invalid. expected a number, got ''/],
  ])('%j', async (args, message) => {
    await refused(args, message);
  });
});

describe('what cannot be', () => {
  it.each([
    [['--recipe', 'fp9'], /^octavo: --recipe: expected one of fp8, fp8-plain, .*, f32, got "fp9"$/m],
    [['--max_iters', '0'], /^octavo: --max-iters: expected an integer of at least 1, got 0$/m],
    [['--batch_size', '1.5'], /^octavo: --batch-size: expected an integer of at least 1, got 1.5$/m],
    [
      ['--gradient_accumulation_steps', '-1'],
      /^octavo: --gradient-accumulation-steps: expected an integer of at least 1, got -1$/m,
    ],
    [['--learning_rate', 'Infinity'], /^octavo: --learning-rate: expected a number of at least 0, got Infinity$/m],
    [['--seed', '-1'], /^octavo: --seed: expected an integer of at least 0 and at most \d+, got -1$/m],
    [['--val_fraction', '1'], /^octavo: --val-fraction: expected a number above 0 and below 1, got 1$/m],
    [['--eval_iters', '0'], /^octavo: --eval-iters: expected an integer of at least 1, got 0$/m],
    [['--checkpoint_interval', '0.5'], /^octavo: --checkpoint-interval: expected an integer of at least 1, got 0.5$/m],
    [['--n_embd', '30'], /^octavo: --n-embd: expected a multiple of --n-head = 4, got 30$/m],
    [['--n_embd', '12'], /^octavo: headDim = --n-embd \/ --n-head: expected an even number, for rotary pairs, got 3$/m],
    [['--n_kv_head', '3'], /^octavo: --n-kv-head: expected a divisor of --n-head = 4, got 3$/m],
    [['--n_ff', '30'], /^octavo: --n-ff: expected a multiple of 4 for training, got 30$/m],
    [['--n_layer', '0'], /^octavo: --n-layer: expected an integer from 1 to 4096, got 0$/m],
    [['--threads', '0'], /^octavo: --threads: expected an integer from 1 to 64, got 0$/m],
    [['--build', 'fast'], /^octavo: --build: expected 'auto', 'simd' or 'relaxed', got "fast"$/m],
    [['--prompt', ''], /'--prompt <text>' argument '' is invalid. expected at least one character, got none/],
    [['--out_dir='], /'--out-dir <dir>' argument '' is invalid. expected at least one character, got none/],
    [
      ['--recipe', 'mxfp8', '--batch_size', '1', '--block_size', '16'],
      /^octavo: --recipe: expected sizes that are multiples of 32 for mx, got 16 in --batch-size x --block-size$/m,
    ],
    [['--data', 'none.txt'], /^octavo: --data: expected a readable text file, got none.txt \(ENOENT\)$/m],
    [['--data', 'folder'], /^octavo: --data: expected a readable text file, got folder \(EISDIR\)$/m],
    [
      ['--data', 'empty.txt'],
      /^octavo: --data: expected a text file with bytes in it, got empty.txt, which is empty$/m,
    ],
    [
      ['--data', 'short.txt'],
      /^octavo: --data: expected at least 65 tokens in the train part for block size 32, got 14 of 16$/m,
    ],
    [['--out_dir', 'text.txt/run'], /text.txt\/run: expected a directory that can be .*, got ENOTDIR: /],
    [['--out_dir', 'text.txt'], /text.txt: expected a directory that can be .*, got E[A-Z]+: /],
    [['--out_dir', 'seed'], /^octavo: seed: expected a directory that can be .*, got E[A-Z]+: /],
    [['--out_dir', '/proc/octavo'], /\/proc\/octavo: expected a directory that can be written to, got E[A-Z]+: /],
    [['--resume'], /new: expected a training run to resume, got no training_state.safetensors$/m],
  ])('train %j', async (more, message) => {
    await refused(trainArgs('new', ...more), message);
    expect(existsSync(at('new'))).toBe(false);
  });

  it.each([
    [['generate', '--model', 'none'], /none: expected a model directory with config.json, got none$/m],
    [['generate', '--model', 'text.txt'], /text.txt: expected a directory with files that can be read, got ENOTDIR: /],
    [['generate', '--model', 'half', '--prompt='], /'--prompt <text>' argument '' is invalid. expected at least one/],
    [['inspect', ''], /'' is invalid for argument 'path'. expected at least one character, got none/],
    [
      ['generate', '--model', 'half', '--temperature', '-1'],
      /^octavo: --temperature: expected a number of 0 or more, got -1$/m,
    ],
    [['generate', '--model', 'half', '--top_k', '0'], /^octavo: --top-k: expected an integer of 1 or more, got 0$/m],
    [
      ['generate', '--model', 'half', '--top_p', '2'],
      /^octavo: --top-p: expected a number above 0 and at most 1, got 2$/m,
    ],
    [
      ['generate', '--model', 'half', '--max_new_tokens', '-3'],
      /^octavo: --max-new-tokens: expected an integer of 0 or more, got -3$/m,
    ],
    [
      ['eval', '--model', 'half', '--data', 'none.txt'],
      /^octavo: --data: expected a readable text file, got none.txt \(ENOENT\)$/m,
    ],
    [
      ['eval', '--model', 'half', '--data', 'short.txt'],
      /^octavo: --data: expected more than 32 bytes to measure on, got 2$/m,
    ],
    [
      ['eval', '--model', 'half', '--data', 'text.txt', '--val_fraction', '0'],
      /^octavo: --val-fraction: expected a number above 0 and at most 1, got 0$/m,
    ],
    [
      ['eval', '--model', 'half', '--data', 'text.txt', '--block_size', '33'],
      /^octavo: --block-size: expected an integer from 1 to 32, got 33$/m,
    ],
    [
      trainArgs('new', '--on_anomaly', 'ignore'),
      /^octavo: --on-anomaly: expected one of stop, skip, rewind, got 'ignore'$/m,
    ],
    [
      trainArgs('new', '--max_saturated', '2'),
      /^octavo: --max-saturated: expected a number of at least 0 and at most 1, got 2$/m,
    ],
    [['diff', 'none', 'text.txt'], /none: expected a directory or a safetensors file, got none \(ENOENT\)$/m],
    [
      ['diff', 'odd', 'half'],
      /^octavo: odd: expected a directory with files .*, got a directory with the name metrics.jsonl$/m,
    ],
    [['diff', 'folder', 'folder'], /folder: expected a training run, a training state or a model, got none$/m],
    [['inspect', 'none'], /none: expected a model directory or safetensors file, got none \(ENOENT\)$/m],
    [['inspect', 'folder'], /folder\/model.safetensors: expected a readable safetensors file, got ENOENT$/m],
    [
      ['inspect', 'sharded'],
      /sharded: expected model.safetensors, got a directory without; name a file, such as model-00001-of-00002.safetensors$/m,
    ],
    [['inspect', 'nested'], /nested\/model.safetensors: expected a readable safetensors file, got EISDIR$/m],
    [['inspect', 'text.txt'], /text.txt: safetensors: expected /],
  ])('%j', async (args, message) => {
    await refused(args, message);
  });
});

describe('as a program of its own', () => {
  it.each([
    [['trian'], 2, /^octavo: unknown command 'trian'\n\(Did you mean train\?\)\n$/],
    [trainArgs('new', '--seed', '-1'), 2, /^octavo: --seed: expected an integer .*, got -1\n$/],
    [['inspect', 'text.txt'], 2, /^octavo: text.txt: safetensors: expected .*\n$/],
    [['diff', 'half', 'half'], 0, /^$/],
  ])('%j ends with the same line and exit code', async (args, expected, message) => {
    const { code, stdout, stderr } = await start(args).outcome;
    expect(code).toBe(expected);
    expect(stderr).toMatch(message);
    expect({ code, stdout, stderr }).toEqual(await here(...args));
  });

  it('ends quietly where its reader has enough', async () => {
    const { child, outcome } = start(['inspect', 'half', '--json']);
    child.stdout!.destroy();
    const { code, stderr } = await outcome;
    expect([code, stderr]).toEqual([0, '']);
  });
});
