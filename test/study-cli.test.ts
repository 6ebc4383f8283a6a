/** `octavo study` as a program: processes, files, refusals, Ctrl-C. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CORPORA, textOf } from '../src/cli/study/corpus.js';
import { createStudyProgress } from '../src/cli/study/progress.js';
import type { PlannedRun } from '../src/study/plan.js';
import type { MetricsLine } from '../src/train/events.js';
import { type Outcome, startOctavo } from './helpers/program.js';
import { MINUTE, text } from './helpers/training.js';

const folder = mkdtempSync(join(tmpdir(), 'octavo-study-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]) => join(folder, ...parts);

writeFileSync(at('text.txt'), text(12_000));
const FILE = {
  title: 'Tiny <b>study</b>',
  question: 'Does it work?',
  corpus: 'moby-dick',
  settings: { config: MINUTE, batchSize: 2, blockSize: 16, valFraction: 0.05 },
  axes: { recipe: ['bf16', 'fp8'] },
  baseline: { recipe: 'bf16' },
  seeds: 2,
  tokens: 3200,
  evaluations: 4,
  quick: { tokens: 320 },
};
const file = (name: string, change: object = {}) => {
  writeFileSync(at(name), JSON.stringify({ ...FILE, ...change }));
  return name;
};
file('tiny.json');
const study = (...args: string[]): Promise<Outcome> => startOctavo(['study', ...args], folder).outcome;
const FILES = ['report.html', 'results.csv', 'results.json', 'tiny.md'];

describe('octavo study', () => {
  it('trains, writes its files, and trains nothing again', async () => {
    const args = ['tiny.json', '--quick', '--data', 'text.txt', '--out-dir', 'out'];
    const first = await study(...args);
    expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining('Report: out/tiny-quick/report.html') });
    expect(first.stderr.match(/ finished /g)).toHaveLength(4);
    expect(first.stderr).toContain('bf16, seed 1  finished  validation loss ');
    expect(readdirSync(at('out', 'tiny-quick')).sort()).toEqual(FILES);
    const [name] = readdirSync(at('out', 'runs'));
    const kept = readdirSync(at('out', 'runs', name));
    expect(kept).toEqual(expect.arrayContaining(['metrics.jsonl', 'result.json']));
    expect(kept.filter((entry) => entry.endsWith('.safetensors'))).toEqual([]);

    const read = () => FILES.map((entry) => readFileSync(at('out', 'tiny-quick', entry), 'utf8'));
    const files = read();
    const second = await study(...args, '--jobs', '1');
    expect(second.stderr.match(/ cached /g)).toHaveLength(4);
    // The summary says with how many jobs.
    expect(read().slice(0, 3)).toEqual(files.slice(0, 3));
    const [report, csv, json, summary] = files;
    expect(report).not.toContain('<b>study</b>');
    const { runs, cells, text: source } = JSON.parse(json);
    expect(source).toMatchObject({ name: 'text.txt', bytes: 12_000 });
    for (const { digest, measures } of runs) {
      for (const place of [report, csv, summary]) expect(place).toContain(digest);
      expect(report).toContain(measures.val_loss.toFixed(4));
    }
    expect(summary).toContain(cells[1].measures.val_loss.difference.words);
    expect(summary).toContain('npx octavo study tiny.json --quick --data text.txt --out-dir out');
  });

  it('--json prints a line for each event, and --seeds asks for more runs', async () => {
    const { code, stdout } = await study(
      'tiny.json',
      '--quick',
      '--data',
      'text.txt',
      '--out-dir',
      'out',
      '--seeds',
      '3',
      '--json',
    );
    expect(code).toBe(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const states = lines.filter(({ type }) => type === 'run').map(({ state }) => state);
    expect(states.filter((state) => state === 'cached')).toHaveLength(4);
    expect(states.filter((state) => state === 'finished')).toHaveLength(2);
    expect(lines.at(-1)).toMatchObject({ type: 'done', report: 'out/tiny-quick/report.html' });
  });

  it('refuses the results of a run whose log was cut', async () => {
    const args = ['tiny.json', '--quick', '--data', 'text.txt', '--out-dir', 'cut'];
    expect((await study(...args)).code).toBe(0);
    const [name] = readdirSync(at('cut', 'runs'));
    const log = at('cut', 'runs', name, 'metrics.jsonl');
    const [first] = readFileSync(log, 'utf8').split('\n');
    writeFileSync(log, `${first}\n`);
    const { code, stderr } = await study(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(
      `cut/runs/${name}/metrics.jsonl: expected the log of a run that ended, got one that breaks off`,
    );
  });

  it('takes no folder with the results of another study, and says whose they are', async () => {
    const files = ['one/same.json', 'two/same.json', 'same-quick.json', 'parity.json', 'runs.json'];
    mkdirSync(at('one'));
    mkdirSync(at('two'));
    const [one, two, quick, parity, runs] = files.map((name) => file(name, { seeds: 1, tokens: 320 }));
    const args = ['--data', 'text.txt', '--out-dir', 'shared'];
    expect((await study(one, '--quick', ...args)).code).toBe(0);
    expect(JSON.parse(readFileSync(at('shared', 'same-quick', 'results.json'), 'utf8')).file).toBe(
      '../../one/same.json',
    );
    const refusal = (expected: string, got: string, folder = 'same-quick') =>
      `octavo: shared/${folder}/results.json: expected results of ${expected}, got those of ${got}; name another --out-dir\n`;
    const refused = async (name: string, ...rest: string[]) => {
      const { code, stdout, stderr } = await study(name, ...rest, ...args);
      expect([code, stdout]).toEqual([2, '']);
      return stderr;
    };
    expect(await refused(two, '--quick')).toBe(refusal('two/same.json ("quick")', 'one/same.json ("quick")'));
    expect(await refused(quick)).toBe(refusal('same-quick.json ("full")', 'one/same.json ("quick")'));
    // The same file, however its path is written, and with other seeds.
    expect((await study(at(one), '--quick', ...args, '--seeds', '2')).code).toBe(0);
    // A study of one's own with a name of those that come with Octavo.
    mkdirSync(at('shared', 'parity'));
    writeFileSync(at('shared', 'parity', 'results.json'), '{"study":"parity","size":"full"}');
    expect(await refused(parity)).toBe(refusal('parity.json ("full")', '"parity" ("full")', 'parity'));
    expect(await refused(runs)).toMatch(/^octavo: study: expected another name than runs, .*, got runs\.json\n$/);
  });

  it('after Ctrl-C goes on where it was, and comes to the same results', async () => {
    const args = ['tiny.json', '--data', 'text.txt', '--out-dir'];
    expect((await study(...args, 'whole')).code).toBe(0);
    const { child, outcome } = startOctavo(['study', ...args, 'parts'], folder);
    const steps = () =>
      existsSync(at('parts', 'runs'))
        ? readdirSync(at('parts', 'runs')).filter((run) => {
            const log = at('parts', 'runs', run, 'metrics.jsonl');
            return existsSync(log) && readFileSync(log, 'utf8').includes('"step":5,');
          }).length
        : 0;
    while (steps() < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGINT');
    const stopped = await outcome;
    expect(stopped).toMatchObject({
      code: 130,
      stdout: expect.stringContaining('Go on with: npx octavo study tiny.json'),
    });
    expect(stopped.stderr).toContain('Stopping after the steps under way');
    expect(existsSync(at('parts', 'tiny'))).toBe(false);
    expect((await study(...args, 'parts')).code).toBe(0);
    for (const name of ['results.json', 'results.csv', 'report.html']) {
      expect(readFileSync(at('parts', 'tiny', name), 'utf8')).toBe(readFileSync(at('whole', 'tiny', name), 'utf8'));
    }
  });

  it('--list names the studies there are', async () => {
    const { code, stdout } = await study('--list');
    expect(code).toBe(0);
    for (const name of [
      'ablation',
      'bits',
      'moments',
      'outliers',
      'parity',
      'scaling-modes',
      'sharpness',
      'smooth-variants',
    ]) {
      expect(stdout).toMatch(new RegExp(`^${name}: `, 'm'));
    }
  });

  it.each([
    [['no-such'], /^octavo: study: expected one of ablation, .*, or a file ending in \.json, got "no-such"\n$/],
    [[], /^octavo: study: expected a name or a file, got none/],
    [['absent.json'], /^octavo: study: expected a file that can be read, got absent\.json \(ENOENT\)\n$/],
    [[file('field.json', { seedz: 3 })], /^octavo: field\.json: seedz: expected a field of title, question/],
    [
      [file('corpus.json', { corpus: 'bible' })],
      /^octavo: corpus: expected one of moby-dick, sotu, or a text with --data, got "bible"\n$/,
    ],
    [
      [file('recipe.json', { axes: { recipe: ['bf16', 'fp9'] } }), '--data', 'text.txt'],
      /^octavo: fp9: recipe: expected one of fp8, .*, got "fp9"\n$/,
    ],
    [['tiny.json', '--seeds', '1e12'], /^octavo: --seeds: expected an integer .* at most 10000, got 1000000000000\n$/],
    [['tiny.json', '--jobs', '0.5'], /^octavo: --jobs: expected an integer of at least 1, got 0\.5\n$/],
  ])('refuses %j in one line', async (args, message) => {
    expect(await study(...args)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
  });
});

describe('progress on a terminal', () => {
  it('has a bar for the whole and one for each run under way, and a line for each that ended', () => {
    const written: string[] = [];
    const fake = { isTTY: true, columns: 100, write: (text: string) => written.push(text) > 0 };
    const stream = fake as unknown as NodeJS.WriteStream;
    const run = (seed: number) =>
      ({ digest: `d${seed}`, cell: { recipe: 'fp8' }, seed, tokens: 100 }) as unknown as PlannedRun;
    const runs = [run(1), run(2), run(3)];
    const progress = createStudyProgress({ stream, runs, lanes: 2 });
    progress.end(runs[0], 'cached', 1.5);
    progress.begin(0, runs[1]);
    const step = { type: 'step', step: 1, loss: 2.25, tokens: 50, tokens_per_sec: 1234 } as unknown as MetricsLine;
    progress.line(0, runs[1], step);
    progress.end(runs[2], 'anomaly', undefined, 1);
    progress.stop();
    const text = written.join('');
    expect(text).toContain('fp8, seed 1: cached, validation loss 1.5000\n');
    expect(text).toContain('fp8, seed 3: anomaly, validation loss n/a\n');
    expect(text).toContain('50%  fp8, seed 2  loss 2.2500  1,234 tok/s');
    expect(text).toContain('83%  2/3 runs');
    expect(text).toContain('0%  waiting');
  });
});

describe('corpora', () => {
  it.each(Object.keys(CORPORA))('%s is there, whole', async (corpus) => {
    const size = { 'moby-dick': 1_204_997, sotu: 10_678_085 }[corpus];
    expect((await textOf({ corpus })).length).toBe(size);
  });
});
