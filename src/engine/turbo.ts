/**
 * Turbo: V8's experimental 256-bit vectors, which it makes of neighbouring 128-bit operations ("revectorization"), for products and
 * attention, whose tile is then wide enough to gain from them (the builds `turbo`). Opt-in, since it sets V8's flags in a running process, and
 * checked at every start (ops/self-check.ts).
 */
import type { Arena } from './arena.js';
import { wasmBytes } from './bytes.js';
import { detectFeatures, hasNodeModules, runtimeName } from './features.js';
import { instantiateKernels, type Kernels } from './load.js';

/** The first Node whose V8 has the flag. */
const FIRST_NODE = 24;

/** Why there is no turbo here; undefined where there is. Turns on relaxed SIMD where Node 20 still wants a flag for it. */
export async function prepareTurbo(): Promise<string | undefined> {
  const refusal = `expected Node ${FIRST_NODE} or newer, got ${runtimeName()}`;
  const [runtime, major] = runtimeName().split(/[ .]/);
  if (!hasNodeModules() || runtime !== 'node') return refusal;
  const { setFlagsFromString } = await import('node:v8');
  if (!detectFeatures().relaxedSimd) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return Number(major) < FIRST_NODE ? refusal : undefined;
}

/**
 * The wide kernels, compiled. V8 compiles a function at its first call: so they are called here, with the flags set and the optimizing
 * compiler alone, since the first one makes no wide vectors. Nothing else is compiled meanwhile: V8 14 aborts over other kernels of ours, so that
 * attention is compiled at its own first call, without the flag, and calls the tile that has been.
 * Inlining is off meanwhile, as it wants what the first compiler would have noted, and aborts without it. It must be on again afterwards: V8
 * shares code between modules of the same bytes, and code from before that notes what it calls crashes in an instance made for none.
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

/** A product of zeros in either kind of tile, large enough for two panels, into memory that is given back. */
function callEach({ gemm, gemmScratch }: Kernels, arena: Arena): void {
  const mark = arena.mark();
  const zeros = (bytes: number) => {
    const ptr = arena.alloc(bytes);
    new Uint8Array(arena.buffer, ptr, bytes).fill(0);
    return ptr;
  };
  const [m, n, k, float32] = [6, 16, 16, 0];
  const [a, panels, out] = [4 * m * k, 4 * k * n, 4 * m * n].map(zeros);
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
  arena.release(mark);
}
