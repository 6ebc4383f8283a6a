/** The messages between the page and its workers. */
import type { EngineInfo } from '../../src/engine/runtime.js';
import type { ReportInput } from '../../src/report/index.js';
import type { MetricsLine } from '../../src/train/events.js';
import type { SampleOptions } from '../../src/train/index.js';
import type { TrainSettingsInput } from '../../src/train/options.js';
import type { RunEntry, RunFile } from '../run/record.js';

/** Name of the lock (Web Locks) held by the writer of a run, in any tab. */
export const lockName = (id: string): string => `octavo-run-${id}`;

/** Messages to the worker of one training session or probe. While it lives, the worker of a session holds the lock `alive`, a name of its own. */
export type TrainerRequest =
  | { readonly type: 'train'; readonly id: string; readonly threads: number; readonly alive: string }
  | { readonly type: 'probe'; readonly settings: TrainSettingsInput; readonly threads: number }
  | { readonly type: 'pause' };

export type TrainerEvent =
  /** Holds its lock `alive`. */
  | { readonly type: 'alive' }
  | { readonly type: 'engine'; readonly info: EngineInfo }
  /** Log lines from before this session of a resumed run, in batches. */
  | { readonly type: 'earlier'; readonly lines: MetricsLine[] }
  /** Precedes the earlier lines: discard what the page has, which may be from steps that are done again. */
  | { readonly type: 'anew' }
  | { readonly type: 'line'; readonly line: MetricsLine }
  /** Ended normally: the schedule is done, or the state is saved. */
  | { readonly type: 'ended'; readonly done: boolean }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'probed'; readonly secondsPerStep: number };

/** A piece of generated text, with the tokens that the model found most likely in its place. */
export interface GeneratedPiece {
  readonly text: string;
  readonly probability: number;
  readonly likeliest: readonly { readonly text: string; readonly probability: number }[];
}

/** The calls that the desk answers: files, and text from a model. */
export interface Desk {
  list(): RunEntry[];
  /** The id of the run that a reload will show, empty for none. */
  current(): string;
  setCurrent(id: string): void;
  create(run: RunFile, text: Uint8Array): void;
  /** The log; answered in pieces. */
  lines(id: string): void;
  /** The text that a run trains on. */
  text(id: string): Uint8Array;
  rename(id: string, name: string): void;
  remove(id: string): void;
  /** The model as a Hugging Face folder. */
  download(id: string): Blob;
  /** The input for the report of a run. */
  reportInput(id: string): ReportInput;
  upload(name: string, zip: Blob): RunEntry;
  /** The concatenated bytes of files, which must be text. */
  readText(files: File[]): Uint8Array;
  /** Answered in pieces. */
  generate(id: string, prompt: string, options: SampleOptions): void;
}

/** The pieces sent before the final reply, for calls answered in pieces. */
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
