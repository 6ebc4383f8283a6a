/** onnxruntime-web on its WebAssembly provider, float32. */
import { createRequire } from 'node:module';
import { matMul } from './onnxruntime.mjs';

const OPTIONS = { executionProviders: ['wasm'] };

export const includes = 'copies A into its memory and C out of it; B is constant and packed beforehand';

export async function open(threads) {
  const ort = createRequire(import.meta.url)('onnxruntime-web');
  ort.env.wasm.numThreads = threads;
  await start(ort);
  return {
    name: `onnxruntime-web ${ort.env.versions.web}`,
    gemm: async (product) => [{ form: 'float32', ...(await matMul(ort, OPTIONS, product)) }],
  };
}

/** Starts its threads by creating the first model. In Node this leaves a global Worker, which jax-js would mistake for a browser's. */
async function start(ort) {
  const one = new Float32Array(1);
  const { run, close } = await matMul(ort, OPTIONS, { m: 1, n: 1, k: 1, a: one, b: one });
  await run();
  await close();
  delete globalThis.Worker;
}
