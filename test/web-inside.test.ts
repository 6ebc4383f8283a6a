/** What the view of a run's inside makes of its lines: real ones, as a run writes them, and such as come out of order. */
import { describe, expect, it } from 'vitest';
import { decodeValue, formatSpec } from '../src/formats/index.js';
import type { MetricsLine, MonitorLine, StepLine } from '../src/train/events.js';
import { trainSettings } from '../src/train/options.js';
import { alignment, channelsOf, cosineBars, dots, mostAligned, PLOT } from '../web/inside/channels.js';
import * as collect from '../web/inside/collect.js';
import { barsOf, HEIGHT, heightOf, outline, sharesOf } from '../web/inside/histogram.js';
import { thinned } from '../web/ui/points.js';
import { events, QUICK, useEngine } from './helpers/training.js';

const engine = useEngine();
const KEY = 'layers.1.down.input';

const step = (n: number, saturated = 0): StepLine => ({
  type: 'step',
  step: n,
  loss: 1,
  lr: 1,
  grad_norm: 1,
  tokens: n,
  tokens_per_sec: 1,
  elapsed_s: n,
  digest: '',
  fp8: {
    [KEY]: { amax: n, scale: 2, saturated, underflowed: 0 },
    'layers.0.o.weight': { amax: 1, scale: 1, saturated: 0, underflowed: 0 },
  },
});
const monitor = (n: number): MonitorLine => ({ type: 'monitor', step: n, tensors: {}, swiglu: {}, grad_norms: {} });

describe('lines', () => {
  it('read as they come are the lines read at once, and nothing is read twice', () => {
    const lines: MetricsLine[] = [1, 2, 3, 4, 5].flatMap((n) => [step(n), monitor(n)]);
    const growing: MetricsLine[] = [];
    let seen = collect.collected(growing);
    for (const line of lines) {
      growing.push(line);
      seen = collect.collected(growing, seen);
      expect(collect.collected(growing, seen)).toBe(seen);
    }
    expect(seen).toEqual(collect.collected(lines));
    expect(seen.health.map(({ step: at }) => at)).toEqual([1, 2, 3, 4, 5]);
  });

  it('that tell nothing of tensors leave the lists as they are', () => {
    const lines: MetricsLine[] = [step(1), monitor(1)];
    const seen = collect.collected(lines);
    lines.push({ ...step(2), fp8: undefined }, { type: 'eval', step: 2, val_loss: 1, val_bits_per_byte: 1 });
    const later = collect.collected(lines, seen);
    expect(later.read).toBe(4);
    expect(later.health).toBe(seen.health);
    expect(later.monitors).toBe(seen.monitors);
    // A step done again takes back what was recorded of it.
    lines.push({ ...step(1), fp8: undefined });
    expect(collect.collected(lines, later)).toMatchObject({ health: [], monitors: [] });
  });

  it('of steps done again replace those after them; another log is read anew', () => {
    const lines = [step(1), monitor(1), step(2), monitor(2), step(3), step(2), step(3), monitor(3)];
    const seen = collect.collected(lines);
    expect(seen.health.map(({ step: at }) => at)).toEqual([1, 2, 3]);
    expect(seen.monitors.map(({ step: at }) => at)).toEqual([1, 3]);
    const shorter = collect.collected([step(7)], seen);
    expect(shorter).toEqual(collect.collected([step(7)]));
  });

  it('columns: values by step, joined over all steps', () => {
    const seen = collect.collected([step(1), step(3)]);
    const amax = collect.healthColumn(seen, KEY, (health) => health.amax);
    expect(amax).toEqual({ steps: [1, 3], values: [1, 3] });
    expect(collect.joined([amax, { steps: [2, 3], values: [null, 9] }])).toEqual([
      [1, 2, 3],
      [1, undefined, 3],
      [undefined, null, 9],
    ]);
    expect(collect.joined([])).toEqual([[]]);
    const many = Array.from({ length: 10_001 }, (_, i) => i);
    const few = thinned(many, 100);
    expect(few.length <= 102).toBe(true);
    expect([few[0], few.at(-1)]).toEqual([0, 10_000]);
    expect(thinned(many.slice(0, 100), 100)).toHaveLength(100);
  });

  it('tensors have a layer, a linear and a role, in the order of the layers', () => {
    expect(collect.nameOf(KEY)).toEqual({ layer: 'layers.1', linear: 'down', role: 'input' });
    expect(collect.keyOf(collect.nameOf(KEY))).toBe(KEY);
    expect(collect.tensorKeys([collect.collected([step(1)])])).toEqual(['layers.0.o.weight', KEY]);
    expect(collect.tensorKeys([])).toEqual([]);
  });
});

describe('alarms', () => {
  const settings = trainSettings(QUICK);
  const seen = collect.collected([
    step(1, 0.2),
    step(2, 0.6),
    step(3, 0.3),
    { type: 'anomaly', step: 4, kind: 'loss_spike', what: 'a spike', action: 'skip', next: 4 },
  ]);

  it('are those of the guard, name the tensor and the step, and list what it refused', () => {
    const found = collect.alarms(seen, settings, settings);
    expect(found.map(({ step: at }) => at)).toEqual([4, 2]);
    expect(found[1].what).toBe(`step 2: expected at most 50.00 % of ${KEY} saturated, got 60.00 %`);
  });

  it('come earlier with narrower bounds: the last of each tensor', () => {
    const found = collect.alarms(seen, settings, { maxSaturated: 0.1, maxUnderflowed: 1 });
    expect(found.map(({ step: at }) => at)).toEqual([4, 3]);
    expect(collect.alarms(collect.collected([step(1)]), settings, settings)).toEqual([]);
  });
});

describe('a real run', () => {
  it('its codes as bars and shares, its channels as bars and dots', async () => {
    const lines = await events({ ...QUICK, steps: 4, monitorInterval: 2, engine: engine() });
    const seen = collect.collected(lines);
    const last = seen.monitors.at(-1)!;
    expect(collect.tensorKeys([seen])).toHaveLength(24);
    expect(collect.monitorColumn(seen, KEY, 'sqnr_db').values).toEqual(
      seen.monitors.map((line) => line.tensors[KEY].sqnr_db),
    );
    for (const { dtype, codes } of Object.values(last.tensors)) {
      const spec = formatSpec(dtype);
      const total = codes!.reduce((a, b) => a + b);
      const bars = barsOf(codes!, spec);
      expect(bars).toHaveLength(2 * (spec.maxCode + 1));
      bars.forEach(({ value, code, count }, i) => {
        expect(i === 0 || bars[i - 1].value <= value).toBe(true);
        expect([decodeValue(code, spec), codes![code]]).toEqual([value, count]);
      });
      expect(Object.is(bars[spec.maxCode].value, -0) && Object.is(bars[spec.maxCode + 1].value, 0)).toBe(true);
      const drawn = outline(bars, () => true).split('M').length - 1;
      expect(drawn).toBe(bars.filter(({ count }) => count > 0).length);
      const shares = sharesOf(codes!, spec);
      expect(shares.reduce((sum, { negative, positive }) => sum + negative + positive, 0)).toBe(total);
      expect(Math.abs(shares.reduce((sum, { share }) => sum + share, 0) - 1)).toBeLessThan(1e-12);
    }
    const swiglu = last.swiglu['layers.1.down'];
    const channels = channelsOf(swiglu);
    expect(channels).toHaveLength(QUICK.config.intermediateSize);
    for (const { channel, cosine, amax } of channels)
      expect([swiglu.cosines[channel], swiglu.channel_amax[channel]]).toEqual([cosine, amax]);
    expect(cosineBars(channels).match(/z/g)).toHaveLength(channels.length);
    expect(dots(channels).match(/h0/g)).toHaveLength(channels.filter(({ amax }) => amax > 0).length);
  });
});

describe('pictures', () => {
  it('one occurrence is seen beside a million, none is not', () => {
    expect([heightOf(0, 1e6), heightOf(1e6, 1e6)]).toEqual([0, HEIGHT]);
    expect(heightOf(1, 1e6) > 4).toBe(true);
  });

  it('aligned channels: sorted, counted, and drawn from one end to the other', () => {
    const line = { cosines: [0.5, -1, null, 0.1], channel_amax: [1, 16, 3, 2] };
    const channels = channelsOf(line);
    expect(channels.map(({ channel }) => channel)).toEqual([1, 3, 0]);
    expect(mostAligned(channels, 2).map(({ channel }) => channel)).toEqual([1, 0]);
    const { all, outliers } = alignment(channels);
    expect(Math.abs(all - 1.6 / 3)).toBeLessThan(1e-12);
    expect(outliers).toBe(1);
    // The largest activation at the top, the smallest at the bottom; cosine -1 at the left.
    const [first, , last] = dots(channels).split('M').slice(1);
    expect(first).toBe('0.0 4.0h0');
    expect(last).toBe(`${(0.75 * PLOT.width).toFixed(1)} 96.0h0`);
  });
});
