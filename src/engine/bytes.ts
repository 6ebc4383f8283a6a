/** Source of the wasm bytes: a file in the package (Node), a URL (browsers), or whatever the caller passes. */
import { describe, isUint8Array } from '../formats/check.js';
import { hasNodeModules } from './features.js';

type BytesSource = string | URL | ArrayBuffer | Uint8Array<ArrayBuffer>;
export type WasmSource = BytesSource | WebAssembly.Module;

/** Spelled out one by one, because bundlers only find literal `new URL(...)` expressions. */
const FILES = {
  simd: new URL('../../build/simd.wasm', import.meta.url),
  relaxed: new URL('../../build/relaxed.wasm', import.meta.url),
  turbo: new URL('../../build/turbo.wasm', import.meta.url),
  'simd-threads': new URL('../../build/simd-threads.wasm', import.meta.url),
  'relaxed-threads': new URL('../../build/relaxed-threads.wasm', import.meta.url),
  'turbo-threads': new URL('../../build/turbo-threads.wasm', import.meta.url),
} as const;
export type WasmFile = keyof typeof FILES;

/** The package's own modules, each compiled once: V8 11 keeps about 3 kB for every module it compiles, even after the module is collected. */
const compiled = new Map<WasmFile, Promise<WebAssembly.Module>>();

/** Compiles the kernels from `source`, or else the package's own, which are compiled only once. */
export function compileKernels(file: WasmFile, source?: WasmSource): Promise<WebAssembly.Module> {
  if (source !== undefined) return compile(file, source);
  const known = compiled.get(file);
  if (known) return known;
  const made = compile(file);
  compiled.set(file, made);
  // Do not cache failures: a file that could not be read may be there next time.
  made.catch(() => compiled.delete(file));
  return made;
}

async function compile(file: WasmFile, source?: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  const bytes = await wasmBytes(file, source);
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw new Error(`wasm: expected the kernels of ${file}, got ${(cause as Error).message}`, { cause });
  }
}

/** By its tag, which it has in every realm. */
const isArrayBuffer = (value: unknown): value is ArrayBuffer =>
  Object.prototype.toString.call(value) === '[object ArrayBuffer]';

/** A page's or worker's own address is the base of relative ones. */
function absolute(source: string | URL): URL {
  try {
    return new URL(source, globalThis.location?.href);
  } catch {
    throw new TypeError(`wasm: expected an absolute URL, got '${source}'`);
  }
}

/** The bytes of a wasm file, read from `source` or else from the package. */
export async function wasmBytes(file: WasmFile, source?: BytesSource): Promise<ArrayBuffer | Uint8Array<ArrayBuffer>> {
  if (isUint8Array(source) || isArrayBuffer(source)) return source;
  if (source !== undefined && typeof source !== 'string' && !(source instanceof URL)) {
    throw new TypeError(`wasm: expected a URL, bytes or a WebAssembly.Module, got ${describe(source)}`);
  }
  const url = source === undefined ? FILES[file] : absolute(source);
  if (url.protocol === 'file:' && hasNodeModules()) {
    const { readFile } = await import('node:fs/promises');
    return readFile(url);
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`wasm: expected ${url} to be served, got HTTP status ${response.status}`);
  return response.arrayBuffer();
}
