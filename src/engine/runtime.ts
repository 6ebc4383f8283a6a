/** A running set of kernels: memory, threads, and the one way to call into wasm. */
import { describe } from '../formats/check.js';
import { Arena } from './arena.js';
import { compileKernels, type WasmSource } from './bytes.js';
import type { Kernel } from './command.js';
import { detectFeatures, type Features, hasNodeModules, runtimeName } from './features.js';
import {
  type Build,
  chooseBuild,
  instantiateKernels,
  type KernelArguments,
  type Kernels,
  type ParallelKernel,
} from './load.js';
import { Pool } from './pool.js';
import { compileWide } from './turbo.js';

export interface InitOptions {
  /** Threads in all, the caller's included. Default: one for each core, or 1 without shared memory. */
  threads?: number;
  /** 'auto' (default) takes 'relaxed' where the engine has relaxed SIMD. The bits of every result are the same. */
  build?: Build | 'auto';
  /**
   * V8's 256-bit vectors in Node 24 and newer, relaxed SIMD in Node 20: sets V8's flags for the process. The bits of every result are the
   * same, which is checked before the engine is handed out. Where it cannot be had, `info.turboRefusal` says why.
   */
  turbo?: boolean;
  /** Kernels from elsewhere: URL, bytes or a compiled module, of the build and threading that the other options select. */
  wasm?: WasmSource;
}

export interface EngineInfo {
  build: Build;
  threads: number;
  sharedMemory: boolean;
  /** Whether the wide tile runs on V8's 256-bit vectors. */
  turbo: boolean;
  /** Why turbo was asked for and is not on. */
  turboRefusal?: string;
  /** Whether exact-product kernels fuse multiply and add here: faster, never different. */
  fused: boolean;
  /** What the JavaScript engine, or the page, was found to have, whether it is used or not. */
  features: Features;
  runtime: string;
}

const MAX_THREADS = 64;

export class Runtime {
  private scratchBytes = 0;
  private scratchAt = 0;
  private readonly scratchSlots: number;
  private disposed = false;

  protected constructor(
    readonly info: EngineInfo,
    readonly arena: Arena,
    readonly kernels: Kernels,
    private readonly pool: Pool | undefined,
    scratchSlots: number,
  ) {
    this.scratchSlots = scratchSlots;
  }

  /** The parts of a runtime, for the constructors of this class and its subclasses. */
  protected static async open(
    options: InitOptions = {},
    turbo = false,
  ): Promise<[EngineInfo, Arena, Kernels, Pool | undefined, number]> {
    const features = detectFeatures();
    const build = chooseBuild(options.build ?? 'auto', features);
    const threads = await threadCount(options.threads, features.sharedMemory);
    const arena = new Arena(threads > 1);
    const wide = turbo ? await compileWide(arena, threads > 1) : undefined;
    const module = await compileKernels(threads > 1 ? `${build}-threads` : build, options.wasm);
    const kernels = instantiateKernels(module, arena.memory, wide);
    const scratchSlots = arena.alloc(4 * MAX_THREADS);
    const pool = threads > 1 ? await Pool.start(threads, { module, wide }, kernels, arena, scratchSlots) : undefined;
    const fused = build === 'relaxed';
    const info = { build, threads, sharedMemory: threads > 1, turbo, fused, features, runtime: runtimeName() };
    return [info, arena, kernels, pool, scratchSlots];
  }

  /**
   * Runs a kernel over units 0 .. units - 1, split over the threads. Each thread has `scratch` bytes of its own.
   * Units and chunks are fixed by the sizes alone, never by the number of threads.
   */
  parallel<Name extends ParallelKernel>(
    name: Name,
    units: number,
    scratch: number,
    ...args: KernelArguments<Name>
  ): void {
    this.checkOpen();
    if (units <= 0) return;
    if (scratch > this.scratchBytes) this.growScratch(scratch);
    const values = args as unknown as number[];
    if (this.pool && units > 1) this.pool.run(name, units, this.scratchAt, values);
    else (this.kernels[name] as unknown as Kernel)(0, units, this.scratchAt, ...values);
  }

  /** Runs `run` and frees whatever it allocated, except the addresses `keep` names in its result. */
  scoped<T>(run: () => T, keep?: (result: T) => readonly number[]): T {
    const mark = this.arena.mark();
    let kept: readonly number[] = [];
    try {
      const result = run();
      if (keep) kept = keep(result);
      return result;
    } finally {
      this.arena.release(mark, kept);
    }
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.pool?.dispose();
  }

  protected checkOpen(): void {
    if (this.disposed) throw new Error('engine: expected an open engine, got one that was disposed');
  }

  private growScratch(bytes: number): void {
    if (this.scratchAt) this.arena.free(this.scratchAt);
    this.scratchBytes = Math.ceil(bytes / 4096) * 4096;
    this.scratchAt = this.arena.allocLasting(this.scratchBytes * this.info.threads);
    const slots = new Uint32Array(this.arena.buffer, this.scratchSlots, this.info.threads);
    for (let i = 0; i < slots.length; i++) slots[i] = this.scratchAt + i * this.scratchBytes;
  }
}

async function threadCount(wanted: number | undefined, sharedMemory: boolean): Promise<number> {
  if (wanted !== undefined) {
    if (typeof wanted !== 'number') throw new TypeError(`threads: expected an integer, got ${describe(wanted)}`);
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > MAX_THREADS) {
      throw new RangeError(`threads: expected an integer from 1 to ${MAX_THREADS}, got ${wanted}`);
    }
    if (wanted > 1 && !sharedMemory) {
      throw new Error(`threads: expected shared memory for ${wanted} threads, got an engine or page without it`);
    }
    return wanted;
  }
  if (!sharedMemory) return 1;
  if (hasNodeModules()) {
    const { availableParallelism } = await import('node:os');
    return Math.min(MAX_THREADS, availableParallelism());
  }
  return Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1);
}
