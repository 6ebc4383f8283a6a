/** Where the wasm bytes come from: a file beside the package in Node, a URL in browsers, or what the caller passes. */
import { hasNodeModules } from './features.js';

export type WasmSource = string | URL | ArrayBuffer | Uint8Array<ArrayBuffer> | WebAssembly.Module;

/** Written out, so that bundlers find the files. */
const FILES = {
  simd: new URL('../../build/simd.wasm', import.meta.url),
  relaxed: new URL('../../build/relaxed.wasm', import.meta.url),
  'simd-threads': new URL('../../build/simd-threads.wasm', import.meta.url),
  'relaxed-threads': new URL('../../build/relaxed-threads.wasm', import.meta.url),
} as const;
export type WasmFile = keyof typeof FILES;

export async function compileKernels(file: WasmFile, source?: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (source instanceof ArrayBuffer || source instanceof Uint8Array) return WebAssembly.compile(source);
  const url = source === undefined ? FILES[file] : new URL(source, import.meta.url);
  if (url.protocol === 'file:' && hasNodeModules()) {
    const { readFile } = await import('node:fs/promises');
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`wasm: expected ${url} to be served, got HTTP status ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}
