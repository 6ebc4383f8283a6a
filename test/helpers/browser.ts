/** A browser driven by puppeteer on the built page: Chromium by its own protocol, Firefox by WebDriver BiDi. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { BROWSERS } from '../../scripts/setup.mjs';

export type BrowserName = 'chromium' | 'firefox';

const OPTIONS = {
  chromium: { executablePath: BROWSERS.chromium, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] },
  firefox: { browser: 'firefox', executablePath: BROWSERS['firefox-esr'] },
} as const;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** With a profile of its own, or the one in `userDataDir`. */
export const launch = (name: BrowserName, userDataDir?: string): Promise<Browser> =>
  puppeteer.launch({ headless: true, userDataDir, ...OPTIONS[name] });

/** What a page did that it must not: errors, requests to other hosts, violations of its policy. */
function watched(page: Page, origin: string): string[] {
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith('blob:') && !url.startsWith('data:')) faults.push(url);
  });
  return faults;
}

/** A page with storage of its own. */
export async function watchedPage(browser: Browser, origin: string): Promise<{ page: Page; faults: string[] }> {
  const page = await (await browser.createBrowserContext()).newPage();
  return { page, faults: watched(page, origin) };
}

/** Presses the button with this name. */
export async function press(page: Page, name: string): Promise<void> {
  // In one step: between two, a button may go away, and the press would be lost without a word.
  await page.waitForFunction(
    (name) => {
      const button = [...document.querySelectorAll('button')].find(
        (each) => each.textContent?.trim() === name && !each.disabled,
      );
      button?.click();
      return button !== undefined;
    },
    { timeout: 20_000 },
    name,
  );
}

/** To another view, or to other settings in the address, without loading the page again. */
export const go = (page: Page, hash: string): Promise<void> =>
  page.evaluate((hash) => {
    location.hash = hash;
  }, hash);

/** Types this in the place of what a field holds. */
export const fill = (page: Page, selector: string, text: string): Promise<void> =>
  page.$eval(
    selector,
    (field, text) => {
      (field as HTMLInputElement).value = text;
      field.dispatchEvent(new Event('input', { bubbles: true }));
    },
    text,
  );

export const textOf = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, (element) => element.textContent ?? '');

/** Waits until what is at the selector begins with the text; fails with what it says instead. */
export async function says(page: Page, selector: string, text: string, timeout = 30_000): Promise<void> {
  try {
    await page.waitForFunction(
      (selector, text) =>
        [...document.querySelectorAll(selector)].some((each) => each.textContent?.trim().startsWith(text)),
      // Not with frames, which a hidden page has none of.
      { timeout, polling: 50 },
      selector,
      text,
    );
  } catch (cause) {
    const got = await page.$$eval(selector, (all) => all.map((each) => each.textContent?.trim()));
    throw new Error(`expected ${selector} to say ${JSON.stringify(text)}, got ${JSON.stringify(got)}`, { cause });
  }
}

/**
 * What axe finds in the page as it is, everything unfolded: on a desk and on a phone, and of the other colours what depends on colours. And
 * what is too wide.
 */
export async function faultsOf(page: Page): Promise<string[]> {
  const found: string[] = [];
  // A page behind another draws nothing.
  await page.bringToFront();
  await page.evaluate(AXE);
  for (const [width, scheme, rules] of [
    [1280, 'light', undefined],
    [1280, 'dark', ['color-contrast']],
    [360, 'light', undefined],
  ] as const) {
    await page.setViewport({ width, height: 800 });
    await inScheme(page, scheme);
    const { violations, overflow } = await page.evaluate(async (rules) => {
      for (const each of document.querySelectorAll('details')) each.open = true;
      // Charts follow the width in the next frame.
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 50)));
      const { axe } = globalThis as unknown as { axe: { run(options: object): Promise<AxeResults> } };
      const { violations } = await axe.run({ resultTypes: ['violations'], ...(rules && { runOnly: [...rules] }) });
      return {
        violations: violations.map(({ id, nodes }) => `${id} ${nodes[0].html.slice(0, 200)}`),
        overflow: document.documentElement.scrollWidth - innerWidth,
      };
    }, rules);
    const where = `${page.url()}, ${scheme}, ${width}`;
    found.push(...violations.map((each) => `${where}: ${each}`));
    if (overflow > 0) found.push(`${where}: ${overflow} pixels too wide`);
  }
  await inScheme(page, 'light');
  return found;
}

/** The reader's own choice of colours, which every browser can be driven to make. */
const inScheme = (page: Page, scheme: 'light' | 'dark'): Promise<void> =>
  page.evaluate((scheme) => {
    document.documentElement.dataset.theme = scheme;
    dispatchEvent(new Event('themechange'));
  }, scheme);
