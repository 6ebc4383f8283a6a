/** What the wasm files are made of. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { detectFeatures } from '../src/engine/features.js';
import './helpers/builds.js';
import { dataSegments, relaxedInstructions } from './reference/wasm.js';

/** Size at which to ask where the growth comes from. */
const BUDGET = 120_000;
/** Arena.FIRST: where the host's own memory begins. */
const FIRST = 65_536;
/** Where the tables of the turbo builds begin, which share a memory with those of another build (asconfig.json). */
const TURBO = 32_768;
const NAMES = ['simd', 'relaxed', 'turbo', 'simd-threads', 'relaxed-threads', 'turbo-threads'] as const;

const files = NAMES.map((name) => {
  const bytes = readFileSync(new URL(`../build/${name}.wasm`, import.meta.url));
  return { name, bytes, threads: name.endsWith('threads'), relaxed: !name.startsWith('simd') };
});

describe.each(files)('$name', ({ name, bytes, threads, relaxed }) => {
  it('imports env.memory and nothing else, shared where there are threads', () => {
    const module = new WebAssembly.Module(bytes);
    expect(WebAssembly.Module.imports(module).map(({ module, name, kind }) => `${kind} ${module}.${name}`)).toEqual([
      'memory env.memory',
    ]);
    const instantiate = (shared: boolean) => {
      const memory = new WebAssembly.Memory(shared ? { initial: 2, maximum: 65_536, shared } : { initial: 2 });
      return () => new WebAssembly.Instance(module, { env: { memory } });
    };
    expect(instantiate(threads)).not.toThrow();
    expect(instantiate(!threads)).toThrow(WebAssembly.LinkError);
  });

  it('exports functions only, the same as every other build, or of turbo what it has loops of its own for', () => {
    const exportsOf = (wasm: Buffer) => WebAssembly.Module.exports(new WebAssembly.Module(Uint8Array.from(wasm)));
    const exported = exportsOf(bytes);
    expect(exported.every(({ kind }) => kind === 'function')).toBe(true);
    if (name.startsWith('turbo')) {
      expect(exported.map(({ name }) => name)).toEqual([
        'attentionBackward',
        'attentionForward',
        'gemm',
        'gemmScratch',
        'gemv',
        'gemvScratch',
      ]);
    } else {
      expect(exported).toEqual(exportsOf(files[0].bytes));
      expect(exported.length).toBeGreaterThan(20);
    }
  });

  it('keeps its constants below the memory the host hands out', () => {
    const segments = dataSegments(bytes);
    // exp and log read tables, so there are some.
    expect(segments.length).toBeGreaterThan(0);
    const [first, last] = name.startsWith('turbo') ? [TURBO, FIRST] : [0, TURBO];
    for (const [start, end] of segments) expect(start >= first && end <= last, `${start} to ${end}`).toBe(true);
  });

  it(`is at most ${BUDGET} bytes`, () => {
    expect(bytes.length).toBeLessThanOrEqual(BUDGET);
  });

  it(relaxed ? 'holds fused multiply-adds' : 'holds no relaxed instruction', () => {
    // 12 in a tile.
    if (relaxed) expect(relaxedInstructions(bytes)).toBeGreaterThanOrEqual(12);
    else expect(relaxedInstructions(bytes)).toBe(0);
  });
});

describe('the probes', () => {
  it('find here what every suite runs on', () => {
    expect(detectFeatures()).toEqual({ simd: true, relaxedSimd: true, sharedMemory: true });
  });
});
