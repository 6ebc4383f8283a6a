/** The runs that the page knows, as an external store that views subscribe to. */
import type { RunRecord } from './record.js';

export interface Runs {
  readonly current: RunRecord | undefined;
  readonly records: readonly RunRecord[];
}

export const useRuns = (): Runs => ({ current: undefined, records: [] });
