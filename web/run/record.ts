/** What a view receives about a run, and what is stored of it besides its log. */
import type { MetricsLine } from '../../src/train/events.js';
import type { Intervals, TrainSettings, TrainSettingsInput } from '../../src/train/options.js';

export interface RunRecord {
  readonly id: string;
  readonly name: string;
  /** Undefined for an uploaded model, which has no run here. */
  readonly settings: TrainSettings | undefined;
  /** In log order. While the run trains the array grows in place, and views of it are rendered again a few times a second. */
  readonly lines: MetricsLine[];
}

/** `run.json` in a run's folder. */
export interface RunFile {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** Human-readable name of the text; its bytes are in the file `text`. */
  readonly text: string;
  /** SHA-256 of the text's bytes, in hex; absent from runs of older versions. */
  readonly digest?: string;
  readonly settings?: TrainSettingsInput;
  readonly intervals?: Partial<Intervals>;
}

/** A run in the list. */
export interface RunEntry extends RunFile {
  readonly step: number;
  readonly loss: number | undefined;
  readonly done: boolean;
  /** Total of all its files. */
  readonly bytes: number;
  readonly hasModel: boolean;
}
