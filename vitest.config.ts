import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Suites of more than ten seconds, longest first: begun last, one would run on when all others have ended. */
const LONGEST = ['runtimes', 'web', 'verify', 'bench', 'study', 'docs', 'web-views', 'study-cli', 'memory-estimate'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return at < 0 ? LONGEST.length : at;
    };
    return files.sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  resolve: {
    // Tests name sources, and run what is shipped: the compiled files, as Node loads them.
    alias: [{ find: /^(\.\.\/)+src\/(.*)$/, replacement: `${fileURLToPath(new URL('dist', import.meta.url))}/$2` }],
  },
  test: {
    include: ['test/*.test.ts'],
    // Vitest leaves one core to itself, which needs none.
    maxWorkers: availableParallelism(),
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
