/** Formats and the inside of runs in the real page: what a reader can do with them, and who can use them. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Served, serve } from '../src/cli/serve.js';
import { QUICK_CHECKS } from '../src/verify/index.js';
import { launch, press, says, textOf, watchedPage } from './helpers/browser.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
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

/** What axe finds in the page as it is, everything unfolded, in both colours, on a desk and on a phone; and what is too wide for it. */
async function faultsOf(page: Page): Promise<string[]> {
  const found: string[] = [];
  await page.evaluate(AXE);
  for (const width of [1280, 360]) {
    await page.setViewport({ width, height: 800 });
    for (const scheme of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      const { violations, overflow } = await page.evaluate(async () => {
        for (const each of document.querySelectorAll('details')) each.open = true;
        // Charts follow the width in the next frame.
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 50)));
        const { axe } = globalThis as unknown as { axe: typeof import('axe-core') };
        const { violations } = await axe.run();
        return {
          violations: violations.map(({ id, nodes }) => `${id} ${nodes[0].html.slice(0, 200)}`),
          overflow: document.documentElement.scrollWidth - innerWidth,
        };
      });
      found.push(...violations.map((each) => `${scheme}, ${width}: ${each}`));
      if (overflow > 0) found.push(`${scheme}, ${width}: ${overflow} pixels too wide`);
    }
  }
  return found;
}

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
    await page.$eval('#formats-number', (input) => {
      (input as HTMLInputElement).value = '1..2';
      input.dispatchEvent(new Event('input', { bubbles: true }));
    });
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

it('the inside of a run that trains in the page: every tensor can be chosen, alarms follow narrower bounds', async () => {
  const { page, faults } = await watchedPage(browser, site.url);
  await page.goto(`${site.url}#train?${RUN}`);
  await press(page, 'Start');
  await page.waitForSelector('#digest', { timeout: 30_000 });
  await page.evaluate(() => {
    location.hash = '#inside';
  });
  await page.waitForSelector('#inside-layer');
  await page.select('#inside-linear', 'qkv');
  await page.select('#inside-role', 'grad_output');
  await says(page, '#inside-curves', 'layers.0.qkv.grad_output');
  expect(await textOf(page, '.notice [role=status]')).toContain('every tensor stays within its bounds');
  // A gradient in E5M2 always loses some of its smallest values.
  await page.$eval('input[id$=-underflowed]', (input) => {
    (input as HTMLInputElement).value = '0';
    input.dispatchEvent(new Event('input', { bubbles: true }));
  });
  await says(page, '.notice [role=status] li', 'step');
  expect(await textOf(page, '.notice [role=status] li')).toMatch(/layers\.0\.\w+\.\w+ underflowed/);
  expect(await faultsOf(page)).toEqual([]);
  expect(faults).toEqual([]);
  await page.close();
});
