/** Threads: the same results for any number of them, errors instead of hangs, and no trace left behind. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { Arena } from '../src/engine/arena.js';
import { compileKernels } from '../src/engine/bytes.js';
import { instantiateKernels } from '../src/engine/load.js';
import { Pool } from '../src/engine/pool.js';
import { type Engine, init } from '../src/index.js';
import { matmul } from '../src/ops/matmul.js';
import { amaxOf } from '../src/ops/quantize.js';
import { digestOf } from '../src/ops/reduce.js';
import { swigluForward } from '../src/ops/swiglu.js';
import { empty, floats, idOf, upload, zeros } from '../src/ops/tensor.js';
import './helpers/builds.js';
import { floatTensor, normals, place } from './helpers/cases.js';
import { expectSame } from './helpers/close.js';
import { Random } from './helpers/rng.js';

const opened: Engine[] = [];
async function open(threads: number, build?: 'simd' | 'relaxed'): Promise<Engine> {
  const engine = await init({ threads, build });
  opened.push(engine);
  return engine;
}
afterAll(() => {
  for (const engine of opened) engine.dispose();
});

const run = promisify(execFile);
const dist = fileURLToPath(new URL('../dist/index.js', import.meta.url));

/** A program of its own, with a flag that its workers could not start with; fails when it does not end by itself in time. */
const program = (source: string) =>
  run(process.execPath, ['--input-type=module', '-e', `import { init } from ${JSON.stringify(dist)};\n${source}`], {
    timeout: 20_000,
  });

/** The pool's workers, which are nobody else's business. */
const workersOf = (engine: Engine) => (engine as unknown as { pool: { workers: Worker[] } }).pool.workers;

describe('results', () => {
  it('are the same for 1 to 4 threads and both builds', async () => {
    const random = new Random(1);
    const a = normals(random, [301, 203], 'float8_e5m2');
    const b = normals(random, [203, 301], 'float8_e4m3fn');
    const gateUp = normals(random, [301, 128], 'bfloat16');
    const digests = new Set<string>();
    for (const threads of [1, 2, 3, 4]) {
      for (const build of ['simd', 'relaxed'] as const) {
        const engine = await open(threads, build);
        expect(engine.info).toMatchObject({ threads, build, sharedMemory: threads > 1, fused: build === 'relaxed' });
        const product = engine.matmul(place(engine, a), place(engine, b));
        const target = { dtype: 'float8_e4m3fn', scale: 8 } as const;
        const { y, rowScale } = swigluForward(engine, place(engine, gateUp), { first: target, perToken: true });
        digests.add(digestOf(engine, [product, y, rowScale!], []));
      }
    }
    expect(digests.size).toBe(1);
  });

  it('stay the same over many small calls, where threads sleep and wake between them', async () => {
    const engine = await open(3);
    const x = floatTensor(engine, new Random(2).normals(4096), [64, 64]);
    const first = engine.read(engine.matmul(x, x));
    for (let i = 0; i < 300; i++) {
      const y = engine.matmul(x, x);
      expectSame(engine.read(y), first, `call ${i}`);
      engine.free(y);
    }
  });

  it('memory grown after the threads started is theirs too', async () => {
    const engine = await open(3);
    const before = engine.arena.buffer.byteLength;
    const big = engine.empty([40 * 1024 * 1024], 'float8_e5m2');
    expect(engine.arena.buffer.byteLength).toBeGreaterThan(before + 2 ** 25);
    const ones = new Uint8Array(engine.arena.buffer, big.ptr, 40 * 1024 * 1024).fill(0x3c);
    expect(ones.length).toBe(40 * 1024 * 1024);
    ones[ones.length - 1] = 0x40;
    expect(amaxOf(engine, big)).toBe(2);
  });
});

/** Far outside any memory here. */
const NOWHERE = 0xfff00000;

describe('a trap', () => {
  it('in every thread is an error, and the next call works', async () => {
    const engine = await open(3);
    const x = floatTensor(engine, new Random(3).normals(4096), [64, 64]);
    const expected = engine.read(engine.matmul(x, x));
    for (let i = 0; i < 3; i++) {
      expect(() => matmul(engine, { ...x, ptr: NOWHERE }, x, { out: empty(engine, [64, 64], 'float32') })).toThrow(
        WebAssembly.RuntimeError,
      );
      expectSame(engine.read(engine.matmul(x, x)), expected, `after trap ${i + 1}`);
    }
  });

  it('in a worker alone is an error that names the kernel, and the next call works', async () => {
    const engine = await open(2);
    const x = floatTensor(engine, new Random(4).normals(2 ** 20), [2 ** 20]);
    const largest = amaxOf(engine, x);
    // The worker finds the address of its scratch in a slot; one that leads nowhere makes it trap, and it alone.
    const { scratchSlots } = engine as unknown as { scratchSlots: number };
    const slots = new Uint32Array(engine.arena.buffer, scratchSlots, 2);
    const own = slots[1];
    slots[1] = NOWHERE;
    // Whether the worker gets a range before this thread has done them all is up to the system; in a hundred calls it does.
    expect(() => {
      for (let i = 0; i < 100; i++) amaxOf(engine, x);
    }).toThrow(/kernel amax: expected it to finish on every thread, got a trap in a worker/);
    slots[1] = own;
    for (let i = 0; i < 3; i++) expect(amaxOf(engine, x)).toBe(largest);
  });

  it('in this thread alone waits for the workers, who are still at the same command', async () => {
    const engine = await open(2);
    const [rows, channels] = [60_000, 64];
    const table = floatTensor(engine, new Float32Array(channels).fill(1), [1, channels]);
    const ids = upload(engine, new Int32Array(rows));
    const out = zeros(engine, [rows, channels], 'float32');
    const copy = () =>
      engine.parallel(
        'embeddingForward',
        rows,
        4096,
        table.ptr,
        idOf('float32'),
        ids,
        out.ptr,
        idOf('float32'),
        channels,
      );
    const done = () => floats(engine, out).filter((x, i) => i % channels === 0 && x === 1).length;
    copy();
    expect(done()).toBe(rows);
    const own = engine as unknown as { scratchAt: number };
    const scratch = own.scratchAt;
    own.scratchAt = NOWHERE;
    // On a busy machine the worker may take every range before this thread has one: then again.
    let trap: unknown;
    for (let i = 0; i < 50 && trap === undefined; i++) {
      floats(engine, out).fill(0);
      try {
        copy();
      } catch (error) {
        trap = error;
      }
    }
    expect(trap).toBeInstanceOf(WebAssembly.RuntimeError);
    // All but the one range this thread had taken, of 6 for each of 2 threads.
    expect(done()).toBe(rows - rows / 12);
    own.scratchAt = scratch;
  });
});

describe('life and death', () => {
  it('a worker that cannot start is an error, not a hang', async () => {
    const arena = new Arena(true);
    const kernels = instantiateKernels(await compileKernels('simd-threads'), arena.memory);
    // The build without threads refuses shared memory.
    const module = await compileKernels('simd');
    await expect(Pool.start(2, { module }, kernels, arena, arena.alloc(256))).rejects.toThrow(/shared/);
  });

  it('a worker that cannot start ends those that could', async () => {
    const arena = new Arena(true);
    const [good, bad] = [await compileKernels('simd-threads'), await compileKernels('simd')];
    let asked = 0;
    const modules = {
      get module() {
        return asked++ === 1 ? bad : good;
      },
    };
    const terminate = vi.spyOn(Worker.prototype, 'terminate');
    const kernels = instantiateKernels(good, arena.memory);
    await expect(Pool.start(4, modules, kernels, arena, arena.alloc(256))).rejects.toThrow(/shared/);
    expect(terminate).toHaveBeenCalledTimes(2);
    terminate.mockRestore();
  });

  it('dispose ends the workers, and may be called twice', async () => {
    const engine = await open(4);
    const exits = workersOf(engine).map((worker) => once(worker, 'exit'));
    expect(exits.length).toBe(3);
    engine.dispose();
    engine.dispose();
    await Promise.all(exits);
    expect(() => engine.matmul(floatTensor(engine, [1], [1, 1]), floatTensor(engine, [1], [1, 1]))).toThrow(/disposed/);
  });

  it('a program that forgets dispose ends all the same', async () => {
    const source = `
      const engine = await init({ threads: 3 });
      const x = engine.tensor(Array.from({ length: 4096 }, (_, i) => i % 7), [64, 64], 'bfloat16');
      console.log(engine.info.threads, engine.read(engine.matmul(x, x))[0]);`;
    const { stdout, stderr } = await program(source);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^3 \d+\n$/);
  });

  it('idle threads use no processor time', async () => {
    const source = `
      const engine = await init({ threads: 4 });
      const x = engine.tensor(new Float32Array(65536), [256, 256], 'bfloat16');
      for (let i = 0; i < 20; i++) engine.free(engine.matmul(x, x));
      await new Promise((resolve) => setTimeout(resolve, 100));
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const { user, system } = process.cpuUsage(before);
      console.log((user + system) / 1000);`;
    const { stdout } = await program(source);
    // Milliseconds of 500. Three threads that spin would use 1000 on two cores; asleep, they look around once a second.
    expect(Number(stdout) < 50, `${stdout.trim()} ms of 500`).toBe(true);
  });
});
