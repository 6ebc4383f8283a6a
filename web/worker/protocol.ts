/** What the page and its workers say to each other. */
import type { EngineInfo } from '../../src/engine/runtime.js';
import type { ReportInput } from '../../src/report/index.js';
import type { MetricsLine } from '../../src/train/events.js';
import type { SampleOptions } from '../../src/train/index.js';
import type { TrainSettingsInput } from '../../src/train/options.js';
import type { RunEntry, RunFile } from '../run/record.js';

/** The lock (Web Locks) of who writes to a run, in any tab. */
export const lockName = (id: string): string => `octavo-run-${id}`;

/** To the worker of one training session, or of a probe. */
export type TrainerRequest =
  | { readonly type: 'train'; readonly id: string; readonly threads: number }
  | { readonly type: 'probe'; readonly settings: TrainSettingsInput; readonly threads: number }
  | { readonly type: 'pause' };

export type TrainerEvent =
  | { readonly type: 'engine'; readonly info: EngineInfo }
  /** Lines of the log from before this session: a resumed run's, in batches. */
  | { readonly type: 'earlier'; readonly lines: MetricsLine[] }
  /** Comes before them: what the page has may be of steps that are done again. */
  | { readonly type: 'anew' }
  | { readonly type: 'line'; readonly line: MetricsLine }
  /** Ended in order: the schedule is done, or the state is saved. */
  | { readonly type: 'ended'; readonly done: boolean }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'probed'; readonly secondsPerStep: number };

/** A piece of generated text, and the tokens that the model gave the best chances at its place. */
export interface GeneratedPiece {
  readonly text: string;
  readonly probability: number;
  readonly likeliest: readonly { readonly text: string; readonly probability: number }[];
}

/** What the desk does: files, and text from a model. */
export interface Desk {
  list(): RunEntry[];
  /** The id of the run that a reload shows again, empty for none. */
  current(): string;
  setCurrent(id: string): void;
  create(run: RunFile, text: Uint8Array): void;
  /** The log, in pieces. */
  lines(id: string): void;
  /** What a run trains on. */
  text(id: string): Uint8Array;
  rename(id: string, name: string): void;
  remove(id: string): void;
  /** The model as a Hugging Face folder. */
  download(id: string): Blob;
  /** What the report of a run is made of. */
  reportInput(id: string): ReportInput;
  upload(name: string, zip: Blob): RunEntry;
  /** Bytes of files that are text, one after the other. */
  readText(files: File[]): Uint8Array;
  /** In pieces. */
  generate(id: string, prompt: string, options: SampleOptions): void;
}

/** What is answered before the end, of calls that are answered in pieces. */
export interface Pieces {
  lines: MetricsLine[];
  generate: GeneratedPiece;
}

export type DeskCall = { [Name in keyof Desk]: { name: Name; args: Parameters<Desk[Name]> } }[keyof Desk];
export type DeskRequest = { readonly call: number } & DeskCall;
export type DeskReply =
  | { readonly call: number; readonly result: unknown }
  | { readonly call: number; readonly piece: Pieces[keyof Pieces] }
  | { readonly call: number; readonly error: string };
