/**
 * Checks contenders first, then times them. A case is a list of contenders for the same work; each is a Benchmark of Benchmark.js. They run in
 * rounds, one after the other, so that what slows the machine for a while slows all of them.
 *
 *   name      for the table
 *   amount    work per run, in units of `unit`: 'FLOP', 'B' (bytes read and written) or 'token'
 *   limit     what bounds it: { kind: 'exact' | 'rounded' | 'copy', amount }, in operations or bytes; see ceiling.mjs
 *   run       the work; what it allocates in the engine is freed afterwards
 *   deferred  run returns a promise, and allocates nothing in the engine
 *   seen      the part of a run's result to compare: { label: typed array, number or string }
 *   expected  the same from another source: equal bit for bit, or { near, within }
 *   detail    description for readers of the figures: { rival, recipe, ... }
 *   close     frees what else it holds; may return more for the figures, such as { peakBytes }
 *
 * All may return promises, except `run` if the contender is not deferred.
 */
import Benchmark from 'benchmark';

/** Like engine.scoped, for asynchronous work. */
export async function scoped(engine, work) {
  const mark = engine.arena.mark();
  try {
    return await work();
  } finally {
    engine.arena.release(mark, []);
  }
}

/** Runs a contender once and throws unless its result is right. */
export function check(engine, contender) {
  return scoped(engine, async () => {
    compare(contender.name, await contender.seen(await contender.run()), await contender.expected());
  });
}

function compare(name, seen, expected) {
  for (const [label, wanted] of Object.entries(expected)) {
    const found = difference(seen[label], wanted);
    if (found) throw new Error(`${name}: wrong result, not timed. ${label}: ${found}`);
  }
}

/** Describes the difference; '' if there is none. Each comparison is written so that NaN fails it. */
function difference(seen, wanted) {
  if (ArrayBuffer.isView(wanted)) return differenceOfArrays(seen, wanted);
  if (typeof wanted !== 'object') return Object.is(seen, wanted) ? '' : `${seen}, not ${wanted}`;
  const { near, within } = wanted;
  return Math.abs(seen - near) <= within ? '' : `${seen}, not ${near} within ${within}`;
}

function differenceOfArrays(seen, wanted) {
  if (seen?.constructor !== wanted.constructor) return `${seen?.constructor.name}, not ${wanted.constructor.name}`;
  if (seen.length !== wanted.length) return `${seen.length} elements, not ${wanted.length}`;
  const bad = wanted.findIndex((value, i) => !Object.is(seen[i], value));
  return bad < 0 ? '' : `[${bad}] is ${seen[bad]}, not ${wanted[bad]}`;
}

/** Seconds per run: for each contender one figure per round, the median of that round's samples. */
export async function measure(engine, contenders, { rounds, seconds }) {
  const benchmarks = contenders.map((contender) => benchmarkOf(engine, contender, seconds));
  const times = contenders.map(() => []);
  // Round 0 is warm-up: V8 compiles hot wasm a second time.
  for (let round = 0; round <= rounds; round++) {
    for (let i = 0; i < benchmarks.length; i++) {
      // Start with another contender in each round, because what ran before determines the contents of the caches.
      const which = (round + i) % benchmarks.length;
      const { benchmark, failed } = benchmarks[which];
      await completed(benchmark);
      // Benchmark.js catches what the contender throws, and does not know promises.
      const error = benchmark.error ?? failed();
      if (error) throw error;
      if (round > 0) times[which].push(quantile(benchmark.stats.sample, 0.5));
      // The number of runs per sample was determined in the last round.
      benchmark.initCount = benchmark.count;
    }
  }
  return times;
}

function benchmarkOf(engine, { name, run, deferred }, seconds) {
  // A sample takes half of a measurement's time: the clock is far finer than that, and there are two samples to choose from.
  const options = { minSamples: 1, minTime: seconds / 2, maxTime: seconds };
  if (!deferred) {
    return { benchmark: new Benchmark(name, () => engine.scoped(run), options), failed: () => undefined };
  }
  let failure;
  const timed = async (deferral) => {
    try {
      await run();
    } catch (error) {
      failure ??= error;
    }
    deferral.resolve();
  };
  return { benchmark: new Benchmark(name, { ...options, defer: true, fn: timed }), failed: () => failure };
}

const completed = (benchmark) =>
  new Promise((resolve) => {
    benchmark.off('complete').on('complete', resolve).run();
  });

/** Interpolates linearly between the two nearest values. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.ceil(at)] - sorted[low]);
}

/** Median over the rounds of the ratio between two contenders in the same round. */
const paired = (times, others, ratio) =>
  quantile(
    times.map((time, round) => ratio(time, others[round])),
    0.5,
  );

/**
 * Checks and times a case. `ceilings` maps kinds of limits to the contenders that show them, which run in the same rounds. rate: work per second.
 * spread: interquartile range over the median. speed: relative to the first contender.
 */
export async function runCase(engine, contenders, ceilings, options) {
  const bounds = [...new Set(ceilings.values())];
  const all = [...contenders, ...bounds];
  const more = new Map();
  let times;
  try {
    for (const contender of all) await check(engine, contender);
    times = await measure(engine, all, options);
  } finally {
    for (const contender of all) more.set(contender, await contender.close?.());
  }
  const rows = contenders.map((contender, i) => {
    const { limit } = contender;
    const bound = ceilings.get(limit.kind);
    const reach = (time, other) => limit.amount / time / (bound.amount / other);
    return {
      ...row(contender, times[i]),
      speed: paired(times[i], times[0], (time, first) => first / time),
      ceiling: bound.name,
      ofCeiling: paired(times[i], times[contenders.length + bounds.indexOf(bound)], reach),
      ...more.get(contender),
    };
  });
  return { rows, ceilings: bounds.map((bound, i) => row(bound, times[contenders.length + i])) };
}

function row({ name, amount, unit, detail }, times) {
  const median = quantile(times, 0.5);
  const spread = (quantile(times, 0.75) - quantile(times, 0.25)) / median;
  return { name, ...detail, unit, rate: amount / median, spread, seconds: median, rounds: times };
}
