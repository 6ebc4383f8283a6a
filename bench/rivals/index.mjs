/**
 * Installed packages that the engine is compared with. A rival is a file with `includes`, which says what a run does besides the arithmetic,
 * and `open(threads)`, which returns
 *
 *   name     including its version
 *   threads  if they are not as many as requested
 *   gemm({ m, n, k, a, b })  contenders for C = A B in float32; a (M x K) and b (K x N) row by row
 *   casts, encode(values, dtype), decode(codes, dtype)  the formats it supports, and a contender for each direction
 *
 * A contender is { form, sync, run, read, close }: `run` returns a promise unless it is `sync`, and `read` returns the numbers of its result.
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
