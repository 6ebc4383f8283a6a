/** Formats and the inside of runs in the real page: what a reader can do with them, and who can use them. */
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Served, serve } from '../src/cli/serve.js';
import { QUICK_CHECKS } from '../src/verify/index.js';
import { faultsOf, fill, go, launch, press, says, textOf, watchedPage } from './helpers/browser.js';

const RUN = 'steps=30&batchSize=4&blockSize=64&layers=1&hiddenSize=32&heads=2&text=moby-dick';

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

describe('formats', () => {
  it('a link says what is shown; bits flip, keys step, wrong text is told of, and the address follows', async () => {
    const { page, faults } = await watchedPage(browser, site.url);
    await page.goto(`${site.url}#formats?format=float8_e5m2&value=0.3`);
    await says(page, '#code-heading', '0x35 in float8_e5m2');
    await page.click('.bit-field.mantissa .bit:last-child');
    await says(page, '#code-heading', '0x34');
    expect(await page.$eval('#formats-number', (input) => (input as HTMLInputElement).value)).toBe('0.25');
    await page.focus('.number-line');
    await page.keyboard.press('ArrowRight');
    await says(page, '#code-heading', '0x35');
    await page.keyboard.press('End');
    await says(page, '#code-heading', '0x7b');
    await page.waitForFunction(() => location.hash === '#formats?format=float8_e5m2&code=0x7b');
    await fill(page, '#formats-number', '1..2');
    await says(page, '#formats-number-help', 'Expected a decimal number');
    expect(await faultsOf(page)).toEqual([]);
    expect(faults).toEqual([]);
    await page.close();
  });

  it('verify runs beside the page and finds nothing', async () => {
    const { page, faults } = await watchedPage(browser, site.url);
    await page.goto(`${site.url}#formats`);
    await press(page, 'Run the checks');
    const status = '[aria-labelledby=verify-heading] [role=status]';
    await says(page, status, `0 mismatches in ${QUICK_CHECKS} checks`, 60_000);
    expect(await page.$$eval('[aria-labelledby=verify-heading] tbody tr', (rows) => rows.length)).toBe(13);
    expect(faults).toEqual([]);
    await page.close();
  });
});

describe('runs', () => {
  let page: Page;
  let faults: string[];
  beforeAll(async () => {
    ({ page, faults } = await watchedPage(browser, site.url));
  });

  it('the inside of one that trains: started by keyboard, every tensor can be chosen, alarms follow narrower bounds', async () => {
    await page.goto(`${site.url}#train?${RUN}`);
    await startByKeyboard(page);
    await page.waitForSelector('#digest', { timeout: 30_000 });
    await go(page, '#inside');
    await page.waitForSelector('#inside-layer');
    await page.select('#inside-linear', 'qkv');
    await page.select('#inside-role', 'grad_output');
    await says(page, '#inside-curves', 'layers.0.qkv.grad_output');
    expect(await textOf(page, '.notice [role=status]')).toContain('every tensor stays within its bounds');
    // A gradient in E5M2 always loses some of its smallest values.
    await fill(page, 'input[id$=-underflowed]', '0');
    await says(page, '.notice [role=status] li', 'step');
    expect(await textOf(page, '.notice [role=status] li')).toMatch(/layers\.0\.\w+\.\w+ underflowed/);
    expect(await faultsOf(page)).toEqual([]);
  });

  it('two beside each other: by default the one that differs in the recipe alone', async () => {
    await go(page, '#train');
    await says(page, '#phase', 'Finished');
    await press(page, 'New run');
    await says(page, '.notice', 'Moby-Dick, fp8 is kept');
    await page.select('#recipe', 'fp8-plain');
    await press(page, 'Start');
    await says(page, '#phase', 'Finished');
    await says(page, '.u-series', 'training, Moby-Dick, fp8');
    await page.waitForSelector('pre.sample, .chart canvas');
    expect(await faultsOf(page)).toEqual([]);
    await go(page, '#inside');
    await page.waitForSelector('#inside-compared');
    const [, other] = await page.$$eval('#inside-compared option', (all) => all.map((each) => each.value));
    await page.select('#inside-compared', other);
    await page.waitForFunction(() => document.querySelectorAll('.panel').length === 2);
    expect(await faultsOf(page)).toEqual([]);
  });

  it('their texts, files, questions and reports', async () => {
    await go(page, '#generate');
    await press(page, 'Write');
    await says(page, '#written', 'Written');
    expect(await faultsOf(page)).toEqual([]);
    await go(page, '#runs');
    await says(page, 'h2', 'Moby-Dick, fp8-plain');
    expect(await faultsOf(page)).toEqual([]);
    for (const question of ['Rename', 'Delete']) {
      await press(page, question);
      await page.waitForSelector('dialog[open]');
      expect(await faultsOf(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await page.waitForSelector('dialog', { hidden: true });
    }
    await press(page, 'Rename');
    await fill(page, '#new-name', 'plain');
    await press(page, 'Rename it');
    await says(page, 'h2', 'plain');
    const report = await page.$eval('a[href*="report.html"]', (link) => (link as HTMLAnchorElement).href);
    await page.goto(report);
    await says(page, 'h1', 'Training report: fp8-plain');
    await page.waitForSelector('.uplot canvas');
    expect(await faultsOf(page)).toEqual([]);
    expect(faults).toEqual([]);
    await page.close();
  });
});

/** Tab leads through the form to its button, and the button begins. */
async function startByKeyboard(page: Page): Promise<void> {
  await page.waitForSelector('button[type=submit]:not(:disabled)');
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement?.textContent === 'Start')) return page.keyboard.press('Enter');
  }
  throw new Error('expected Start to be reached with Tab, got past everything else');
}
