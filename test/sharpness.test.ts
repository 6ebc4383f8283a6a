/** Sharpness against a search of the box, and as a measurement that changes nothing; channels that begin aligned, against their definition. */
import { describe, expect, it } from 'vitest';
import { initialValues } from '../src/model/init.js';
import { parametersOf } from '../src/model/params.js';
import { lastLogits } from '../src/model/sample.js';
import { newKvCache } from '../src/model/transformer.js';
import { align } from '../src/train/alignment.js';
import { splitTokens } from '../src/train/data.js';
import type { SharpnessLine } from '../src/train/events.js';
import { readLog } from '../src/train/log.js';
import { trainSettings } from '../src/train/options.js';
import { logitSharpness, lossOfLogits } from '../src/train/sharpness.js';
import { withModel } from './helpers/model-directory.js';
import { Random } from './helpers/rng.js';
import { digestOf, events, mean, memoryStore, QUICK, TINY, useEngine } from './helpers/training.js';

const engine = useEngine();

describe('sharpness of logits', () => {
  const rng = new Random(11);
  const next = () => rng.uniform();
  const logits = (count: number, size: number) => Array.from({ length: count }, () => size * (2 * next() - 1));

  it('is the largest over all corners of the box, and no point inside has more', () => {
    for (const size of [0.1, 3, 40]) {
      for (const eps of [1e-3, 0.1]) {
        const z = logits(7, size);
        const target = 3;
        const f = lossOfLogits(z, target);
        const at = (y: readonly number[]) => (100 * (lossOfLogits(y, target) - f)) / (1 + f);
        const corners = Array.from({ length: 1 << z.length }, (_, bits) =>
          at(z.map((x, i) => x + ((bits >> i) & 1 ? eps : -eps) * (Math.abs(x) + 1))),
        );
        const found = logitSharpness(z, target, eps);
        expect(found).toBe(Math.max(...corners));
        expect(found).toBeGreaterThan(0);
        for (let i = 0; i < 100; i++) {
          expect(at(z.map((x) => x + (2 * next() - 1) * eps * (Math.abs(x) + 1)))).toBeLessThanOrEqual(found);
        }
      }
    }
  });

  it('of two equal logits, from the formula by hand', () => {
    // f = ln 2; the corner (-e, +e) has f = ln(1 + exp(2 e)).
    const e = 0.25;
    const expected = (100 * (Math.log(1 + Math.exp(2 * e)) - Math.LN2)) / (1 + Math.LN2);
    expect(logitSharpness([0, 0], 0, e)).toBeCloseTo(expected, 12);
  });

  it('of logits beyond the range of exp', () => {
    expect(lossOfLogits([1000, 0], 1)).toBe(1000);
    expect(logitSharpness([2000, -2000], 1)).toBeGreaterThan(0);
  });
});

describe('measured in a run', () => {
  it('at its interval and at the end, and the run is the same without', async () => {
    const run = await events({ ...QUICK, engine: engine(), sharpnessInterval: 3 });
    const lines = run.filter((line) => line.type === 'sharpness');
    expect(lines.map(({ step }) => step)).toEqual([3, 6, 8]);
    for (const line of lines) expect(line.sharpness > 0 && line.sharpness < 100).toBe(true);
    const without = await events({ ...QUICK, engine: engine() });
    expect(without.some((line) => line.type === 'sharpness')).toBe(false);
    expect(digestOf(run)).toBe(digestOf(without));
  });

  it('at the end stays in the log of a run that is resumed there', async () => {
    const store = memoryStore();
    const options = { ...QUICK, engine: engine(), outDir: store, sharpnessInterval: 3 };
    await events(options);
    const measured = async () => (await readLog(store)).filter(({ type }) => type === 'sharpness');
    const before = await measured();
    expect(before.map(({ step }) => step)).toEqual([3, 6, 8]);
    await events({ ...options, resume: true });
    expect(await measured()).toEqual(before);
  });
});

it('is the mean over windows of the held-out text, of the last token of each', async () => {
  const store = memoryStore();
  // In bf16 the forward pass of training, which is measured, is that of the saved model.
  const run = await events({ ...QUICK, recipe: 'bf16', engine: engine(), outDir: store, sharpnessInterval: 8 });
  const { validation } = splitTokens(QUICK.data, 0.1, 32);
  // 1,200 held-out bytes: all windows count that have a byte after them, up to 32.
  const windows = Array.from({ length: 32 }, (_, i) => 32 * i);
  await withModel(engine(), store.files, ({ model, casts }) => {
    const each = windows.map((at) => {
      const logits = lastLogits(model, casts, [...validation.subarray(at, at + 32)], newKvCache(model, 32));
      return logitSharpness(logits, validation[at + 32]);
    });
    const line = run.find(({ type }) => type === 'sharpness') as SharpnessLine;
    expect(line.sharpness).toBeCloseTo(mean(each), 10);
  });
});

describe('alignment', () => {
  const alignment = { channels: 3, gain: 4 };
  it('makes the rows of the first channels equal or opposite, longer, and their columns shorter', () => {
    const table = parametersOf(trainSettings({ config: TINY }).config);
    for (const [index, parameter] of table.entries()) {
      const before = initialValues(parameter, index, 1);
      const after = before.slice();
      align(parameter, after, alignment);
      const [rows, columns] = parameter.shape;
      const expected = before.map((value, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        const channel = row % (rows / 2);
        if (parameter.name.endsWith('.gate_up') && channel < 3) {
          const sign = row >= rows / 2 && channel % 2 === 1 ? -1 : 1;
          return 4 * sign * before[channel * columns + column];
        }
        return parameter.name.endsWith('.down') && column < 3 ? value / 16 : value;
      });
      expect(after).toEqual(expected);
    }
  });

  it('is a setting of a run, and refused by name where it cannot be', async () => {
    const [plain, aligned] = [
      await events({ ...QUICK, engine: engine() }),
      await events({ ...QUICK, engine: engine(), alignment }),
    ];
    expect(digestOf(aligned)).not.toBe(digestOf(plain));
    const refusal = (given: object) => () => trainSettings({ ...QUICK, alignment: given as typeof alignment });
    expect(refusal({ channels: 65, gain: 1 })).toThrow('alignment.channels: expected an integer from 1 to 64, got 65');
    expect(refusal({ channels: 1, gain: 0 })).toThrow('alignment.gain: expected a number above 0, got 0');
    expect(refusal({ channels: 1, gain: 2, sign: 1 })).toThrow('alignment.sign: expected a field of channels, gain');
  });
});
