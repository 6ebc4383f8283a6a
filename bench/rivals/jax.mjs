/** jax-js on its WebAssembly backend, float32, compiled by its jit. In Node it has one thread. */
import { readFileSync } from 'node:fs';

export const includes = 'A, B and C in its memory';

const { version } = JSON.parse(readFileSync(new URL('node_modules/@jax-js/jax/package.json', import.meta.url), 'utf8'));
export const NAME = `jax-js ${version}`;

export async function load() {
  const jax = await import('@jax-js/jax');
  await jax.init('wasm');
  jax.defaultDevice('wasm');
  return jax;
}

export async function open() {
  const jax = await load();
  const np = jax.numpy;
  const plain = jax.jit((x, y) => np.matmul(x, y));
  const transposed = jax.jit((x, y) => np.matmul(x, y.transpose()));
  return {
    name: NAME,
    threads: 1,
    // Which of the two is faster depends on the shape.
    gemm: ({ m, n, k, a, b }) => [
      product(plain, np.array(a, { shape: [m, k] }), np.array(b, { shape: [k, n] }), 'float32, A B'),
      product(
        transposed,
        np.array(a, { shape: [m, k] }),
        np.array(transpose(b, k, n), { shape: [n, k] }),
        'float32, A B^T',
      ),
    ],
  };
}

function product(multiply, x, y, form) {
  let last;
  return {
    form,
    run: () => {
      last?.dispose();
      // Passing an array consumes it; .ref adds another owner.
      last = multiply(x.ref, y.ref);
      return last.blockUntilReady();
    },
    read: (c) => c.ref.dataSync(),
    close: () => {
      for (const each of [x, y, last]) each?.dispose();
    },
  };
}

/** Transposes a rows x columns matrix, in blocks that stay in the cache. */
function transpose(values, rows, columns) {
  const out = new Float32Array(values.length);
  for (let i0 = 0; i0 < rows; i0 += 32)
    for (let j = 0; j < columns; j++)
      for (let i = i0; i < Math.min(rows, i0 + 32); i++) out[j * rows + i] = values[i * columns + j];
  return out;
}
