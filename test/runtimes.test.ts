/** The library in other runtimes: the same codes from `octavo/formats`, and kernels that `octavo verify` finds nothing wrong with. */
import { describe, expect, it } from 'vitest';
import { type Conformance, conformIn, conformInChromium, PROGRAMS } from './helpers/runtimes.js';

const TIMEOUT = 180_000;
/** Of octavo/formats in Node: what every other runtime must give. */
const formats = conformIn('node').then((result) => result.formats);

function expectConformance({ engines }: Conformance, threads: number[]): void {
  expect(engines.map(({ info }) => info.threads)).toEqual(threads);
  for (const { checks, mismatches } of engines) {
    expect(mismatches).toEqual([]);
    expect(checks).toBeGreaterThan(300);
  }
}

it.each(PROGRAMS)(
  '%s',
  async (program) => {
    const result = await conformIn(program);
    expect(result.formats).toBe(await formats);
    expectConformance(result, [1, 2]);
    expect(result.engines[0].info.runtime).toMatch(new RegExp(`^${program} `));
  },
  TIMEOUT,
);

describe('chromium', () => {
  it(
    'on an isolated page, with threads',
    async () => {
      const result = await conformInChromium(true, [1, 2]);
      expect(result.formats).toBe(await formats);
      expectConformance(result, [1, 2]);
      expect(result.engines[0].info).toMatchObject({ build: 'relaxed', runtime: expect.stringContaining('Chrome') });
    },
    TIMEOUT,
  );

  it(
    'on a page that may not share memory, on one thread',
    async () => expectConformance(await conformInChromium(false, [null]), [1]),
    TIMEOUT,
  );
});
