/** A browser driven by puppeteer on the built page: Chromium by its own protocol, Firefox by WebDriver BiDi. */
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { BROWSERS } from '../../scripts/setup.mjs';

export type BrowserName = 'chromium' | 'firefox';

const OPTIONS = {
  chromium: { executablePath: BROWSERS.chromium, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] },
  firefox: { browser: 'firefox', executablePath: BROWSERS['firefox-esr'] },
} as const;

export const launch = (name: BrowserName): Promise<Browser> => puppeteer.launch({ headless: true, ...OPTIONS[name] });

/** What a page did that it must not: errors, requests to other hosts, violations of its policy. */
export async function watchedPage(browser: Browser, origin: string): Promise<{ page: Page; faults: string[] }> {
  // With storage of its own.
  const page = await (await browser.createBrowserContext()).newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith('blob:') && !url.startsWith('data:')) faults.push(url);
  });
  return { page, faults };
}

/** Presses the button with this name. */
export async function press(page: Page, name: string): Promise<void> {
  await page.waitForFunction(
    (name) =>
      [...document.querySelectorAll('button')].some((each) => each.textContent?.trim() === name && !each.disabled),
    { timeout: 20_000 },
    name,
  );
  await page.evaluate((name) => {
    [...document.querySelectorAll('button')].find((each) => each.textContent?.trim() === name)?.click();
  }, name);
}

export const textOf = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, (element) => element.textContent ?? '');

/** Waits until what is at the selector begins with the text. */
export const says = (page: Page, selector: string, text: string, timeout = 30_000) =>
  page.waitForFunction(
    (selector, text) =>
      [...document.querySelectorAll(selector)].some((each) => each.textContent?.trim().startsWith(text)),
    { timeout },
    selector,
    text,
  );
