/**
 * What the engine is compared with, as installed packages. A rival is a file with `includes`, which says what a run does beside the
 * arithmetic, and `open(threads)`, which gives
 *
 *   name     with its version
 *   threads  where they are not those asked for
 *   gemm({ m, n, k, a, b })  contenders for C = A B in float32; a (M x K) and b (K x N) row by row
 *   casts, encode(values, dtype), decode(codes, dtype)  the formats it knows, and a contender for either direction
 *
 * and a contender { form, sync, run, read, close }: `run` gives a promise unless it is `sync`, and `read` the numbers of its result.
 */
const FILES = [
  () => import('./onnxruntime-web.mjs'),
  () => import('./tfjs.mjs'),
  () => import('./jax.mjs'),
  () => import('./onnxruntime-node.mjs'),
];

export async function openRivals(threads) {
  const rivals = [];
  for (const load of FILES) {
    const { open, includes } = await load();
    const rival = await open(threads);
    rivals.push({ includes, threads, ...rival });
  }
  return rivals;
}
