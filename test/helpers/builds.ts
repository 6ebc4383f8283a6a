/**
 * Every build the runtime can run, times threads: one suite over all of them.
 *
 * V8 before 11.8 (Node 20) has relaxed SIMD behind a flag, which works as long as it is set before the first wasm is compiled. Nothing is
 * skipped: where a build cannot run, opening it fails the test.
 */
import { setFlagsFromString } from 'node:v8';
import { afterAll, beforeAll } from 'vitest';
import { detectFeatures } from '../../src/engine/features.js';
import { type Engine, init } from '../../src/index.js';

if (!detectFeatures().relaxedSimd) setFlagsFromString('--experimental-wasm-relaxed-simd');

export interface BuildCase {
  readonly build: 'simd' | 'relaxed';
  readonly threads: number;
}

export const BUILDS: readonly BuildCase[] = [1, 2, 3].flatMap((threads) => [
  { build: 'simd', threads } as const,
  { build: 'relaxed', threads } as const,
]);

export const nameOf = ({ build, threads }: BuildCase): string => `${build} x ${threads}`;

/** Runs a body on every build in turn, with the build's name for the message of a failure. What the body allocates is freed. */
export type OnEveryBuild = (body: (engine: Engine, name: string) => void) => void;

/** Opens the builds before the tests of this file and closes them after it. */
export function useBuilds(builds: readonly BuildCase[] = BUILDS): OnEveryBuild {
  const open: { engine: Engine; name: string }[] = [];
  beforeAll(async () => {
    for (const build of builds) open.push({ engine: await init(build), name: nameOf(build) });
  });
  afterAll(() => {
    for (const { engine } of open) engine.dispose();
  });
  return (body) => {
    if (open.length !== builds.length) throw new Error(`expected ${builds.length} open builds, got ${open.length}`);
    for (const { engine, name } of open) engine.scoped(() => body(engine, name));
  };
}
