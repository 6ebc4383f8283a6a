/** Rows of the exhaustive table, checked. */
import { expect, it } from 'vitest';
import { init } from '../../src/index.js';
import { exhaustive, type ROWS } from '../../src/verify/index.js';
import table from '../vectors/exhaustive.json' with { type: 'json' };

type Row = (typeof ROWS)[number];

/** A row's name in the table. */
export const nameOf = ({ dtype, rounding, saturate }: Row): string =>
  `${dtype} ${rounding} ${saturate ? 'saturating' : 'overflowing'}`;

export function exhaustiveSuite(rows: readonly Row[]): void {
  it.each(rows.map((row) => [nameOf(row), row] as const))(
    '%s: all 2^32 inputs, no mismatch and the digest of the table',
    async (name, row) => {
      const engine = await init();
      const finding = exhaustive(engine, row);
      engine.dispose();
      expect(finding).toMatchObject({ mismatches: 0, inputs: 2 ** 32 });
      expect(finding.digest).toBe((table.digests as Record<string, string>)[name]);
    },
  );
}
