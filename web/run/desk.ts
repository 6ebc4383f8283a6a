/** The page's end of worker/desk.ts: calls as promises. The worker is started with the first. */
import type { Desk, DeskReply, DeskRequest, GeneratedPiece } from '../worker/protocol.js';

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
  piece?: (piece: GeneratedPiece) => void;
}

let worker: Worker | undefined;
let calls = 0;
const waiting = new Map<number, Waiting>();

function start(): Worker {
  const started = new Worker(new URL('../worker/desk.ts', import.meta.url), { type: 'module' });
  started.onmessage = ({ data }: MessageEvent<DeskReply>) => {
    const call = waiting.get(data.call);
    if (!call) return;
    if ('piece' in data) return call.piece?.(data.piece);
    waiting.delete(data.call);
    if ('error' in data) call.reject(new Error(data.error));
    else call.resolve(data.result);
  };
  started.onerror = ({ message }) => stopDesk(message || 'a part of the page could not be started; reload it');
  return started;
}

/** Ends what the desk is doing. The next call starts it anew. */
export function stopDesk(reason: string): void {
  worker?.terminate();
  worker = undefined;
  for (const { reject } of waiting.values()) reject(new Error(reason));
  waiting.clear();
}

export function desk<Name extends keyof Desk>(
  name: Name,
  args: Parameters<Desk[Name]>,
  piece?: (piece: GeneratedPiece) => void,
): Promise<ReturnType<Desk[Name]>> {
  worker ??= start();
  const call = ++calls;
  worker.postMessage({ call, name, args } as unknown as DeskRequest);
  return new Promise((resolve, reject) => waiting.set(call, { resolve: resolve as Waiting['resolve'], reject, piece }));
}
