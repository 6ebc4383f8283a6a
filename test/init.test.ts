/** Opening an engine: what it finds, takes, refuses, and how turbo is checked. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compileKernels } from '../src/engine/bytes.js';
import { init } from '../src/index.js';
import { firstDifference, results } from '../src/ops/self-check.js';
import './helpers/builds.js';
import { expectSame } from './helpers/close.js';
import { useEngine } from './helpers/training.js';

const engine = useEngine({ threads: 1, build: 'simd' });

describe('init', () => {
  it('compiles a build once for all engines of a process', async () => {
    expect(await compileKernels('simd')).toBe(await compileKernels('simd'));
  });

  it('tells what it found', () => {
    expect(engine().info).toEqual({
      build: 'simd',
      threads: 1,
      sharedMemory: false,
      turbo: false,
      fused: false,
      features: { simd: true, relaxedSimd: true, sharedMemory: true },
      runtime: `node ${process.versions.node}`,
    });
  });

  it('takes the fastest build and every core by default', async () => {
    const own = await init();
    expect(own.info.build).toBe('relaxed');
    expect(own.info.threads).toBe((await import('node:os')).availableParallelism());
    own.dispose();
  });

  it('says why there is no turbo, and goes on without', async () => {
    const own = await init({ turbo: true, threads: 1 });
    const [major] = process.versions.node.split('.').map(Number);
    // In Node 24 and newer there is: test/runtimes.test.ts.
    expect(own.info.turbo).toBe(major >= 24);
    if (major < 24) expect(own.info.turboRefusal).toBe(`expected Node 24 or newer, got ${own.info.runtime}`);
    own.dispose();
  });

  it('refuses turbo for the strict build, which has no other kernels', async () => {
    await expect(init({ turbo: true, build: 'simd' })).rejects.toThrow(
      "turbo: expected build 'auto' or 'relaxed', got 'simd'",
    );
  });

  it('refuses turbo for kernels of the caller, which it would replace in part', async () => {
    const wasm = readFileSync(new URL('../build/simd.wasm', import.meta.url));
    await expect(init({ turbo: true, wasm })).rejects.toThrow(
      'turbo: expected the packaged kernels, got others as wasm',
    );
  });

  it('finds a kernel that is wrong in its last bit, as the start of turbo does', async () => {
    const bytes = readFileSync(new URL('../build/simd.wasm', import.meta.url));
    // A coefficient of exp, four lanes of it.
    const at = bytes.indexOf(Buffer.from(new Float32Array(4).fill(0.166665204).buffer));
    expect(at).toBeGreaterThan(0);
    for (let lane = 0; lane < 4; lane++) bytes[at + 4 * lane] ^= 1;
    const wrong = await init({ build: 'simd', threads: 1, wasm: Uint8Array.from(bytes) });
    expect(firstDifference(results(engine()), results(engine()))).toBeUndefined();
    expect(firstDifference(results(engine()), results(wrong))).toBe('attention in float32, result 2');
    wrong.dispose();
  });

  it('takes kernels as bytes, a buffer, a module, a URL or its text', async () => {
    const url = new URL('../build/simd.wasm', import.meta.url);
    const bytes = Uint8Array.from(readFileSync(url));
    for (const wasm of [bytes, bytes.buffer, new WebAssembly.Module(bytes), url, url.href]) {
      const own = await init({ build: 'simd', threads: 1, wasm });
      expectSame(own.read(own.tensor([1, 2], [2], 'bfloat16')), Float32Array.of(1, 2), String(wasm));
      own.dispose();
    }
    await expect(init({ build: 'simd', threads: 1, wasm: new URL('file:///no/such.wasm') })).rejects.toThrow(
      /no\/such.wasm/,
    );
  });

  it('refuses kernels that do not fit, by what they are', async () => {
    const wasm = (name: string) => readFileSync(new URL(`../build/${name}.wasm`, import.meta.url));
    await expect(init({ build: 'relaxed', threads: 1, wasm: wasm('simd') })).rejects.toThrow(
      /^wasm: expected the kernels of octavo \d+\.\d+\.\d+, build relaxed, got \d+\.\d+\.\d+, build simd$/,
    );
    await expect(init({ threads: 2, wasm: wasm('relaxed') })).rejects.toThrow(
      /^wasm: expected kernels for 2 threads \(\*-threads\.wasm\), got others: /,
    );
    await expect(init({ threads: 1, wasm: wasm('relaxed-threads') })).rejects.toThrow(
      /^wasm: expected kernels for one thread, got others: /,
    );
    const empty = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    await expect(init({ threads: 1, wasm: empty })).rejects.toThrow(/build relaxed, got another module$/);
    await expect(init({ threads: 1, wasm: './simd.wasm' })).rejects.toThrow(
      "wasm: expected an absolute URL, got './simd.wasm'",
    );
  });

  it.each([
    [{ threads: 0 }, RangeError, /^threads: .* got 0/],
    [{ threads: 1.5 }, RangeError, /^threads: .* got 1.5/],
    [{ threads: 65 }, RangeError, /^threads: .* got 65/],
    [{ threads: Number.NaN }, RangeError, /^threads: /],
    [{ build: 'fast' as 'simd' }, RangeError, /^build: .* got "fast"/],
    [null as never, TypeError, /^options: expected an object, got null/],
    [{ threads: 1, wasm: 5 as never }, TypeError, /^wasm: expected a URL, bytes or a WebAssembly.Module, got 5/],
    [{ threads: 1, wasm: new Uint8Array(3) }, Error, /^wasm: expected the kernels of \w+, got WebAssembly.compile/],
  ])('refuses %o', async (options, kind, message) => {
    await expect(init(options)).rejects.toThrow(kind);
    await expect(init(options)).rejects.toThrow(message);
  });
});
