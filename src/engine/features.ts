/** What this JavaScript engine supports, detected by feature tests rather than by name. */

const bytes = (hex: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16));

/** (module (func (result v128) (i32x4.splat (i32.const 0)))) */
const SIMD = bytes('0061736d010000000105016000017b030201000a080106004100fd110b');
/** (module (func (result v128) (f32x4.relaxed_madd ...three times (i32x4.splat (i32.const 0))))) */
const RELAXED = bytes('0061736d010000000105016000017b030201000a130111004100fd114100fd114100fd11fd85020b');

/** The most threads of an engine. */
export const MAX_THREADS = 64;

/** WebAssembly features of this JavaScript engine. */
export interface Features {
  simd: boolean;
  relaxedSimd: boolean;
  /** Whether shared WebAssembly memory is available; browsers require a cross-origin isolated page. */
  sharedMemory: boolean;
}

export function detectFeatures(): Features {
  return {
    simd: WebAssembly.validate(SIMD),
    relaxedSimd: WebAssembly.validate(RELAXED),
    sharedMemory: canShareMemory(),
  };
}

function canShareMemory(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false;
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  return isolated !== false;
}

/** 'node 20.20.2', 'bun 1.4.5', 'deno 2.9.6', or the browser's user agent. */
export function runtimeName(): string {
  const g = globalThis as {
    Bun?: { version: string };
    Deno?: { version: { deno: string } };
    process?: { versions?: { node?: string } };
    navigator?: { userAgent?: string };
  };
  if (g.Bun) return `bun ${g.Bun.version}`;
  if (g.Deno) return `deno ${g.Deno.version.deno}`;
  if (g.process?.versions?.node) return `node ${g.process.versions.node}`;
  return g.navigator?.userAgent ?? 'unknown';
}

/** Whether node:worker_threads and node:fs are available (Node, Bun, Deno). */
export function hasNodeModules(): boolean {
  return typeof process !== 'undefined' && Boolean(process.versions?.node);
}

/** Peak resident memory of this process in bytes; undefined where the runtime does not report it. */
export function peakMemoryBytes(): number | undefined {
  return hasNodeModules() ? process.resourceUsage().maxRSS * 1024 : undefined;
}
