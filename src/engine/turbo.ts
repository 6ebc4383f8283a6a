/**
 * Turbo: V8's experimental revectorization, which merges neighbouring 128-bit operations into 256-bit ones. It is used for matrix products and
 * attention, whose loops are written so that it finds pairs (the `turbo` builds). Opt-in, because it sets V8 flags in a running process, and
 * checked at every start (ops/self-check.ts).
 */
import { type DType, formatSpec } from '../formats/index.js';
import type { Arena } from './arena.js';
import { wasmBytes } from './bytes.js';
import { detectFeatures, hasNodeModules, runtimeName } from './features.js';
import { instantiateKernels, type Kernels } from './load.js';
import { WEIGHT_COLUMNS } from './units.js';

/** The first Node whose V8 has the flag. */
const FIRST_NODE = 24;

/** Returns why turbo is unavailable, or undefined if it is available. Turns on relaxed SIMD where Node 20 still needs a flag for it. */
export async function prepareTurbo(): Promise<string | undefined> {
  const refusal = `expected Node ${FIRST_NODE} or newer, got ${runtimeName()}`;
  const [runtime, major] = runtimeName().split(/[ .]/);
  if (!hasNodeModules() || runtime !== 'node') return refusal;
  const { setFlagsFromString } = await import('node:v8');
  if (!detectFeatures().relaxedSimd) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return Number(major) < FIRST_NODE ? refusal : undefined;
}

/**
 * Compiles the wide kernels. V8 compiles a function at its first call, so the kernels are called here while the flags are set, with the
 * optimizing compiler alone, because the baseline compiler makes no wide vectors. Nothing else may be compiled meanwhile: V8 14 aborts on other
 * kernels of ours. Attention is therefore compiled at its own first call, without the flag, and calls the tile compiled here. Inlining is off
 * meanwhile, because it needs feedback from the baseline compiler and aborts without it. It must be turned on again afterwards: V8 shares code
 * between modules of the same bytes, and earlier code that records call feedback crashes in an instance created without room for it.
 */
export async function compileWide(arena: Arena, shared: boolean): Promise<WebAssembly.Module> {
  const bytes = await wasmBytes(shared ? 'turbo-threads' : 'turbo');
  const { setFlagsFromString } = await import('node:v8');
  const [on, off] = [['experimental-wasm-revectorize'], ['liftoff', 'wasm-inlining', 'wasm-inlining-call-indirect']];
  const setFlags = (yes: string[], no: string[]) => {
    for (const flag of yes) setFlagsFromString(`--${flag}`);
    for (const flag of no) setFlagsFromString(`--no-${flag}`);
  };
  setFlags(on, off);
  try {
    const module = new WebAssembly.Module(bytes);
    callEach(instantiateKernels(module, arena.memory), arena);
    return module;
  } finally {
    setFlags(off, on);
  }
}

/** Calls both kinds of tile, and the loops for one row and each kind of packed weights, with zeros: for two panels together, and for one. */
function callEach({ gemm, gemmScratch, gemv, gemvScratch }: Kernels, arena: Arena): void {
  const mark = arena.mark();
  const zeros = (bytes: number) => {
    const ptr = arena.alloc(bytes);
    new Uint8Array(arena.buffer, ptr, bytes).fill(0);
    return ptr;
  };
  const id = (dtype: DType) => formatSpec(dtype).id;
  const float32 = id('float32');
  const [m, n, k] = [6, 16, 16];
  const columns = 3 * WEIGHT_COLUMNS;
  const [a, panels, packed, out] = [4 * m * k, 4 * k * n, 4 * k * columns, 4 * m * columns].map(zeros);
  for (const exact of [0, 1]) {
    const rows = exact ? m : m - 1;
    const scratch = zeros(gemmScratch(rows, n, exact));
    // biome-ignore format: one line per group of the kernel's signature
    gemm(
      0, 1, scratch, rows, n, k,
      float32, a, k, 0, panels, exact, rows, n,
      out, float32, n, 1, 0, 0, 0, 1, 0,
      0, 0, 0,
    );
  }
  const scratch = zeros(gemvScratch(1, k, columns));
  for (const dtype of ['float8_e4m3fn', 'float8_e5m2', 'bfloat16'] as const) {
    // biome-ignore format: one line per group of the kernel's signature
    gemv(
      0, 1, scratch, 1, columns, k,
      id(dtype), a, id(dtype), packed, 1, 1, columns,
      out, float32, 1, 0, 0, 0, 1, 0,
    );
  }
  arena.release(mark);
}
