/** Measures how long it takes to get an engine, in separate processes: reading and compiling the kernels, and starting the threads. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openEngine } from '../dist/cli/options.js';
import { quantile } from './harness.mjs';

const SELF = fileURLToPath(import.meta.url);
const PROCESSES = 5;

/** Size of the wasm file in bytes, and milliseconds of `init`, as the median over processes. */
export function startup({ build, threads, turbo }) {
  const file = new URL(`../build/${build}${threads > 1 ? '-threads' : ''}.wasm`, import.meta.url);
  const args = [...process.execArgv, SELF, build, String(threads), ...(turbo ? ['turbo'] : [])];
  const milliseconds = Array.from({ length: PROCESSES }, () =>
    Number(execFileSync(process.execPath, args, { encoding: 'utf8' })),
  );
  return { wasm_bytes: statSync(file).size, init_ms: quantile(milliseconds, 0.5) };
}

if (process.argv[1] === SELF) {
  const [build, threads, turbo] = process.argv.slice(2);
  const from = performance.now();
  const engine = await openEngine({ build, threads: Number(threads), turbo: Boolean(turbo) });
  console.log(performance.now() - from);
  engine.dispose();
}
