/** A set of loaded kernels with its memory and threads: the only way to call into wasm. */
import { describe } from '../formats/check.js';
import { Arena } from './arena.js';
import { compileKernels, type WasmSource } from './bytes.js';
import type { Kernel } from './command.js';
import { detectFeatures, type Features, hasNodeModules, MAX_THREADS, runtimeName } from './features.js';
import {
  type Build,
  checkKernels,
  chooseBuild,
  instantiateKernels,
  type KernelArguments,
  type Kernels,
  type ParallelKernel,
} from './load.js';
import { Pool } from './pool.js';
import { compileWide } from './turbo.js';

/** Options of `init()`. */
export interface InitOptions {
  /** Total number of threads, including the caller's. Default: one per core, or 1 without shared memory. */
  threads?: number;
  /** 'auto' (default) selects 'relaxed' where the engine has relaxed SIMD. All builds give the same bits. */
  build?: Build | 'auto';
  /**
   * Use V8's 256-bit vectors (Node 24 and newer), and relaxed SIMD in Node 20. Sets V8 flags for the whole process. Results have the same bits,
   * which is checked before the engine is returned. Where turbo is unavailable, `info.turboRefusal` says why.
   */
  turbo?: boolean;
  /** Kernels to load instead of the packaged ones: a URL, bytes or a compiled module, of the build and threading that the other options select. */
  wasm?: WasmSource;
}

/** What `init()` selected and detected. */
export interface EngineInfo {
  build: Build;
  threads: number;
  sharedMemory: boolean;
  /** Whether the wide tile runs on V8's 256-bit vectors. */
  turbo: boolean;
  /** Why turbo is off although it was requested. */
  turboRefusal?: string;
  /** Whether exact-product kernels fuse multiply and add in this build: faster, with identical results. */
  fused: boolean;
  /** Features detected in the JavaScript engine or the page, whether or not they are used. */
  features: Features;
  runtime: string;
}

/** A kernel call as `parallel` makes it. */
interface Call {
  readonly name: ParallelKernel;
  readonly units: number;
  readonly scratch: number;
  readonly values: readonly number[];
}

/** Work whose kernel calls can be made again. */
export interface Recording<T> {
  readonly result: T;
  /** Makes the same kernel calls again, with the same addresses: for work that differs only in what memory holds. */
  again(): void;
  /** Frees the memory that the calls use. */
  free(): void;
}

export class Runtime {
  private calls: Call[] | undefined;
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

  /** Creates the parts of a runtime, for the constructors of this class and its subclasses. */
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
    const kernels = instantiated(module, arena, wide, threads);
    checkKernels(kernels, build);
    const scratchSlots = arena.alloc(4 * MAX_THREADS);
    const pool = threads > 1 ? await Pool.start(threads, { module, wide }, kernels, arena, scratchSlots) : undefined;
    const fused = build === 'relaxed';
    const info = { build, threads, sharedMemory: threads > 1, turbo, fused, features, runtime: runtimeName() };
    return [info, arena, kernels, pool, scratchSlots];
  }

  /**
   * Runs a kernel over units 0 .. units - 1, split over the threads, giving each thread `scratch` bytes of its own. What the host
   * reads must not depend on how units are cut: where partial sums are combined, units follow from the sizes alone, never from the number of threads.
   */
  parallel<Name extends ParallelKernel>(
    name: Name,
    units: number,
    scratch: number,
    ...args: KernelArguments<Name>
  ): void {
    const values = args as unknown as number[];
    this.calls?.push({ name, units, scratch, values });
    this.launch(name, units, scratch, values);
  }

  private launch(name: ParallelKernel, units: number, scratch: number, values: readonly number[]): void {
    this.checkOpen();
    if (units <= 0) return;
    if (scratch > this.scratchBytes) this.growScratch(scratch);
    if (this.pool && units > 1) this.pool.run(name, units, this.scratchAt, values);
    else (this.kernels[name] as unknown as Kernel)(0, units, this.scratchAt, ...values);
  }

  /** Calls `run` and frees everything it allocated, except the addresses that `keep` returns for its result. */
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

  /**
   * Calls `run` and records its kernel calls. What it allocated is freed by the recording's `free`, the result's memory included. Between
   * calls the host must do nothing that the next call depends on.
   */
  record<T>(run: () => T): Recording<T> {
    const calls: Call[] = [];
    this.calls = calls;
    try {
      const { result, free } = this.arena.holding(() => this.scoped(run));
      const again = () => {
        for (const { name, units, scratch, values } of calls) this.launch(name, units, scratch, values);
      };
      return { result, again, free };
    } finally {
      this.calls = undefined;
    }
  }

  /** Calls `run`; if it throws, frees everything it allocated. */
  wholeOrNothing<T>(run: () => T): T {
    const mark = this.arena.mark();
    try {
      return run();
    } catch (error) {
      this.arena.release(mark);
      throw error;
    }
  }

  /** Ends the threads; the engine cannot be used afterwards. May be called more than once. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.pool?.dispose();
  }

  protected checkOpen(): void {
    if (this.disposed) throw new Error('engine: expected an open engine, got one that was disposed');
  }

  private growScratch(bytes: number): void {
    const size = Math.ceil(bytes / 4096) * 4096;
    // If the allocation fails there is no scratch, and the next call allocates again.
    if (this.scratchAt) this.arena.free(this.scratchAt);
    this.scratchAt = this.scratchBytes = 0;
    this.scratchAt = this.arena.allocLasting(size * this.info.threads);
    this.scratchBytes = size;
    const slots = new Uint32Array(this.arena.buffer, this.scratchSlots, this.info.threads);
    for (let i = 0; i < slots.length; i++) slots[i] = this.scratchAt + i * this.scratchBytes;
  }
}

/** Kernels have a memory of their own kind: for one thread, or shared. */
function instantiated(module: WebAssembly.Module, arena: Arena, wide: WebAssembly.Module | undefined, threads: number) {
  try {
    return instantiateKernels(module, arena.memory, wide);
  } catch (cause) {
    if (!(cause instanceof WebAssembly.LinkError)) throw cause;
    const kind = threads > 1 ? `${threads} threads (*-threads.wasm)` : 'one thread';
    throw new Error(`wasm: expected kernels for ${kind}, got others: ${cause.message}`, { cause });
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
