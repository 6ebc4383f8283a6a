/** Batches: every window once an epoch, in an order that follows the seed, next tokens as targets. */
import { describe, expect, it } from 'vitest';
import { DataOrder, splitTokens } from '../src/train/data.js';

/** Tokens that say where they stand: the low byte of their position, so that a window's place can be read off its tokens. */
const ramp = (length: number) => Uint8Array.from({ length }, (_, i) => i & 255);

/** Where each of the windows begins; for texts of at most 256 tokens. */
function startsOf(order: DataOrder, first: number, count: number, blockSize: number): number[] {
  const { inputs } = order.batch(first, count);
  return Array.from({ length: count }, (_, i) => inputs[i * blockSize]);
}

describe('the order', () => {
  const BLOCK = 8;
  const tokens = ramp(250);

  it('visits each window once an epoch, windows that tile the text', () => {
    const order = new DataOrder(tokens, BLOCK, 1);
    expect(order.windows).toBe(30);
    const shifts = new Set<number>();
    const orders = new Set<string>();
    for (let epoch = 0; epoch < 12; epoch++) {
      const starts = startsOf(order, epoch * 30, 30, BLOCK);
      const shift = Math.min(...starts);
      expect(shift < BLOCK).toBe(true);
      expect([...starts].sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => shift + i * BLOCK));
      expect(Math.max(...starts) + BLOCK + 1).toBeLessThanOrEqual(250);
      shifts.add(shift);
      orders.add(starts.map((start) => start - shift).join());
    }
    expect(shifts.size).toBeGreaterThan(3);
    expect(orders.size).toBe(12);
  });

  it('in an order that is no order', () => {
    const starts = startsOf(new DataOrder(tokens, BLOCK, 1), 0, 30, BLOCK);
    const steps = starts.slice(1).filter((start, i) => start === starts[i] + BLOCK);
    expect(steps.length).toBeLessThan(6);
  });

  it('in which every window may come in any place, its own among them', () => {
    // Three windows have six orders; a shuffle that moves each would make two.
    const order = new DataOrder(ramp(32), BLOCK, 1);
    expect(order.windows).toBe(3);
    const orders = Array.from({ length: 60 }, (_, epoch) => {
      const starts = startsOf(order, 3 * epoch, 3, BLOCK);
      return starts.map((start) => Math.floor((start - Math.min(...starts)) / BLOCK)).join('');
    });
    expect([...new Set(orders)].sort()).toEqual(['012', '021', '102', '120', '201', '210']);
  });

  it('gives windows of consecutive tokens, and the tokens that follow them', () => {
    const order = new DataOrder(tokens, BLOCK, 3);
    const { inputs, targets } = order.batch(0, 60);
    expect(inputs.length).toBe(60 * BLOCK);
    inputs.forEach((token, i) => {
      if (i % BLOCK > 0) expect(token).toBe(inputs[i - 1] + 1);
      expect(targets[i]).toBe(token + 1);
    });
  });

  it('can be entered anywhere: sequence n is the same in any batch, forwards and back', () => {
    const order = new DataOrder(tokens, BLOCK, 5);
    const all = startsOf(order, 0, 100, BLOCK);
    for (const [first, count] of [
      [99, 1],
      [0, 7],
      [28, 5],
      [61, 39],
      [3, 1],
    ]) {
      expect(startsOf(order, first, count, BLOCK)).toEqual(all.slice(first, first + count));
      expect(startsOf(new DataOrder(tokens, BLOCK, 5), first, count, BLOCK)).toEqual(all.slice(first, first + count));
    }
  });

  it('follows the seed, its upper half included', () => {
    const starts = (seed: number) => startsOf(new DataOrder(tokens, BLOCK, seed), 0, 30, BLOCK).join();
    expect(new Set([starts(0), starts(1), starts(2 ** 32), starts(2 ** 53 - 1)]).size).toBe(4);
  });

  it('a text of the smallest size has one window, anywhere in it', () => {
    const order = new DataOrder(ramp(17), BLOCK, 1);
    expect(order.windows).toBe(1);
    for (const start of startsOf(order, 0, 50, BLOCK)) expect(start >= 0 && start < BLOCK).toBe(true);
    expect(new Set(startsOf(order, 0, 50, BLOCK)).size).toBeGreaterThan(3);
  });
});

describe('the split', () => {
  it('holds out the end, and nothing is in both parts or in none', () => {
    for (const [length, fraction, train] of [
      [1000, 0.1, 900],
      [999, 0.1, 899],
      [100, 0.5, 50],
      [64, 0.25, 48],
    ]) {
      const tokens = ramp(length);
      const split = splitTokens(tokens, fraction, 8);
      expect([split.train.length, split.validation.length]).toEqual([train, length - train]);
      expect([...split.train, ...split.validation]).toEqual([...tokens]);
      // Views, not copies of a text that may be large.
      expect(split.validation.buffer).toBe(tokens.buffer);
    }
  });

  it('of a text too short for a window in either part is refused, with the number it would take', () => {
    expect(() => splitTokens(ramp(100), 0.9, 8)).toThrow(
      /^data: expected at least 17 tokens in the train part for block size 8, got 9 of 100$/,
    );
    expect(() => splitTokens(ramp(100), 0.05, 8)).toThrow(
      /^data: expected at least 9 tokens in the validation part for block size 8, got 5 of 100$/,
    );
    expect(() => splitTokens(ramp(0), 0.1, 8)).toThrow(RangeError);
    const { train, validation } = splitTokens(ramp(26), 9 / 26, 8);
    expect([train.length, validation.length]).toEqual([17, 9]);
    expect(new DataOrder(train, 8, 0).windows).toBe(1);
  });
});
