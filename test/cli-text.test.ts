/** From text to text with `octavo`: train, generate, eval, inspect, diff. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { serializeSafetensors } from '../src/interop/safetensors.js';
import { STATE_FILE } from '../src/train/checkpoint.js';
import { METRICS_FILE } from '../src/train/log.js';
import { CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE } from '../src/train/model-files.js';
import { SUMMARY_FILE } from '../src/train/output.js';
import { trainArgs, useFolder } from './helpers/program.js';
import { digestOf, doneOf, evalsOf, logOf, storyOf } from './helpers/training.js';

/** What summary.json must have. */
const SUMMARY = (
  'recipe parameters steps tokens train_loss val_loss val_bits_per_byte tokens_per_second peak_memory_bytes ' +
  'state_bytes_per_parameter build threads runtime digest'
).split(' ');

const { at, here, succeeds, refused } = useFolder();
const story = (name: string) => storyOf(readFileSync(at(name, METRICS_FILE)));

describe('from text to text', () => {
  it('train writes a model, its state, a log, a summary and a report', async () => {
    const dashes = trainArgs(
      'run',
      '--max_iters=12',
      '--eval-interval',
      '5',
      '--sample_interval',
      '6',
      '--prompt',
      'Call',
    );
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
      ...trainArgs('again', '--max-iters', '12', '--eval_interval=5', '--sample-interval=6', '--prompt=Call', '--json'),
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

  it('inspect gives the values of a training state, not their codes', async () => {
    const rowsOf = async (...path: string[]) => {
      const { stdout } = await succeeds('inspect', join(...path), '--json');
      const rows = stdout.trimEnd().split('\n');
      return new Map(rows.map((row) => JSON.parse(row)).map((row) => [row.name, row]));
    };
    const [state, model] = [await rowsOf('run', STATE_FILE), await rowsOf('run', MODEL_FILE)];
    // The model's embedding is the master in BF16, of 8 bits.
    const master = state.get('embed.master_weight');
    expect(Math.abs(master.amax / model.get('model.embed_tokens.weight').amax - 1)).toBeLessThanOrEqual(2 ** -8);
    expect(master.amax / master.scale_inv).toBeCloseTo(65504, -1);
    const moment = state.get('layers.0.qkv.exp_avg');
    expect(moment).toMatchObject({ dtype: 'F8_E4M3', amax: 448 * moment.scale_inv });
    expect(moment.amax).toBeLessThan(1);
    expect(state.get('norm.exp_avg')).not.toHaveProperty('scale_inv');
  });

  it('inspect sees the whole of a tensor that it takes in pieces', async () => {
    const data = new Uint8Array(5 * 2 ** 20).fill(0x38);
    data[0] = 0;
    // The largest number, at the very end.
    data[data.length - 1] = 0x7e;
    writeFileSync(
      at('long.safetensors'),
      serializeSafetensors({ x: { dtype: 'F8_E4M3', shape: [data.length], data } }),
    );
    const row = JSON.parse((await succeeds('inspect', 'long.safetensors', '--json')).stdout);
    expect(row).toMatchObject({ amax: 448, zeros: 1 / data.length, at_max: 1 / data.length });
  });

  it('inspect takes no amax of codes whose scales are a tensor, and names that', async () => {
    const codes = { name: 'x', dtype: 'F8_E4M3', shape: [2], data: Uint8Array.of(0x7e, 0x38) };
    const scales = (name: string) => ({ name, dtype: 'F32', shape: [2, 1], data: new Uint8Array(8) });
    for (const name of ['x_scale_inv', 'x_scale']) {
      writeFileSync(at('parts.safetensors'), serializeSafetensors([codes, scales(name)]));
      const { stdout } = await succeeds('inspect', 'parts.safetensors', '--json');
      const row = JSON.parse(stdout.split('\n')[0]);
      expect(row).toEqual({ name: 'x', dtype: 'F8_E4M3', shape: [2], bytes: 2, scales: name, zeros: 0, at_max: 0.5 });
    }
    const table = (await succeeds('inspect', 'parts.safetensors')).stdout;
    expect(table).toMatch(/^x +F8_E4M3 +2 +2 +by parts +0\.00 % +50\.00 %$/m);
  });

  it('inspect counts zeros of either sign and the largest codes of a format, not those below', async () => {
    const data = Uint8Array.of(0x00, 0x80, 0x7e, 0xfe, 0x7d, 0x38, 0x38, 0x38);
    writeFileSync(at('codes.safetensors'), serializeSafetensors([{ name: 'x', dtype: 'F8_E4M3', shape: [8], data }]));
    const { stdout } = await succeeds('inspect', 'codes.safetensors', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ bytes: 8, amax: 448, zeros: 0.25, at_max: 0.25 });
  });

  it('inspect keeps NaN as the largest magnitude, and shows foreign names without what would drive a terminal', async () => {
    const data = new Uint8Array(Uint16Array.of(0x42c8, 0x7fc0, 0x3f80).buffer);
    const name = '\u001b[31mx\n';
    writeFileSync(at('odd.safetensors'), serializeSafetensors([{ name, dtype: 'BF16', shape: [3], data }]));
    const { stdout } = await succeeds('inspect', 'odd.safetensors');
    expect(stdout.split('\n')[1]).toMatch(/^\\u001b\[31mx\\n +BF16 +3 +6 +NaN$/);
  });

  it('diff says that a run is itself, and with exit code 1 where two part', async () => {
    const same = await succeeds('diff', 'run', join('run'));
    expect(same.stdout).toMatch(/^\d+ steps in both, the same\nstates of step \d+: 0 of 42 tensors differ\n$/);
    await succeeds(...trainArgs('seed', '--seed', '5', '--max_iters', '2'));
    const { code, stdout, stderr } = await here('diff', 'run', 'seed');
    expect([code, stderr]).toEqual([1, '']);
    expect(stdout).toMatch(/^seed: 1337 and 5$/m);
    expect(stdout).toMatch(/^step 1 is the first of 2 in both to differ: embed and 13 more; losses \S+ and \S+$/m);
    const json = JSON.parse((await here('diff', 'run', 'seed', '--json')).stdout);
    expect(json).toMatchObject({ different: true, steps: 2, firstStep: { step: 1 } });
    // A state and a model have nothing to compare.
    await refused(
      ['diff', join('run', STATE_FILE), join('seed', MODEL_FILE)],
      /expected a step, a state or a model that .* has as well/,
    );
  });
});
