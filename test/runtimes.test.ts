/** The library in other runtimes: the same codes from `octavo/formats`, the same products, kernels that `octavo verify` finds nothing wrong with. */
import { describe, expect, it } from 'vitest';
import type { InitOptions } from '../src/index.js';
import { type Conformance, conformIn, conformInChromium, PROGRAMS } from './helpers/runtimes.js';

const TIMEOUT = 180_000;
/** The strict build on one thread, in Node: what every other engine must give. */
const strict = conformIn('node', [{ build: 'simd', threads: 1 }]);
const ENGINES: InitOptions[] = [{ threads: 1 }, { threads: 2 }];

async function expectConformance({ formats, engines }: Conformance, threads: number[]): Promise<void> {
  const expected = await strict;
  expect(formats).toBe(expected.formats);
  expect(engines.map(({ info }) => info.threads)).toEqual(threads);
  for (const { checks, mismatches, products } of engines) {
    expect(mismatches).toEqual([]);
    expect(checks).toBeGreaterThan(300);
    expect(products).toBe(expected.engines[0].products);
  }
}

it.each(PROGRAMS.filter((program) => program !== 'node 26'))(
  '%s',
  async (program) => {
    const result = await conformIn(program, ENGINES);
    await expectConformance(result, [1, 2]);
    expect(result.engines[0].info.runtime).toMatch(new RegExp(`^${program} `));
  },
  TIMEOUT,
);

it(
  'node 26, with turbo',
  async () => {
    const result = await conformIn('node 26', [
      { threads: 1, turbo: true },
      { threads: 2, turbo: true },
    ]);
    await expectConformance(result, [1, 2]);
    for (const { info } of result.engines) {
      expect(info).toMatchObject({ turbo: true, build: 'relaxed', runtime: expect.stringMatching(/^node 26/) });
    }
  },
  TIMEOUT,
);

describe('chromium', () => {
  it(
    'on an isolated page, with threads',
    async () => {
      const result = await conformInChromium(true, ENGINES);
      await expectConformance(result, [1, 2]);
      expect(result.engines[0].info).toMatchObject({ build: 'relaxed', runtime: expect.stringContaining('Chrome') });
    },
    TIMEOUT,
  );

  it(
    'on a page that may not share memory, on one thread',
    async () => expectConformance(await conformInChromium(false, [{}]), [1]),
    TIMEOUT,
  );
});
