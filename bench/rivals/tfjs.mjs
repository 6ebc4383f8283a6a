/** TensorFlow.js on its WebAssembly backend (XNNPACK), float32. In Node it has one thread. */
import { createRequire } from 'node:module';

export const includes = 'A, B and C in its memory';

export async function open() {
  const require = createRequire(import.meta.url);
  const tf = require('@tensorflow/tfjs-core');
  const { getThreadsCount, version_wasm } = require('@tensorflow/tfjs-backend-wasm');
  await tf.setBackend('wasm');
  return {
    name: `tfjs-backend-wasm ${version_wasm}`,
    threads: getThreadsCount(),
    // Not with B transposed, which is 5 times slower (512^3: 2.8 and 15 GFLOP/s on a busy machine).
    gemm: ({ m, n, k, a, b }) => {
      const [x, y] = [tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n])];
      let last;
      return [
        {
          form: 'float32',
          sync: true,
          run: () => {
            last?.dispose();
            last = tf.matMul(x, y);
            return last;
          },
          read: (c) => c.dataSync(),
          close: () => tf.dispose([x, y, last]),
        },
      ];
    },
  };
}
