/** The learning rate: its ends are exact, and what lies between follows the formula. */
import { describe, expect, it } from 'vitest';
import { trainSettings } from '../src/train/options.js';
import { learningRateAt } from '../src/train/schedule.js';
import { QUICK } from './helpers/training.js';

const settingsOf = (more: object) =>
  trainSettings({ ...QUICK, steps: 100, learningRate: 3e-3, minLearningRate: 3e-4, warmupSteps: 10, ...more });
const ratesOf = (settings: ReturnType<typeof settingsOf>) =>
  Array.from({ length: settings.steps }, (_, i) => learningRateAt(i + 1, settings));

describe('the schedule', () => {
  it('warms up in a straight line, from one part of the peak to the whole', () => {
    const rates = ratesOf(settingsOf({}));
    for (let step = 1; step <= 10; step++) expect(rates[step - 1]).toBe((3e-3 * step) / 10);
    expect(rates[9]).toBe(3e-3);
  });

  it('ends at the smallest rate', () => {
    for (const steps of [11, 12, 57, 100, 1000]) {
      const settings = settingsOf({ steps });
      const last = learningRateAt(steps, settings);
      // 1 + cos(pi) is 0 to within the cosine's 2^-51.
      expect(Math.abs(last - 3e-4)).toBeLessThanOrEqual(3e-3 * 2 ** -51);
      expect(last).toBeGreaterThanOrEqual(3e-4);
    }
  });

  it('falls in between as half a cosine, without a step up', () => {
    const rates = ratesOf(settingsOf({}));
    for (let step = 11; step <= 100; step++) {
      expect(rates[step - 1]).toBeLessThan(rates[step - 2]);
      const expected = 3e-4 + (3e-3 - 3e-4) * 0.5 * (1 + Math.cos((Math.PI * (step - 10)) / 90));
      expect(Math.abs(rates[step - 1] / expected - 1)).toBeLessThan(1e-14);
    }
    // Half way it is half way.
    expect(Math.abs(rates[54] - (3e-3 + 3e-4) / 2)).toBeLessThan(1e-17);
  });

  it('can do without a warm-up, or consist of one', () => {
    expect(learningRateAt(1, settingsOf({ warmupSteps: 0 }))).toBeLessThan(3e-3);
    expect(ratesOf(settingsOf({ steps: 5, warmupSteps: 5 }))[4]).toBe(3e-3);
    expect(ratesOf(settingsOf({ steps: 5, warmupSteps: 10 }))[4]).toBe(1.5e-3);
    expect(ratesOf(settingsOf({ steps: 1, warmupSteps: 0 }))[0]).toBe(3e-4);
  });

  it('a constant rate is constant', () => {
    for (const rate of ratesOf(settingsOf({ minLearningRate: 3e-3, warmupSteps: 0 }))) expect(rate).toBe(3e-3);
  });

  it('has the defaults that the settings say', () => {
    const { config, data: _, ...rest } = QUICK;
    const { warmupSteps, minLearningRate } = trainSettings({
      config,
      blockSize: rest.blockSize,
      steps: 400,
      learningRate: 0.01,
    });
    expect([warmupSteps, minLearningRate]).toEqual([20, 0.001]);
    expect(trainSettings({ config, steps: 100_000 }).warmupSteps).toBe(100);
  });
});
