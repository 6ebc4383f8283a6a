/** The runs known to the page, and the one that trains, kept outside of any view: training continues while views come and go. */
import { useEffect, useState } from 'preact/hooks';
import type { MetricsLine } from '../../src/train/events.js';
import { trainSettings } from '../../src/train/options.js';
import { lockName, type TrainerEvent, type TrainerRequest } from '../worker/protocol.js';
import { desk, linesOf } from './desk.js';
import type { RunEntry, RunFile, RunRecord } from './record.js';

/** `interrupted`: not saved since its last steps; `elsewhere`: another tab trains it. */
export type Phase = 'starting' | 'training' | 'pausing' | 'paused' | 'interrupted' | 'elsewhere' | 'done' | 'failed';

export interface Session {
  readonly record: RunRecord;
  phase: Phase;
  /** Human-readable description of what went wrong. */
  message?: string;
  threads?: number;
}

/** Whether its worker is running. */
export const isActive = ({ phase }: Session): boolean => ['starting', 'training', 'pausing'].includes(phase);

export interface Runs {
  readonly session: Session | undefined;
  /** Name of the run that was just left. */
  readonly left: string | undefined;
  readonly current: RunRecord | undefined;
  readonly records: readonly RunRecord[];
  /** Undefined until the list is read. */
  readonly entries: readonly RunEntry[] | undefined;
  /** Why the list could not be read. */
  readonly error: string | undefined;
}

let session: Session | undefined;
let left: string | undefined;
let worker: Worker | undefined;
let entries: readonly RunEntry[] | undefined;
let listError: string | undefined;
const opened = new Map<string, RunRecord>();
const listeners = new Set<() => void>();

let due = false;
/** Views are notified at most four times a second, and between frames: lines come far more often. */
const PAUSE_MS = 250;
function changed(now = false): void {
  const tell = () => {
    due = false;
    for (const listener of [...listeners]) listener();
  };
  if (now) tell();
  if (now || due) return;
  due = true;
  setTimeout(() => requestAnimationFrame(tell), PAUSE_MS);
}

export function useRuns(): Runs {
  const [, setCount] = useState(0);
  useEffect(() => {
    const listener = () => setCount((count) => count + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return { session, left, current: session?.record, records: [...opened.values()], entries, error: listError };
}

// Other tabs may create and delete runs too. What cannot be read now, as another tab is deleting it, is not there the next time.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && entries) return seen().catch(() => undefined);
});

/** Shows what other tabs have done since this one was last seen. */
async function seen(): Promise<void> {
  const list = await refresh();
  const shown = session;
  if (!shown || isActive(shown) || listError) return;
  const { id } = shown.record;
  if (list.some((entry) => entry.id === id)) {
    await renew(shown.record);
    await settle(shown);
  } else {
    opened.delete(id);
    await leave();
    left = undefined;
  }
}

export async function refresh(): Promise<readonly RunEntry[]> {
  let found: readonly RunEntry[] = [];
  try {
    found = await desk('list', []);
    listError = undefined;
  } catch (error) {
    listError = `This browser keeps no files for this page (${(error as Error).message}). Private windows may not.`;
  }
  entries = found;
  changed(true);
  return found;
}

/** Returns the record of a listed run, with its log as it is now: another tab may have trained it. */
export async function open(entry: RunFile): Promise<RunRecord> {
  const known = opened.get(entry.id);
  if (known) {
    await renew(known);
    return known;
  }
  const settings = entry.settings && trainSettings(entry.settings);
  const record = { id: entry.id, name: entry.name, settings, lines: await linesOf(entry.id) };
  // Another call may have been sooner; a run has one record.
  const first = opened.get(entry.id);
  if (!first) opened.set(entry.id, record);
  return first ?? record;
}

/** Reads the log of a run again, unless this tab trains it. */
async function renew(record: RunRecord): Promise<void> {
  const isOwn = () => session?.record === record && isActive(session);
  if (isOwn()) return;
  const lines = await linesOf(record.id);
  if (!isOwn()) replace(record.lines, lines);
}

/** The step of the last save; 0 where there is none. */
export const savedStep = ({ lines }: RunRecord): number =>
  lines.findLast(({ type }) => type === 'checkpoint')?.step ?? 0;

/** The phase of a run that no worker trains, according to its log. */
function standing(record: RunRecord): Phase {
  if (record.lines.at(-1)?.type === 'done') return 'done';
  const step = record.lines.findLast(({ type }) => type === 'step')?.step ?? 0;
  return savedStep(record) === step ? 'paused' : 'interrupted';
}

/** Shows a run that does not train in this tab. */
export async function show(entry: RunEntry): Promise<void> {
  const record = await open(entry);
  if (session?.record === record) return settle(session);
  await leave();
  left = undefined;
  const mine: Session = { record, phase: standing(record) };
  session = mine;
  void desk('setCurrent', [entry.id]).catch(() => undefined);
  await settle(mine);
}

/** Sets the phase of a run that does not train in this tab, after its log was read: as the log says, or that another tab trains it. */
async function settle(mine: Session): Promise<void> {
  const { record } = mine;
  const name = lockName(record.id);
  const { held } = await navigator.locks.query();
  if (isActive(mine) || mine.phase === 'elsewhere' || mine.phase === 'failed') return;
  mine.phase = standing(record);
  if (held?.some((lock) => lock.name === name)) {
    mine.phase = 'elsewhere';
    void navigator.locks.request(name, async () => {
      await renew(record);
      if (mine.phase === 'elsewhere') mine.phase = standing(record);
      changed(true);
    });
  }
  changed(true);
}

/** Restores the list and the shown run after a reload. */
export async function restore(): Promise<void> {
  if (entries) return;
  const [current, list] = await Promise.all([desk('current', []).catch(() => ''), refresh()]);
  const entry = list.find(({ id }) => id === current);
  if (entry && !session) await show(entry).catch(() => undefined);
}

export async function begin(file: RunFile, text: Uint8Array, threads: number): Promise<void> {
  await leave();
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', text as Uint8Array<ArrayBuffer>));
  const digest = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  await desk('create', [{ ...file, digest }, text]);
  const record: RunRecord = { id: file.id, name: file.name, settings: trainSettings(file.settings!), lines: [] };
  opened.set(file.id, record);
  await desk('setCurrent', [file.id]);
  session = { record, phase: 'starting' };
  left = undefined;
  resume(threads);
  void refresh();
}

/** Continues training the session's run from its last save, or from the beginning. */
export function resume(threads: number): void {
  const mine = session!;
  mine.phase = 'starting';
  mine.message = undefined;
  const started = new Worker(new URL('../worker/trainer.ts', import.meta.url), { type: 'module' });
  const alive = `octavo-alive-${crypto.randomUUID()}`;
  worker = started;
  const end = (phase: Phase, message?: string) => {
    if (worker !== started) return;
    started.terminate();
    worker = undefined;
    Object.assign(mine, { phase, message });
    changed(true);
    void refresh();
  };
  /** Called once the worker has ended although it was not told to. */
  const gone = () =>
    end(
      'failed',
      'The training worker was ended by the browser, perhaps for want of memory. Resume goes on from the last save.',
    );
  started.onmessage = ({ data }: MessageEvent<TrainerEvent>) => {
    if (worker !== started) return;
    if (data.type === 'alive') void navigator.locks.request(alive, gone);
    else if (data.type === 'engine') mine.threads = data.info.threads;
    else if (data.type === 'anew') mine.record.lines.length = 0;
    else if (data.type === 'earlier') mine.record.lines.push(...data.lines);
    else if (data.type === 'line') {
      mine.record.lines.push(data.line);
      if (mine.phase === 'starting') mine.phase = 'training';
      changed();
    } else if (data.type === 'ended') end(data.done ? 'done' : 'paused');
    else if (data.type === 'failed') end('failed', data.message);
  };
  started.onerror = ({ message }) => end('failed', message || 'the training worker could not be started');
  started.postMessage({ type: 'train', id: mine.record.id, threads, alive } satisfies TrainerRequest);
  changed(true);
}

function replace(lines: MetricsLine[], others: readonly MetricsLine[]): void {
  lines.length = 0;
  for (const line of others) lines.push(line);
}

export function pause(): void {
  if (!session || !worker) return;
  session.phase = 'pausing';
  worker.postMessage({ type: 'pause' } satisfies TrainerRequest);
  changed(true);
}

/** Saves the run, then leaves it, so that no run is shown. */
export async function leave(): Promise<void> {
  if (worker) {
    pause();
    await new Promise<void>((resolve) => {
      const listener = () => {
        if (worker) return;
        listeners.delete(listener);
        resolve();
      };
      listeners.add(listener);
    });
  }
  left = session?.record.name;
  session = undefined;
  void desk('setCurrent', ['']).catch(() => undefined);
  changed(true);
}

export async function rename(id: string, name: string): Promise<void> {
  await desk('rename', [id, name]);
  const record = opened.get(id);
  if (record) Object.assign(record, { name });
  await refresh();
}

export async function remove(id: string): Promise<void> {
  const isShown = session?.record.id === id;
  if (session && isShown && isActive(session)) await leave();
  await desk('remove', [id]);
  opened.delete(id);
  if (isShown) {
    await leave();
    left = undefined;
  }
  await refresh();
}
