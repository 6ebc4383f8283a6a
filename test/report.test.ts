import { Script } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { renderReport } from '../src/cli/report.js';
import { type ChartData, collect } from '../src/report/data.js';
import {
  type MetricsLine,
  type RoleHealth,
  recipeOf,
  type StepLine,
  type Summary,
  trainSettings,
} from '../src/train/index.js';

const MAX_BYTES = 1.5e6;
const LINEARS = ['qkv', 'o', 'gate_up', 'down'];
const ROLES = ['input', 'weight', 'grad_output'];

const sizes = { vocabSize: 256, hiddenSize: 192, layers: 5, heads: 6 };
const config = trainSettings({ config: sizes, recipe: 'fp8', steps: 1000, blockSize: 256 });
/** Every figure is another than the metrics and the settings below would give. */
const summary: Summary = {
  recipe: 'fp8-plain',
  parameters: 2_434_240,
  steps: 1001,
  tokens: 4_096_001,
  train_loss: 1.40316,
  val_loss: 1.50421,
  val_bits_per_byte: 2.17013,
  tokens_per_second: 9762.4,
  elapsed_seconds: 421.7,
  peak_memory_bytes: 123_456_789,
  state_bytes_per_parameter: 4.003,
  build: 'relaxed',
  threads: 2,
  runtime: 'node 20.20.2',
  digest: '5fa09b3c77de11aa',
};

/** Values with all the digits a float32 has, as a real run writes them. */
const digits = (step: number, salt: number) => Math.fround(Math.abs(Math.sin(step * 12.9898 + salt) * 43.7));

function health(step: number, layers: number): Record<string, RoleHealth> {
  const entries: [string, RoleHealth][] = [];
  for (let layer = 0; layer < layers; layer++) {
    for (const linear of LINEARS) {
      for (const role of ROLES) {
        const salt = entries.length;
        const fractions = { saturated: digits(step, salt) / 43_700, underflowed: digits(step, salt + 1) / 437 };
        entries.push([
          `layers.${layer}.${linear}.${role}`,
          { amax: digits(step, salt + 2), scale: 2 ** salt, ...fractions },
        ]);
      }
    }
  }
  return Object.fromEntries(entries);
}

function stepLine(step: number, more: Partial<StepLine> = {}): StepLine {
  return {
    type: 'step',
    step,
    loss: Math.fround(1.5 + 4 / step + digits(step, 1) / 400),
    lr: 6e-4 * Math.min(1, step / 100),
    grad_norm: digits(step, 2),
    tokens: step * 4096,
    tokens_per_sec: 9800 + digits(step, 3),
    elapsed_s: step * 0.42,
    digest: `d${step}`,
    ...more,
  };
}

function run(steps: number, { every = 10, layers = 5 } = {}): MetricsLine[] {
  const lines: MetricsLine[] = [];
  for (let step = 1; step <= steps; step++) {
    lines.push(stepLine(step, layers > 0 && step % every === 0 ? { fp8: health(step, layers) } : {}));
    if (step % 50 === 0)
      lines.push({ type: 'eval', step, val_loss: 1.6 + 4 / step, val_bits_per_byte: 2.3 + 5 / step });
    if (step % 250 === 0) lines.push({ type: 'sample', step, prompt: 'Call me ', text: 'Ishmael. Some years ago' });
    if (step % 500 === 0) lines.push({ type: 'checkpoint', step, path: `out/checkpoint-${step}` });
  }
  lines.push({ type: 'done', step: steps });
  return lines;
}

const embedded = (html: string): ChartData =>
  JSON.parse(/<script type="application\/json" id="octavo-data">([^<]*)<\/script>/.exec(html)![1]);
/** The page as a reader sees it: without style, scripts and tags. */
const visible = (html: string) =>
  html
    .replace(/<(style|script)\b[\s\S]*?<\/\1>/g, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');

/** The headline's figures by their labels. */
const figuresOf = (html: string) =>
  Object.fromEntries([...html.matchAll(/<dt>([^<]*)<\/dt><dd>([^<]*)/g)].map(([, label, value]) => [label, value]));

const page = renderReport({ config, summary, metrics: run(1000) });

describe('self-contained', () => {
  test('a policy that forbids every load', () => {
    expect(page).toContain(
      `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">`,
    );
  });

  test('nothing refers to the outside', () => {
    const markup = page.replace(/<(style|script)\b[\s\S]*?<\/\1>/g, '');
    expect(markup).not.toMatch(/\s(?:src|srcset|action|data|poster|background)\s*=/i);
    const links = [...markup.matchAll(/\shref\s*=\s*["']?([^"'\s>]*)/gi)].map((match) => match[1]);
    expect(links.filter((target) => !/^(#|data:,$)/.test(target))).toEqual([]);
    expect(page).not.toMatch(/@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon|\bimport\s*\(/i);
    // The only address is the one in uPlot's licence comment.
    expect(page.match(/https?:\/\/[^\s"']+/g)).toEqual(['https://github.com/leeoniya/uPlot']);
  });

  test('every section link has its section', () => {
    const targets = [...page.matchAll(/href="#([^"]+)"/g)].map((match) => match[1]);
    expect(targets.length).toBeGreaterThan(4);
    for (const id of targets) expect(page).toContain(` id="${id}"`);
  });

  test('the scripts are whole: three elements, and the two programs parse', () => {
    const scripts = [...page.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)];
    expect(scripts.map((match) => match[1])).toEqual([' type="application/json" id="octavo-data"', '', '']);
    for (const [, , code] of scripts.slice(1)) expect(() => new Script(code)).not.toThrow();
  });

  test.each([
    ['the demo', run(1000)],
    ['a long run', run(20_000, { every: 20, layers: 6 })],
    ['a deep model', run(2000, { every: 50, layers: 48 })],
  ])('stays below 1.5 MB: %s', (_name, metrics) => {
    expect(Buffer.byteLength(renderReport({ config, summary, metrics }))).toBeLessThan(MAX_BYTES);
  });
});

describe('contents', () => {
  test('all figures given, in the headline and in full in the summary', () => {
    expect(figuresOf(page)).toEqual({
      'Validation loss': '1.5042',
      'Bits per byte': '2.1701',
      'Tokens per second': '9,762',
      Parameters: '2.43M',
      Recipe: 'fp8-plain',
      Build: 'relaxed',
      Threads: '2',
      Runtime: 'node 20.20.2',
      Steps: '1,001',
      Tokens: '4,096,001',
      Time: '7 min 2 s',
      Digest: '5fa09b3c77de11aa',
    });
    const text = visible(page);
    expect(text).toContain('1,001 steps of recipe fp8-plain, 4,096,001 tokens, in 7 min 2 s.');
    for (const [name, value] of Object.entries(summary)) expect(text).toContain(`${name} ${value}`);
    for (const name of ['seed', 'blockSize', 'beta1'] as const) expect(text).toContain(`${name} ${config[name]}`);
    for (const [name, value] of Object.entries(sizes)) expect(text).toContain(`config.${name} ${value}`);
  });

  test('without a summary the metrics give the figures', () => {
    const html = renderReport({ config, summary: {}, metrics: run(1000) });
    expect(figuresOf(html)).toEqual({
      'Validation loss': '1.6040',
      'Bits per byte': '2.3050',
      'Tokens per second': expect.stringMatching(/^9,8\d\d$/),
      Parameters: '–',
      Recipe: 'fp8',
      Steps: '1,000',
      Tokens: '4,096,000',
      Time: '7 min 0 s',
      Digest: 'd1000',
    });
    expect(visible(html)).toContain('1,000 steps of recipe fp8, 4,096,000 tokens, in 7 min 0 s.');
  });

  test('the embedded JSON is the data, to the last digit', () => {
    const metrics = run(1000);
    const data = embedded(page);
    expect(data).toEqual(collect(metrics).chart);
    const steps = metrics.filter((line) => line.type === 'step');
    expect(data.train.loss).toEqual(steps.map((line) => line.loss));
    expect(data.train.tokens_per_sec).toEqual(steps.map((line) => line.tokens_per_sec));
    expect(data.val.step).toHaveLength(20);
    expect(data.fp8!.step).toEqual(steps.filter((line) => line.fp8).map((line) => line.step));
    expect(data.fp8!.tensors).toHaveLength(60);
    for (const tensor of data.fp8!.tensors)
      expect(tensor.amax).toEqual(steps.filter((line) => line.fp8).map((line) => line.fp8![tensor.key].amax));
  });

  test('a place, a heading and a sentence for each chart', () => {
    const charts = ['loss', 'lr', 'grad', 'speed', 'saturated', 'underflowed', 'amax', 'scale'];
    expect([...page.matchAll(/data-chart="(\w+)"/g)].map((match) => match[1])).toEqual(charts);
    expect(page.match(/<figcaption><h3>/g)).toHaveLength(charts.length);
    expect(page.match(/<caption>/g)?.length).toBe(page.match(/<table/g)?.length);
    expect(visible(page)).toContain('its lowest.');
  });

  test('the FP8 table has a row for each linear, and marks what is high in words as well', () => {
    const loud = stepLine(1, {
      fp8: {
        'layers.10.qkv.input': { amax: 3, scale: 4, saturated: 0.02, underflowed: 0 },
        'layers.2.qkv.input': { amax: 3, scale: 3, saturated: 0.0009, underflowed: 0.06 },
        'layers.11.qkv.input': { amax: 0, scale: Number.NaN, saturated: 0, underflowed: 0 },
      },
    });
    const html = renderReport({ config, summary, metrics: [loud] });
    const rows = [...html.matchAll(/<tr><th scope="row"><button[\s\S]*?<\/tr>/g)].map((match) =>
      visible(match[0]).trim(),
    );
    expect(rows).toEqual([
      '2 qkv 3.00 3.00 0.090 % ▲ watch: 6.00 %',
      '10 qkv 3.00 2² ▲▲ high: 2.00 % 0 %',
      '11 qkv 0 n/a 0 % 0 %',
    ]);
  });

  test('anomalies stand above the charts', () => {
    const html = renderReport({
      config,
      summary,
      metrics: [...run(20), { type: 'anomaly', step: 7, what: 'loss is NaN' }],
    });
    expect(html.indexOf('Step 7: loss is NaN')).toBeLessThan(html.indexOf('id="loss"'));
    expect(embedded(html).anomalies).toEqual([7]);
  });
});

describe('hostile text', () => {
  const attack = `</script><script>alert(1)</script><!--<script><img src=x onerror="alert(2)">'"&amp;\u0000\u001b[2J\u2028`;
  const settings = { recipe: { ...config.recipe, name: attack }, [attack]: attack, nested: { [attack]: [attack] } };
  const html = renderReport({
    config: settings,
    summary: { build: attack, runtime: attack, digest: attack },
    metrics: [
      stepLine(1, {
        digest: attack,
        fp8: { [`layers.${attack}.qkv.${attack}`]: { amax: 1, scale: 1, saturated: 0, underflowed: 0 } },
      }),
      { type: 'eval', step: 1, val_loss: 1, val_bits_per_byte: 1 },
      { type: 'sample', step: 1, prompt: attack, text: attack },
      { type: 'checkpoint', step: 1, path: attack },
      { type: 'anomaly', step: 1, what: attack },
    ],
  });

  test('makes no element', () => {
    expect(html.match(/<script/g)).toHaveLength(3);
    expect(html.match(/<\/script/g)).toHaveLength(3);
    expect(html).not.toMatch(/<img|<!--|onerror="/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(html.replace(/<script>[\s\S]*?<\/script>/g, '')).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
  });

  test('is still there to read', () => {
    const shown = '&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;';
    expect(html.split(shown).length).toBeGreaterThan(10);
    expect(embedded(html).fp8!.tensors[0].key).toBe(`layers.${attack}.qkv.${attack}`);
  });
});

describe('odd runs', () => {
  test('a recipe without FP8 says so and draws none', () => {
    const html = renderReport({ config: { recipe: recipeOf('bf16') }, summary: {}, metrics: run(30, { layers: 0 }) });
    expect(visible(html)).toContain('Recipe bf16 keeps no tensor in FP8');
    expect(html).not.toContain('data-chart="saturated"');
    expect(html).not.toContain('class="health"');
    expect(embedded(html)).not.toHaveProperty('fp8');
  });

  test('zero steps', () => {
    const html = renderReport({ config: {}, summary: {}, metrics: [] });
    const text = visible(html);
    expect(text).toContain('No steps were recorded.');
    expect(text).not.toMatch(/NaN|undefined|null|Infinity/);
    expect(html).not.toContain('<figure');
    expect(embedded(html).train.step).toEqual([]);
  });

  test('one step', () => {
    expect(visible(renderReport({ config, summary: {}, metrics: [stepLine(1)] }))).not.toMatch(
      /NaN|undefined|Infinity/,
    );
  });

  test('a loss that is not finite is a gap, not a number', () => {
    const bad = { loss: Number.NaN, grad_norm: Number.POSITIVE_INFINITY };
    const html = renderReport({ config, summary: {}, metrics: [stepLine(1), stepLine(2, bad), stepLine(3)] });
    expect(embedded(html).train.loss[1]).toBeNull();
    expect(embedded(html).train.grad_norm[1]).toBeNull();
    expect(visible(html)).not.toMatch(/NaN|Infinity/);
  });

  test('where a resumed run repeats steps, the later line counts', () => {
    const metrics = [stepLine(1), stepLine(2), stepLine(3, { loss: 9 }), stepLine(2), stepLine(3, { loss: 1 })];
    const { train } = embedded(renderReport({ config, summary, metrics }));
    expect(train.step).toEqual([1, 2, 3]);
    expect(train.loss[2]).toBe(1);
  });
});

describe('thinning', () => {
  const metrics = run(20_000, { every: 20, layers: 6 }).map((line): MetricsLine => {
    if (line.type !== 'step') return line;
    if (line.step === 7777) return { ...line, loss: 99 };
    if (line.step === 8888) return { ...line, grad_norm: 999 };
    if (line.step === 9980)
      return {
        ...line,
        fp8: { ...line.fp8, 'layers.3.o.input': { amax: 1e9, scale: 1, saturated: 1, underflowed: 1 } },
      };
    return line;
  });
  const html = renderReport({ config, summary, metrics });
  const { train, fp8 } = embedded(html);

  test('keeps the outliers', () => {
    expect(train.step.length).toBeLessThanOrEqual(2002);
    expect(train.loss[train.step.indexOf(7777)]).toBe(99);
    expect(train.grad_norm[train.step.indexOf(8888)]).toBe(999);
    expect([train.step[0], train.step.at(-1)]).toEqual([1, 20_000]);
    const tensor = fp8!.tensors.find((tensor) => tensor.key === 'layers.3.o.input')!;
    for (const field of ['amax', 'saturated', 'underflowed'] as const)
      expect(Math.max(...(tensor[field] as number[]))).toBe(field === 'amax' ? 1e9 : 1);
    expect(fp8!.step.at(-1)).toBe(20_000);
  });

  test('says so', () => {
    expect(visible(html)).toMatch(/[\d,]+ of 20,000 steps are drawn/);
    expect(visible(html)).toMatch(/Of every \d+ recorded steps one point is drawn/);
    expect(visible(page)).not.toMatch(/are drawn|one point is drawn/);
  });
});
