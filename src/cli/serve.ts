/** `octavo serve`: serves the web page with the headers that let it share memory between threads. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import sirv from 'sirv';
import { number, some } from './options.js';

/**
 * Allows nothing from other hosts, and no code compiled from text except WebAssembly. web/vite.config.mjs writes the policy into the page as
 * well.
 */
export const contentSecurityPolicy =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'; form-action 'none'";

const HEADERS = {
  'Content-Security-Policy': `${contentSecurityPolicy}; frame-ancestors 'none'`,
  // Headers that browsers require of a page that shares memory.
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

const SITE = fileURLToPath(new URL('../web', import.meta.url));

interface ServeFlags {
  port: number;
  host: string;
}

export interface Served {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a built site with the headers it needs. Port 0 selects a free port. */
export async function serve({ port, host }: ServeFlags, site = SITE): Promise<Served> {
  if (!existsSync(site)) throw new RangeError(`serve: expected the built page in ${site}, got none; run npm run build`);
  if (!(Number.isInteger(port) && port >= 0 && port < 65536)) {
    throw new RangeError(`port: expected an integer from 0 to 65535, got ${port}`);
  }
  const files = sirv(site, {
    etag: true,
    gzip: true,
    setHeaders: (response) => {
      for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    },
  });
  const server = createServer((request, response) => files(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ code, message }: NodeJS.ErrnoException) =>
      reject(
        new RangeError(`serve: expected a host and a port that are free, got ${host}:${port} (${code ?? message})`),
      ),
    );
    server.listen(port, host, resolve);
  });
  const { address, family, port: bound } = server.address() as AddressInfo;
  const name =
    address === '127.0.0.1' || address === '::1' ? 'localhost' : family === 'IPv6' ? `[${address}]` : address;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://${name}:${bound}/`, close };
}

export const serveCommand = (): Command =>
  new Command('serve')
    .description('serve the web page that trains in a browser tab')
    .option('--port <n>', 'port to listen on, 0 for any that is free', number, 8080)
    .option('--host <address>', 'address to listen on; 0.0.0.0 lets other machines in', some, '127.0.0.1')
    .action(async (flags: ServeFlags) => {
      const { url } = await serve(flags);
      process.stdout.write(`Octavo is at ${url} (stop with Ctrl-C)\n`);
    });
