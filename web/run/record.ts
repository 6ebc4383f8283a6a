/** What a view gets of a run, and what is kept of it beside its log. */
import type { MetricsLine } from '../../src/train/events.js';
import type { Intervals, TrainSettings, TrainSettingsInput } from '../../src/train/options.js';

export interface RunRecord {
  readonly id: string;
  readonly name: string;
  /** None for a model that was uploaded: it has no run here. */
  readonly settings: TrainSettings | undefined;
  /** In the order of the log. While the run trains the array grows in place, and its view is rendered again a few times a second. */
  readonly lines: MetricsLine[];
}

/** `run.json` in a run's folder. */
export interface RunFile {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** What the text is, for people; its bytes are in `text`. */
  readonly text: string;
  readonly settings?: TrainSettingsInput;
  readonly intervals?: Partial<Intervals>;
}

/** A run in the list. */
export interface RunEntry extends RunFile {
  readonly step: number;
  readonly loss: number | undefined;
  readonly done: boolean;
  /** Of all its files. */
  readonly bytes: number;
  readonly hasModel: boolean;
}
