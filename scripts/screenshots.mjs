/** Makes the pictures in docs/web: every view, light and dark, desktop and phone. Run it after changing the page: node scripts/screenshots.mjs */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { BROWSERS, ROOT, setup } from './setup.mjs';

const FOLDER = join(ROOT, 'docs/web');
/** Addresses of the views by picture name. A link with settings leads to the form even while a run is open. */
const VIEWS = {
  start: 'train?recipe=fp8',
  train: 'train',
  inside: 'inside',
  generate: 'generate',
  formats: 'formats',
  runs: 'runs',
};
const SIZES = { desktop: { width: 1100, height: 800 }, phone: { width: 390, height: 780 } };
/** A run of a few seconds, so that there is something to show. */
const RUN = 'layers=2&hiddenSize=64&heads=4&steps=200&batchSize=4&blockSize=128&learningRate=0.005&text=moby-dick';
const WAIT = { timeout: 120_000 };

await setup();
mkdirSync(FOLDER, { recursive: true });
const { serve } = await import('../dist/cli/serve.js');
const site = await serve({ port: 0, host: '127.0.0.1' });
const browser = await puppeteer.launch({
  executablePath: BROWSERS.chromium,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu'],
});
try {
  const page = await browser.newPage();
  const says = (selector, text) =>
    page.waitForFunction(
      (selector, text) => document.querySelector(selector)?.textContent === text,
      WAIT,
      selector,
      text,
    );
  const pressed = async () => (await page.waitForSelector('button[type=submit]:not(:disabled)')).click();
  const go = (view) =>
    page.evaluate((hash) => {
      location.hash = hash;
    }, view);
  // Two recipes, to be shown side by side.
  for (const recipe of ['fp8-plain', 'fp8']) {
    await page.goto('about:blank');
    await page.goto(`${site.url}#train?${RUN}&recipe=${recipe}`);
    await pressed();
    await says('#phase', 'Finished');
  }
  await go('generate');
  await pressed();
  await says('#written', 'Written');
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewport(viewport);
    for (const scheme of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      for (const [view, address] of Object.entries(VIEWS)) {
        await go(address);
        await page.waitForSelector('h1');
        if (view === 'start')
          await page.waitForFunction(() => document.body.textContent.includes('per 100 steps'), WAIT);
        if (view === 'inside') {
          const other = await page.$eval('#inside-compared option:last-child', (option) => option.value);
          await page.select('#inside-compared', other);
        }
        // Charts are drawn between frames.
        await new Promise((resolve) => setTimeout(resolve, 700));
        await page.screenshot({ path: join(FOLDER, `${view}-${scheme}-${size}.webp`), type: 'webp', quality: 60 });
      }
    }
  }
} finally {
  await browser.close();
  await site.close();
}
