/** Scratch of exactly the size that kernels ask for, to find what they write beyond it. */
import { expect } from 'vitest';
import type { Engine } from '../../src/index.js';

/** More than any vector, and than a row of the matrices in the tests. */
const GUARD = 4096;

/** Runs `body` on an engine of one thread. Returns the names of the kernels it called, none of which wrote beyond its scratch. */
export function withGuardedScratch(engine: Engine, body: () => void): Set<string> {
  const names = new Set<string>();
  const { parallel, arena } = engine;
  engine.parallel = ((name: keyof Engine['kernels'], units: number, scratch: number, ...args: number[]) =>
    engine.scoped(() => {
      const at = arena.alloc(scratch + GUARD);
      const beyond = () => new Uint8Array(arena.buffer, at + scratch, GUARD);
      beyond().fill(0xa5);
      if (units > 0) (engine.kernels[name] as (...args: number[]) => void)(0, units, at, ...args);
      names.add(name);
      const touched = beyond().findLastIndex((byte) => byte !== 0xa5) + 1;
      expect(touched, `${name}: bytes beyond its ${scratch} of scratch`).toBe(0);
    })) as typeof engine.parallel;
  try {
    body();
  } finally {
    engine.parallel = parallel;
  }
  return names;
}
