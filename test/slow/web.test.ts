/**
 * What depends on speed, in Chromium, while nothing else runs: tasks of the page while all cores train, steps of a tab in the background, and
 * how soon a page can be used.
 */
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Served, serve } from '../../src/cli/serve.js';
import type { StepLine } from '../../src/train/events.js';
import { go, launch, press, says, watchedPage } from '../helpers/browser.js';

/** What PerformanceObserver calls a long task. */
const LONG_MS = 50;
const SECONDS = 20;
const RUN = new URLSearchParams({
  ...{ steps: '100000', batchSize: '4', blockSize: '128', layers: '2', hiddenSize: '64', heads: '4' },
  ...{ text: 'moby-dick', monitorInterval: '50', sampleInterval: '200', evalInterval: '200' },
});

let site: Served;
let browser: Browser;
beforeAll(async () => {
  site = await serve({ port: 0, host: '127.0.0.1' });
  browser = await launch('chromium');
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** Long tasks are collected from the first moment on, with the scripts that ran in them. */
async function observed(): Promise<Page> {
  const { page } = await watchedPage(browser, site.url);
  await page.evaluateOnNewDocument(() => {
    const seen: string[] = [];
    Object.assign(globalThis, { seen });
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { scripts = [] } = entry as unknown as { scripts?: { invoker: string; duration: number }[] };
        const blame = scripts.map(({ invoker, duration }) => `${invoker} ${Math.round(duration)}`).join(', ');
        seen.push(`${entry.entryType} ${Math.round(entry.duration)} ms at ${Math.round(entry.startTime)}: ${blame}`);
      }
    });
    for (const type of ['longtask', 'long-animation-frame']) observer.observe({ type });
  });
  return page;
}
const taken = (page: Page): Promise<string[]> =>
  page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen.splice(0));

async function begin(page: Page): Promise<void> {
  await page.goto(`${site.url}#train?${RUN}`);
  await press(page, 'Start');
  await page.waitForSelector('#digest', { timeout: 30_000 });
}

it(`no task of the page takes over ${LONG_MS} ms in ${SECONDS} s of each view, while all cores train`, async () => {
  const page = await observed();
  await begin(page);
  const found: string[] = [];
  for (const view of ['train', 'inside', 'runs', 'train', 'inside']) {
    await go(page, `#${view}`);
    await page.waitForSelector('h1');
    // Its first drawing is the start-up of a view.
    await sleep(2);
    const before = await taken(page);
    if (before.length > 0) console.log(`${view}, start-up: ${before.join('; ')}`);
    await sleep(SECONDS);
    found.push(...(await taken(page)).map((each) => `${view}: ${each}`));
  }
  if (found.length > 0) console.log(found.join('\n'));
  expect(found.filter((each) => each.includes('longtask'))).toEqual([]);
  await press(page, 'Stop').catch(() => undefined);
  await page.browserContext().close();
});

it('a tab in the background trains at 90 % of its speed or more, by its own log', async () => {
  const { page } = await watchedPage(browser, site.url);
  await begin(page);
  const rate = async () => {
    const [a, before] = [await stepOf(page), performance.now()];
    await sleep(SECONDS);
    return { from: a, to: await stepOf(page), seconds: (performance.now() - before) / 1000 };
  };
  await sleep(5);
  const first = await rate();
  const other = await page.browserContext().newPage();
  await other.bringToFront();
  expect(await page.evaluate(() => document.visibilityState)).toBe('hidden');
  await sleep(1);
  const behind = await rate();
  await page.bringToFront();
  await other.close();
  await sleep(1);
  const last = await rate();
  const [before, hidden, after] = [first, behind, last].map(({ from, to, seconds }) => (to - from) / seconds);
  console.log(
    `steps a second: ${before.toFixed(1)} in front, ${hidden.toFixed(1)} behind, ${after.toFixed(1)} in front`,
  );
  expect(hidden / ((before + after) / 2)).toBeGreaterThanOrEqual(0.9);
  await page.browserContext().close();
});

/** The last step in the worker's log, whatever the page shows: a hidden one draws nothing. */
const stepOf = (page: Page): Promise<number> =>
  page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const runs = await root.getDirectoryHandle('runs');
    const [id] = await Array.fromAsync((runs as unknown as { keys(): AsyncIterable<string> }).keys());
    const file = await (await (await runs.getDirectoryHandle(id)).getFileHandle('metrics.jsonl')).getFile();
    // The last line may be cut off as it is written.
    const lines = (await file.slice(-400_000).text()).split('\n').slice(1, -1);
    const parsed = lines.map((line) => JSON.parse(line) as StepLine);
    return parsed.findLast(({ type }) => type === 'step')!.step;
  });

it('can be used within a second of being asked for, with nothing in its cache', async () => {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const { page } = await watchedPage(browser, site.url);
    await page.goto(site.url);
    await says(page, 'h1', 'Train');
    // The button can be pressed, and the page answers: a task posted now is done at once.
    await page.waitForSelector('button[type=submit]:not(:disabled)');
    times.push(
      await page.evaluate(
        () =>
          new Promise<number>((resolve) => {
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
          }),
      ),
    );
    await page.browserContext().close();
  }
  console.log(`milliseconds from the request to a page that answers: ${times.map(Math.round).join(', ')}`);
  expect(times.sort((a, b) => a - b)[2]).toBeLessThan(1000);
});
