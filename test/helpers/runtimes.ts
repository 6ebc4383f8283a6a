/** Other JavaScript runtimes, to run test/runtimes/conform.mjs in: programs from npm (test/runtimes), and Chromium. */
import { execFile } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'vite';
import { CHROMIUM } from '../../scripts/setup.mjs';
import type { Engine, InitOptions } from '../../src/index.js';

export interface Conformance {
  /** Digest of what octavo/formats gave. */
  readonly formats: string;
  readonly engines: readonly {
    readonly info: Engine['info'];
    readonly checks: number;
    readonly mismatches: readonly unknown[];
    /** Digest of what products gave. */
    readonly products: string;
  }[];
}

const FOLDER = fileURLToPath(new URL('../runtimes', import.meta.url));
const CONFORM = join(FOLDER, 'conform.mjs');

/** The binaries the platform packages of bun and deno hold; their launchers want an install script to have run. */
function platformBinary(scope: string, ...path: string[]): string {
  const packages = join(FOLDER, 'node_modules', scope);
  const holds = (folder: string) => existsSync(join(packages, folder, ...path));
  const name = readdirSync(packages).find(holds);
  if (!name) throw new Error(`${scope}: expected a package with ${path.join('/')} in ${packages}, got none`);
  return join(packages, name, ...path);
}

const COMMANDS = {
  node: () => [process.execPath],
  'node 26': () => [platformBinary('', 'bin', 'node')],
  bun: () => [platformBinary('@oven', 'bin', 'bun')],
  deno: () => [platformBinary('@deno', 'deno'), 'run', '--allow-all', '--node-modules-dir=manual', '--no-lock'],
} as const;
export type Program = keyof typeof COMMANDS;
export const PROGRAMS = Object.keys(COMMANDS) as Program[];

export async function conformIn(program: Program, options: InitOptions[]): Promise<Conformance> {
  const [file, ...args] = COMMANDS[program]();
  const command = [...args, CONFORM, 'print', JSON.stringify(options)];
  const { stdout } = await promisify(execFile)(file, command, { cwd: FOLDER });
  return JSON.parse(stdout);
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};
const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

function serve(folder: string, headers: Record<string, string>): Promise<Server> {
  const server = createServer(({ url }, response) => {
    const { pathname } = new URL(url!, 'http://localhost');
    const file = join(folder, normalize(pathname === '/' ? '/index.html' : pathname));
    if (!existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', ...headers });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** The page of test/runtimes, bundled as an application would, in Chromium. Without `isolated` it may not share memory. */
export async function conformInChromium(isolated: boolean, options: InitOptions[]): Promise<Conformance> {
  const require = createRequire(join(FOLDER, 'package.json'));
  const { chromium } = require('playwright-core') as typeof import('playwright-core');
  const folder = mkdtempSync(join(tmpdir(), 'octavo-page-'));
  const outDir = join(folder, 'site');
  await build({
    configFile: false,
    logLevel: 'error',
    root: FOLDER,
    base: './',
    worker: { format: 'es' },
    build: { outDir, emptyOutDir: true, target: 'esnext' },
  });
  const server = await serve(outDir, isolated ? ISOLATION : {});
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    // biome-ignore format: one line
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const call = (each: InitOptions[]) =>
      (globalThis as unknown as { conform(options: InitOptions[]): Promise<Conformance> }).conform(each);
    return await page.evaluate(call, options);
  } finally {
    await browser.close();
    server.close();
    rmSync(folder, { recursive: true });
  }
}
