import { defineConfig } from 'vitest/config';
import base from './vitest.config.js';

/** Long suites: whole training runs. One file at a time, since they use every core. (mergeConfig would add to `include`.) */
export default defineConfig({
  ...base,
  test: { include: ['test/slow/*.test.ts'], fileParallelism: false, testTimeout: 3_600_000, hookTimeout: 3_600_000 },
});
