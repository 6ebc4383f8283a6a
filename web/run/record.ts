/** What a view gets of a run. */
import type { MetricsLine } from '../../src/train/events.js';
import type { TrainSettings } from '../../src/train/options.js';

export interface RunRecord {
  readonly id: string;
  readonly name: string;
  /** None for a model that was uploaded: it has no run here. */
  readonly settings: TrainSettings | undefined;
  /** In the order of the log. While the run trains the array grows in place, and its view is rendered again a few times a second. */
  readonly lines: MetricsLine[];
}
