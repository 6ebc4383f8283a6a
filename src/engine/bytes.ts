/** Where the wasm bytes come from: a file beside the package in Node, a URL in browsers, or what the caller passes. */
import { hasNodeModules } from './features.js';

export type WasmSource = string | URL | ArrayBuffer | Uint8Array<ArrayBuffer> | WebAssembly.Module;

export async function compileKernels(build: string, source?: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (source instanceof ArrayBuffer || source instanceof Uint8Array) return WebAssembly.compile(source);
  const url = new URL(source ?? `../../build/${build}.wasm`, import.meta.url);
  if (url.protocol === 'file:' && hasNodeModules()) {
    const { readFile } = await import('node:fs/promises');
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`wasm: expected ${url} to be served, got HTTP status ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}
