/** Measures the machine's limits: bench/assembly/ceiling.ts compiled like the kernels, in its own engine with as many threads. */
import { fileURLToPath } from 'node:url';
import { init } from '../dist/index.js';
import { MAXIMUM_PAGES } from '../scripts/shared-memory.mjs';
import { compile } from './compile.mjs';

const FOLDER = fileURLToPath(new URL('assembly', import.meta.url));

export function compileLoops(build, threads) {
  const features = ['simd', ...(build === 'relaxed' ? ['relaxed-simd'] : []), ...(threads > 1 ? ['threads'] : [])];
  // biome-ignore format: one line per group
  const args = [
    '-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--noExportMemory', '--initialMemory', '1',
    ...features.flatMap((feature) => ['--enable', feature]),
    ...(threads > 1 ? ['--sharedMemory', '--maximumMemory', String(MAXIMUM_PAGES)] : []),
  ];
  return compile('ceiling.ts', args, FOLDER);
}

/** Opens an engine whose kernels are the ceiling loops. */
export async function openCeiling({ build, threads }) {
  return init({ build, threads, wasm: await compileLoops(build, threads) });
}
