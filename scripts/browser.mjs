/**
 * Runs the page of a folder in a browser, bundled as an application would bundle it. The browser is started with a fresh profile on the address
 * of our server, which hands out the job (GET job) and receives the outcome (POST outcome), so any browser will do, without a driver.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { build } from 'vite';
import { BROWSERS } from './setup.mjs';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
/** Allows nothing from other hosts, and no code compiled from text except WebAssembly; violations are reported to the server. */
const POLICY = {
  'Content-Security-Policy':
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; report-uri /violation",
};

const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Turns off what a new Firefox profile would ask, fetch or report. */
const FIREFOX_PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
};

const COMMANDS = {
  chromium: (profile) => [BROWSERS.chromium, ...CHROMIUM_FLAGS, `--user-data-dir=${profile}`],
  firefox: (profile) => {
    const lines = Object.entries(FIREFOX_PREFERENCES).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
    );
    writeFileSync(join(profile, 'user.js'), lines.join(''));
    return [BROWSERS['firefox-esr'], '--headless', '--no-remote', '--profile', profile];
  },
};

const bundles = new Map();

/** The files of a page by path, bundled once. `alias` is as in Vite's `resolve`. */
function bundled(root, alias) {
  if (!bundles.has(root)) {
    const made = build({
      configFile: false,
      logLevel: 'error',
      root,
      base: './',
      resolve: { alias },
      worker: { format: 'es' },
      build: { write: false, target: 'esnext' },
    });
    bundles.set(
      root,
      made.then(({ output }) => new Map(output.map((file) => [`/${file.fileName}`, file.code ?? file.source]))),
    );
  }
  return bundles.get(root);
}

/** Serves the page and its job. `outcome` is what the page sends, or what it did in violation of the policy. */
async function serve(files, job, headers) {
  const violations = [];
  let settle;
  const outcome = new Promise((resolve) => {
    settle = resolve;
  });
  const bodyOf = async (request) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    return JSON.parse(text);
  };
  const server = createServer(async (request, response) => {
    const answer = (status, type = 'text/plain', body = '') =>
      response.writeHead(status, { 'Content-Type': type, ...headers }).end(body);
    const path = request.url === '/' ? '/index.html' : request.url;
    if (request.method === 'POST') {
      const body = await bodyOf(request).catch((error) => ({ error: `${path}: ${error.message}` }));
      answer(204);
      if (path === '/violation') violations.push(body['csp-report'] ?? body);
      else settle({ ...body, violations });
    } else if (path === '/job') {
      answer(200, 'application/json', JSON.stringify(job));
    } else if (files.has(path)) {
      answer(200, TYPES[extname(path)], files.get(path));
    } else {
      answer(404);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { outcome, address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/**
 * Returns what the page of `root` sends, and where it violated the policy. Without `isolated` it cannot share memory; without `strict` there is
 * no policy.
 */
export async function outcomeInBrowser(name, { root, alias = [], isolated, strict, job, signal }) {
  const files = await bundled(root, alias);
  const headers = { ...(isolated && ISOLATION), ...(strict && POLICY) };
  const { outcome, address, close } = await serve(files, job, headers);
  const profile = mkdtempSync(join(tmpdir(), 'octavo-browser-'));
  const [file, ...args] = COMMANDS[name](profile);
  const browser = spawn(file, [...args, address], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let said = '';
  browser.stderr.on('data', (chunk) => {
    said = (said + chunk).slice(-2000);
  });
  const ended = new Promise((resolve, reject) => {
    browser.on('error', reject);
    browser.on('close', (code) =>
      resolve({ error: `expected an outcome, got the end of ${name}, code ${code}: ${said}` }),
    );
    signal.addEventListener('abort', () => resolve({ error: `expected an outcome in time, got none: ${said}` }));
  });
  try {
    const { error, violations = [], ...rest } = await Promise.race([outcome, ended]);
    if (violations.length > 0) {
      throw new Error(`policy: expected a page that keeps it, got ${JSON.stringify(violations)}`);
    }
    if (error) throw new Error(error);
    return rest;
  } finally {
    close();
    // Kill the whole process group: a browser is many processes.
    if (browser.exitCode === null && browser.pid) process.kill(-browser.pid, 'SIGKILL');
    await ended.catch(() => undefined);
    rmSync(profile, { recursive: true, maxRetries: 5, retryDelay: 200 });
  }
}
