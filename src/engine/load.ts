/** Chooses a build and instantiates it over the host's memory. */
import { instantiateSync } from '@assemblyscript/loader';
import type { instantiate } from '../../build/simd.js';
import type { Features } from './features.js';
import { VERSION } from './units.js';

/** The exported kernels, as typed by asc: numbers in, numbers out, the same in every build. */
export type Kernels = Awaited<ReturnType<typeof instantiate>>;
type KernelName = keyof Kernels;
/** Kernels that take (begin, end, scratch, ...) and can be split over threads. */
export type ParallelKernel = {
  [Name in KernelName]: Parameters<Kernels[Name]> extends [begin: number, end: number, scratch: number, ...number[]]
    ? ReturnType<Kernels[Name]> extends void
      ? Name
      : never
    : never;
}[KernelName];
/** The arguments of a parallel kernel after its range and scratch. */
export type KernelArguments<Name extends ParallelKernel> =
  Parameters<Kernels[Name]> extends [number, number, number, ...infer Rest] ? Rest : never;

export type Build = 'simd' | 'relaxed';

/** The build to load; throws if the one wanted is unknown, or if this engine cannot run it. */
export function chooseBuild(wanted: Build | 'auto', features: Features): Build {
  if (!features.simd) throw new Error('build: expected an engine with WebAssembly SIMD, got one without');
  if (wanted === 'auto') return features.relaxedSimd ? 'relaxed' : 'simd';
  if (wanted !== 'simd' && wanted !== 'relaxed') {
    throw new RangeError(`build: expected 'auto', 'simd' or 'relaxed', got ${JSON.stringify(wanted)}`);
  }
  if (wanted === 'relaxed' && !features.relaxedSimd) {
    throw new Error(
      "build: expected an engine with relaxed SIMD for 'relaxed', got one without (Node 20 needs --experimental-wasm-relaxed-simd)",
    );
  }
  return wanted;
}

/** Throws unless these are the kernels of this version and build, which a caller's `wasm` need not be. */
export function checkKernels(kernels: Kernels, build: Build): void {
  const expected = `wasm: expected the kernels of octavo ${named(VERSION)}, build ${build}`;
  if (typeof kernels.version !== 'function') throw new Error(`${expected}, got another module`);
  const found = `${named(kernels.version())}, build ${kernels.fused() ? 'relaxed' : 'simd'}`;
  if (`${named(VERSION)}, build ${build}` !== found) throw new Error(`${expected}, got ${found}`);
}

const named = (version: number) =>
  [Math.floor(version / 10000), Math.floor(version / 100) % 100, version % 100].join('.');

/**
 * Instantiates kernels over a memory. If `wide` (a module of the turbo build) is given, its kernels replace those of the same name; its constant
 * tables lie behind those of the other builds, so that both can share the memory.
 */
export function instantiateKernels(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  wide?: WebAssembly.Module,
): Kernels {
  const exportsOf = (each: WebAssembly.Module) =>
    instantiateSync(each, { env: { memory } } as never).exports as unknown as Kernels;
  return wide ? { ...exportsOf(module), ...exportsOf(wide) } : exportsOf(module);
}
