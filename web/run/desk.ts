/** The page's side of worker/desk.ts: calls as promises. The first call starts a worker. */
import type { MetricsLine } from '../../src/train/events.js';
import type { Desk, DeskReply, DeskRequest, GeneratedPiece, Pieces } from '../worker/protocol.js';

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
  piece?: (piece: never) => void;
}

function client() {
  let worker: Worker | undefined;
  let calls = 0;
  const waiting = new Map<number, Waiting>();

  /** Terminates the worker. The next call starts another. */
  const stop = (reason: string): void => {
    worker?.terminate();
    worker = undefined;
    for (const { reject } of waiting.values()) reject(new Error(reason));
    waiting.clear();
  };

  const start = (): Worker => {
    const started = new Worker(new URL('../worker/desk.ts', import.meta.url), { type: 'module' });
    started.onmessage = ({ data }: MessageEvent<DeskReply>) => {
      const call = waiting.get(data.call);
      if (!call) return;
      if ('piece' in data) return call.piece?.(data.piece as never);
      waiting.delete(data.call);
      if ('error' in data) call.reject(new Error(data.error));
      else call.resolve(data.result);
    };
    started.onerror = ({ message }) => stop(message || 'a part of the page could not be started; reload it');
    return started;
  };

  const call = <Name extends keyof Desk>(
    name: Name,
    args: Parameters<Desk[Name]>,
    piece?: Name extends keyof Pieces ? (piece: Pieces[Name]) => void : undefined,
  ): Promise<ReturnType<Desk[Name]>> => {
    worker ??= start();
    const number = ++calls;
    worker.postMessage({ call: number, name, args } as unknown as DeskRequest);
    return new Promise((resolve, reject) =>
      waiting.set(number, { resolve: resolve as Waiting['resolve'], reject, piece }),
    );
  };

  return { call, stop };
}

/** Calls to the worker for files of runs. */
export const { call: desk } = client();

/** The log of a run. */
export async function linesOf(id: string): Promise<MetricsLine[]> {
  const lines: MetricsLine[] = [];
  await desk('lines', [id], (batch) => {
    for (const line of batch) lines.push(line);
  });
  return lines;
}

/** Text generation has a worker of its own, so that files remain available meanwhile and generation can be stopped. */
const writer = client();
export const generate = (args: Parameters<Desk['generate']>, piece: (piece: GeneratedPiece) => void): Promise<void> =>
  writer.call('generate', args, piece);
export const stopGenerating = (): void => writer.stop('Stopped.');
