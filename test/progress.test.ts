import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createProgress, terminalWriter } from '../src/cli/progress.js';
import type { StepLine } from '../src/train/events.js';

function fakeStream(isTTY: boolean, columns = 100) {
  const written: string[] = [];
  const stream = { isTTY, columns, write: (text: string) => written.push(text) > 0 };
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => written.join('') };
}

/** What a terminal shows after these bytes: enough of one for carriage return, erase to the right, and colours. */
function screen(bytes: string): string[] {
  const lines = [''];
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal codes
  for (const [token] of bytes.matchAll(/\x1b\[[\d;?]*[A-Za-z]|[\s\S]/g)) {
    const last = lines.length - 1;
    if (token === '\n') {
      lines.push('');
      column = 0;
    } else if (token === '\r') column = 0;
    else if (token === '\x1b[K') lines[last] = lines[last].slice(0, column);
    else if (token.startsWith('\x1b[') && token.endsWith('m')) continue;
    else if (token.length > 1 || token < ' ') throw new Error(`unexpected code ${JSON.stringify(token)}`);
    else {
      lines[last] = lines[last].slice(0, column) + token + lines[last].slice(column + 1);
      column++;
    }
  }
  return lines;
}

const line = (step: number, more: Partial<StepLine> = {}): StepLine => ({
  type: 'step',
  step,
  loss: 5 - step / 1000,
  lr: 3e-4,
  grad_norm: 1,
  tokens: step * 4096,
  tokens_per_sec: 12_345.6,
  elapsed_s: step,
  digest: 'abc',
  ...more,
});

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubEnv('NO_COLOR', '');
  vi.stubEnv('TERM', 'xterm');
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

describe('on a terminal', () => {
  test('one line with step, loss, learning rate, speed and time left', () => {
    const { stream, text } = fakeStream(true);
    const progress = createProgress({ stream, totalSteps: 200, startStep: 0 });
    for (let step = 1; step <= 100; step++) {
      vi.advanceTimersByTime(1000);
      progress.step(line(step));
    }
    vi.advanceTimersByTime(1000);
    const [shown, ...rest] = screen(text());
    expect(rest).toEqual([]);
    expect(shown).toMatch(/^█+░+ 50% {2}step 100\/200 {2}loss 4\.9000 {2}lr 3\.00e-4 {2}12,346 tok\/s {2}1m 40s left$/);
    expect(text()).toContain('\x1b[36m');
    progress.stop();
    progress.stop();
    expect(screen(text())).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a note goes above the bar, and the bar stays last', () => {
    const { stream, text } = fakeStream(true);
    const progress = createProgress({ stream, totalSteps: 10, startStep: 0 });
    progress.note('before the first step');
    vi.advanceTimersByTime(1000);
    progress.step(line(4));
    progress.note('step 4: sample\nsecond line');
    const shown = screen(text());
    expect(shown.slice(0, 3)).toEqual(['before the first step', 'step 4: sample', 'second line']);
    expect(shown[3]).toContain('step 4/10');
    progress.stop();
    progress.note('afterwards');
    progress.step(line(9));
    expect(screen(text()).slice(3)).toEqual([shown[3], 'afterwards', '']);
  });

  test('NO_COLOR leaves no colour', () => {
    vi.stubEnv('NO_COLOR', '1');
    const { stream, text } = fakeStream(true);
    const progress = createProgress({ stream, totalSteps: 10, startStep: 0 });
    progress.step(line(5));
    progress.stop();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal codes
    expect(text()).not.toMatch(/\x1b\[\d*m/);
  });

  test.each([1, 10, 24, 40, 60, 79, 200])('fits %i columns', (columns) => {
    const { stream, text } = fakeStream(true, columns);
    const progress = createProgress({ stream, totalSteps: 1000, startStep: 0 });
    vi.advanceTimersByTime(5000);
    progress.step(line(500));
    progress.stop();
    for (const shown of screen(text())) expect(shown.length).toBeLessThan(Math.max(columns, 1));
    if (columns >= 24) expect(text()).toContain('step 500/1000');
  });

  test('control characters of a sample do not reach the terminal', () => {
    const { stream, text } = fakeStream(true);
    const progress = createProgress({ stream, totalSteps: 10, startStep: 0 });
    progress.note('a\x1b[2Jb\x07c\x9bd\r\ne\r');
    progress.stop();
    expect(screen(text()).slice(0, 2)).toEqual(['a\ufffd[2Jb\ufffdc\ufffdd', 'e']);
  });
});

test.each([
  [['one\r', '\ntwo', '\r\n'], 'one\ntwo\n'],
  [['a\u001b[31mb', '\tc\u009b'], 'a\ufffd[31mb\tc\ufffd'],
  [['x\r', 'y', '\r', '\r', '\n'], 'x\ufffdy\ufffd\n'],
])('the pieces %j of a text reach a terminal as %j', (pieces, expected) => {
  let written = '';
  const show = terminalWriter((text) => (written += text));
  for (const piece of pieces) show(piece);
  expect(written).toBe(expected);
});

describe('elsewhere', () => {
  test('the first step, the last step, and at most one line in 10 seconds', () => {
    const { stream, text } = fakeStream(false);
    const progress = createProgress({ stream, totalSteps: 100, startStep: 0 });
    for (let step = 1; step <= 100; step++) {
      vi.advanceTimersByTime(300);
      progress.step(line(step));
    }
    progress.stop();
    const lines = text().trimEnd().split('\n');
    expect(lines.map((text) => Number(/step (\d+)\/100/.exec(text)?.[1]))).toEqual([1, 35, 69, 100]);
    expect(lines[1]).toBe('step 35/100  loss 4.9650  lr 3.00e-4  12,346 tok/s  20s left');
    expect(lines[3]).toBe('step 100/100  loss 4.9000  lr 3.00e-4  12,346 tok/s');
    expect(text()).not.toContain('\x1b');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a run that ends early still shows its last step, once', () => {
    const { stream, text } = fakeStream(false);
    const progress = createProgress({ stream, totalSteps: 100, startStep: 40 });
    progress.step(line(41));
    progress.step(line(42));
    progress.stop();
    progress.stop();
    expect(text().match(/step \d+/g)).toEqual(['step 41', 'step 42']);
  });

  test('notes at once, whatever the interval; values that are not finite are n/a', () => {
    const { stream, text } = fakeStream(false);
    const progress = createProgress({ stream, totalSteps: 100, startStep: 0 });
    progress.step(line(1, { loss: Number.NaN, tokens_per_sec: null as unknown as number, lr: 0 }));
    progress.note('saved');
    progress.note('saved again\n');
    expect(text()).toBe('step 1/100  loss n/a  lr 0  n/a tok/s\nsaved\nsaved again\n');
  });

  test('a dumb terminal gets plain lines', () => {
    vi.stubEnv('TERM', 'dumb');
    const { stream, text } = fakeStream(true);
    createProgress({ stream, totalSteps: 100, startStep: 0 }).step(line(1));
    expect(text()).toBe('step 1/100  loss 4.9990  lr 3.00e-4  12,346 tok/s\n');
  });
});
