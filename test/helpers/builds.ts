/**
 * Every build the runtime can run, times threads: one suite over all of them.
 *
 * V8 before 11.8 (Node 20) has relaxed SIMD behind a flag, which works as long as it is set before the first wasm is compiled. Nothing is
 * skipped: where a build cannot run, opening it fails the test.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { afterAll, beforeAll } from 'vitest';
import { detectFeatures } from '../../src/engine/features.js';
import { type Engine, init } from '../../src/index.js';

if (!detectFeatures().relaxedSimd) setFlagsFromString('--experimental-wasm-relaxed-simd');

export interface BuildCase {
  readonly build: 'simd' | 'relaxed';
  readonly threads: number;
  /** With the kernels of turbo, in the vectors of 128 bits they are written in: to merge these takes flags and V8 13 or newer. */
  readonly turbo?: boolean;
}

export const BUILDS: readonly BuildCase[] = [1, 2, 3].flatMap((threads) => [
  { build: 'simd', threads } as const,
  { build: 'relaxed', threads } as const,
]);

/** For the operations that turbo has kernels of its own for. */
export const WITH_TURBO: readonly BuildCase[] = [...BUILDS, { build: 'relaxed', threads: 1, turbo: true }];

export const nameOf = ({ build, threads, turbo }: BuildCase): string => `${turbo ? 'turbo' : build} x ${threads}`;

async function opened({ build, threads, turbo }: BuildCase): Promise<Engine> {
  const engine = await init({ build, threads });
  if (!turbo) return engine;
  const wide = new WebAssembly.Module(readFileSync(new URL('../../build/turbo.wasm', import.meta.url)));
  const { exports } = new WebAssembly.Instance(wide, { env: { memory: engine.arena.memory } });
  const info = { ...engine.info, turbo };
  return Object.assign(engine, { kernels: { ...engine.kernels, ...exports }, info });
}

/** Runs a body on every build in turn, with the build's name for the message of a failure. What the body allocates is freed. */
export type OnEveryBuild = (body: (engine: Engine, name: string) => void) => void;

/** Opens the builds before the tests of this file and closes them after it. */
export function useBuilds(builds: readonly BuildCase[] = BUILDS): OnEveryBuild {
  const open: { engine: Engine; name: string }[] = [];
  beforeAll(async () => {
    for (const build of builds) open.push({ engine: await opened(build), name: nameOf(build) });
  });
  afterAll(() => {
    for (const { engine } of open) engine.dispose();
  });
  return (body) => {
    if (open.length !== builds.length) throw new Error(`expected ${builds.length} open builds, got ${open.length}`);
    for (const { engine, name } of open) engine.scoped(() => body(engine, name));
  };
}
