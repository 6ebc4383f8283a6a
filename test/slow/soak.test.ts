/** An hour of training, and ten thousand engines: memory and speed stay as they are. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { type Engine, init, type Tensor } from '../../src/index.js';
import { train } from '../../src/train/index.js';
import { MOBY, memoryStore } from '../helpers/training.js';

const MINUTES = 60;
const demo = JSON.parse(readFileSync(new URL('../../scripts/demo.json', import.meta.url), 'utf8'));

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Slope of the line through the points, by least squares. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean(([at]) => at), mean(([, value]) => value)];
  return mean(([at, value]) => (at - x) * (value - y)) / mean(([at]) => (at - x) ** 2);
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1];

function memory(): number {
  collectGarbage();
  return process.memoryUsage().rss;
}

/**
 * Processor time of a piece of work that never changes, in microseconds: what tokens/s are measured against, since other programs slow a
 * machine by what they leave of its caches and its clock. (An hour whose second half had the machine full ended at 0.893 without.)
 */
function yardstick(engine: Engine, x: Tensor): number {
  const before = process.cpuUsage().user;
  engine.scope(() => {
    for (let i = 0; i < 20; i++) engine.free(engine.matmul(x, x, { transposeB: true }));
  });
  return process.cpuUsage().user - before;
}

it(
  `${MINUTES} minutes of training: memory, and tokens per second against a piece of work that never changes, are flat`,
  async () => {
    const engine = await init({ threads: 1 });
    const x = engine.quantize(new Float32Array(256 * 256).fill(1), [256, 256], { dtype: 'float8_e4m3fn' });
    const data = new Uint8Array(readFileSync(MOBY));
    const began = performance.now();
    const minutes = () => (performance.now() - began) / 60_000;
    // Small enough for hundreds of steps a minute, with everything a run does: evaluations, samples, checkpoints.
    const settings = { ...demo, batchSize: 1, blockSize: 128, steps: 10_000_000 };
    const intervals = { evalInterval: 200, evalWindows: 8, sampleInterval: 500, checkpointInterval: 300 };
    const rss: [number, number][] = [];
    const speeds: number[] = [];
    const bytes = new Set<number>();
    let last = { steps: 0, cpu: process.cpuUsage().user };
    const stop = new AbortController();
    // A log in memory would grow.
    const outDir = { ...memoryStore(), append: async () => undefined };
    for await (const event of train({
      ...settings,
      ...intervals,
      data,
      engine,
      outDir,
      signal: stop.signal,
    })) {
      if (event.type !== 'step' || event.step % 200 !== 199) continue;
      const cpu = process.cpuUsage().user;
      speeds.push((((event.step - last.steps) * settings.blockSize) / (cpu - last.cpu)) * yardstick(engine, x));
      rss.push([minutes(), memory()]);
      bytes.add(engine.arena.bytesInUse);
      last = { steps: event.step, cpu: process.cpuUsage().user };
      if (minutes() >= MINUTES) stop.abort();
    }
    engine.dispose();
    // The first tenth warms up: code is compiled again, and the heap finds its size.
    const [steady, steadySpeeds] = [rss.slice(rss.length / 10), speeds.slice(speeds.length / 10)];
    const perHour = slope(steady) * 60;
    const half = steadySpeeds.length >> 1;
    const ratio = median(steadySpeeds.slice(half)) / median(steadySpeeds.slice(0, half));
    const level = median(steady.map(([, value]) => value));
    console.log(
      `${last.steps} steps; resident ${(level / 1e6).toFixed(0)} MB, ${(perHour / 1e6).toFixed(2)} MB an hour; speed of the second half against the first ${ratio.toFixed(3)}`,
    );
    expect(bytes.size).toBe(1);
    expect(Math.abs(perHour)).toBeLessThan(0.02 * level);
    expect(ratio).toBeGreaterThan(0.9);
    expect(ratio).toBeLessThan(1.1);
  },
  (MINUTES + 10) * 60_000,
);

it.each([
  [1, 10_000],
  [3, 500],
])('engines of %i threads, %i times made and closed, leave nothing', async (threads, times) => {
  const cycle = async () => {
    const engine = await init({ threads });
    engine.encode([1, 2, 3], { dtype: 'float8_e4m3fn' });
    engine.dispose();
  };
  const threadsNow = () => Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
  const resources = () => process.getActiveResourcesInfo().length;
  for (let i = 0; i < times / 10; i++) await cycle();
  // Workers end after dispose has told them to.
  const settle = () => new Promise((resolve) => setTimeout(resolve, 1000));
  await settle();
  const before = { threads: threadsNow(), resources: resources(), rss: memory() };
  for (let i = 0; i < times; i++) await cycle();
  await settle();
  const grown = memory() - before.rss;
  console.log(
    `${threads} threads, ${times} engines: ${(grown / 1e6).toFixed(1)} MB more, ${threadsNow() - before.threads} threads more`,
  );
  expect(threadsNow()).toBeLessThanOrEqual(before.threads);
  expect(resources()).toBeLessThanOrEqual(before.resources + 1);
  // 4 KiB an engine would be 40 MB.
  expect(grown).toBeLessThan(20e6);
});
