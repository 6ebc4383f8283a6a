/** The worker of one training session or probe, which is the engine's first thread. The page terminates it when it is no longer needed. */
import { Engine } from '../../src/ops/engine.js';
import { fileOfRun } from '../../src/train/checkpoint.js';
import { train } from '../../src/train/index.js';
import { readLog } from '../../src/train/log.js';
import { type TrainSettingsInput, trainSettings } from '../../src/train/options.js';
import type { RunFile } from '../run/record.js';
import { batchesOf, shown } from './batches.js';
import { openRun } from './opfs.js';
import type { TrainerEvent, TrainerRequest } from './protocol.js';

/** The first step of a probe includes compilation; only later steps are timed. */
const PROBE_STEPS = 3;

const stop = new AbortController();
const post = (event: TrainerEvent) => postMessage(event);

async function run(id: string, threads: number): Promise<void> {
  const store = await openRun(id);
  const [meta, data] = await Promise.all([store.read('run.json'), store.read('text')]);
  if (!meta || !data) throw new Error('expected a run with its settings and text, got none: was it deleted?');
  const { settings, intervals } = JSON.parse(new TextDecoder().decode(meta)) as RunFile;
  if (!settings) throw new Error('expected a run with settings, got an uploaded model, which cannot be trained on');
  const engine = await Engine.create({ threads });
  post({ type: 'engine', info: engine.info });
  const resume = (await fileOfRun(store)) !== undefined;
  const events = train({ ...settings, ...intervals, data, engine, outDir: store, resume, signal: stop.signal });
  let done = false;
  let first = resume;
  for await (const line of events) {
    if (first) {
      const earlier = (await readLog(store)).filter(({ step }) => step < line.step).map(shown);
      post({ type: 'anew' });
      for (const lines of batchesOf(earlier)) post({ type: 'earlier', lines });
      first = false;
    }
    done = line.type === 'done';
    post({ type: 'line', line: shown(line) });
  }
  post({ type: 'ended', done });
}

async function probe(settings: TrainSettingsInput, threads: number): Promise<void> {
  const engine = await Engine.create({ threads });
  const { batchSize, blockSize } = trainSettings(settings);
  const data = Uint8Array.from({ length: 4 * (batchSize + 40) * blockSize }, (_, i) => 32 + ((i * 7919) % 89));
  let seconds = Number.POSITIVE_INFINITY;
  for await (const line of train({ ...settings, valFraction: 0.5, data, engine, stopAt: PROBE_STEPS })) {
    if (line.type === 'step' && line.step > 1) {
      seconds = Math.min(seconds, (line.tokens / line.step / line.tokens_per_sec) as number);
    }
  }
  post({ type: 'probed', secondsPerStep: seconds });
}

const failed = (error: unknown) =>
  post({ type: 'failed', message: error instanceof Error ? error.message : String(error) });

/** Takes a lock that the worker's end releases, whatever ends it. */
function hold(alive: string): void {
  const forever = () => {
    post({ type: 'alive' });
    return new Promise(() => {});
  };
  navigator.locks.request(alive, forever).catch(failed);
}

addEventListener('message', ({ data }: MessageEvent<TrainerRequest>) => {
  if (data.type === 'pause') stop.abort();
  else if (data.type === 'train') {
    hold(data.alive);
    run(data.id, data.threads).catch(failed);
  } else probe(data.settings, data.threads).catch(failed);
});
