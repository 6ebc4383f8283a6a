import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    // Tests name sources, and run what is shipped: the compiled files, as Node loads them.
    alias: [{ find: /^(\.\.\/)+src\/(.*)$/, replacement: `${fileURLToPath(new URL('dist', import.meta.url))}/$2` }],
  },
  test: {
    include: ['test/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
