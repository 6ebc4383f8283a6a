/** Makes the pictures of docs/web: every view, light and dark, on a desk and on a phone. After a change of the page: node scripts/screenshots.mjs */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { BROWSERS, ROOT, setup } from './setup.mjs';

const FOLDER = join(ROOT, 'docs/web');
const VIEWS = ['train', 'inside', 'generate', 'formats', 'runs'];
const SIZES = { desktop: { width: 1100, height: 800 }, phone: { width: 390, height: 780 } };
/** A run of some seconds, so that there is something to see. */
const RUN =
  'layers=2&hiddenSize=64&heads=4&steps=200&batchSize=4&blockSize=128&learningRate=0.005&recipe=fp8&text=moby-dick';

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
  await page.goto(`${site.url}#train?${RUN}`);
  const start = await page.waitForSelector('button[type=submit]:not(:disabled)');
  await start.click();
  await page.waitForFunction(() => document.querySelector('#phase')?.textContent === 'Finished', { timeout: 120_000 });
  await page.goto(`${site.url}#generate`);
  const write = await page.waitForSelector('button[type=submit]:not(:disabled)');
  await write.click();
  await page.waitForFunction(() => document.querySelector('#written')?.textContent === 'Written', { timeout: 60_000 });
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewport(viewport);
    for (const scheme of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      for (const view of ['generate', ...VIEWS.filter((each) => each !== 'generate')]) {
        await page.evaluate((hash) => {
          location.hash = hash;
        }, view);
        await page.waitForSelector('h1');
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
