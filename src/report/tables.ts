/** The parts of the report that are text: anomalies, samples, evaluations, checkpoints, configuration. */
import type { SampleLine } from '../train/events.js';
import { cell, type RunData } from './data.js';
import { count, escapeHtml, formatters } from './text.js';

const MAX_SAMPLES = 40;
const MAX_SAMPLE_CHARS = 3000;
const MAX_EVALS = 250;
const MAX_ANOMALIES = 20;

/** Placed first, because a run with an anomaly is read differently; empty if there was none. */
export function anomaliesHtml({ anomalies }: RunData): string {
  if (anomalies.length === 0) return '';
  const items = anomalies
    .slice(0, MAX_ANOMALIES)
    .map(({ step, what }) => `<li>Step ${count(step)}: ${escapeHtml(what)}</li>`)
    .join('');
  const rest = anomalies.length - MAX_ANOMALIES;
  return `<section class="alert" aria-labelledby="anomalies-heading">
<h2 id="anomalies-heading">${count(anomalies.length)} ${anomalies.length === 1 ? 'anomaly' : 'anomalies'}</h2>
<ul>${items}${rest > 0 ? `<li>and ${count(rest)} more</li>` : ''}</ul>
<p>Dashed lines in the charts of loss and training mark these steps.</p>
</section>`;
}

export function samplesHtml({ samples }: RunData): string {
  const shown = evenly(samples, MAX_SAMPLES);
  const note =
    shown.length < samples.length
      ? `<p class="aside">${shown.length} of ${count(samples.length)} samples are shown, evenly spaced.</p>`
      : '';
  const body =
    shown.length === 0
      ? '<p class="empty">No samples were drawn.</p>'
      : `<p>What the model wrote after each prompt, as training went on.</p>${note}
<div class="samples">${shown.map((sample, i) => sampleHtml(sample, i === 0 || i === shown.length - 1)).join('\n')}</div>`;
  return `<section id="samples" aria-labelledby="samples-heading">
<h2 id="samples-heading">Samples</h2>
${body}
</section>`;
}

function sampleHtml({ step, prompt, text }: SampleLine, open: boolean): string {
  const written = text.startsWith(prompt) ? text.slice(prompt.length) : text;
  const cut = written.length > MAX_SAMPLE_CHARS;
  const preview = written.replace(/\s+/g, ' ').trim().slice(0, 90);
  return `<details${open ? ' open' : ''}>
<summary><span class="step">Step ${count(step)}</span> <span class="preview">${escapeHtml(preview)}</span></summary>
<pre><mark>${escapeHtml(prompt)}</mark>${escapeHtml(cut ? written.slice(0, MAX_SAMPLE_CHARS) : written)}${cut ? '<i> … cut here</i>' : ''}</pre>
</details>`;
}

/** The losses as numbers, with the digests by which two runs are compared. */
export function evaluationsHtml(run: RunData): string {
  const shown = evenly(run.evals, MAX_EVALS);
  const rowOf = new Map(run.steps.map((line, row) => [line.step, row]));
  const saved = new Set(run.checkpoints.map((line) => line.step));
  const rows = shown.map(({ step, val_loss, val_bits_per_byte }) => {
    const row = rowOf.get(step);
    const line = row === undefined ? undefined : run.steps[row];
    return `<tr><th scope="row">${count(step)}</th><td>${line ? count(line.tokens) : '–'}</td><td>${row === undefined ? '–' : formatters.loss(run.smooth[row])}</td><td>${formatters.loss(cell(val_loss))}</td><td>${formatters.loss(cell(val_bits_per_byte))}</td><td class="code">${escapeHtml(line?.digest?.slice(0, 16) ?? '–')}</td><td>${saved.has(step) ? 'yes' : ''}</td></tr>`;
  });
  const note =
    shown.length < run.evals.length ? ` ${shown.length} of ${count(run.evals.length)} are listed, evenly spaced.` : '';
  const table = `<div class="scroll tall" role="region" aria-label="Table of evaluations" tabindex="0">
<table>
<caption><span class="text">Training loss is smoothed over about ${count(run.smoothing)} steps. Runs of one configuration, data and seed have equal digests.${note}</span></caption>
<thead><tr><th scope="col">Step</th><th scope="col">Tokens</th><th scope="col">Training loss</th><th scope="col">Validation loss</th><th scope="col">Bits per byte</th><th scope="col">Digest</th><th scope="col">Checkpoint</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
</div>`;
  const last = run.checkpoints.at(-1);
  return `<section id="evaluations" aria-labelledby="evaluations-heading">
<h2 id="evaluations-heading">Evaluations</h2>
${rows.length > 0 ? table : '<p class="empty">No evaluations were recorded.</p>'}
${last ? `<p class="aside">${count(run.checkpoints.length)} ${run.checkpoints.length === 1 ? 'checkpoint' : 'checkpoints'}; the last at step ${count(last.step)}, in <code>${escapeHtml(last.path)}</code>.</p>` : ''}
</section>`;
}

export function configurationHtml(config: object, summary: object): string {
  return `<section id="configuration" aria-labelledby="configuration-heading">
<h2 id="configuration-heading">Configuration</h2>
<div class="grid two">
${recordTable('Configuration', config)}
${recordTable('Summary', summary)}
</div>
</section>`;
}

export function recordTable(caption: string, record: object): string {
  const rows = flatten(record).map(
    ([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`,
  );
  return `<div class="scroll"><table class="record"><caption><span class="text">${caption}</span></caption><tbody>${rows.join('\n') || '<tr><td>empty</td></tr>'}</tbody></table></div>`;
}

/** `{ model: { n_layer: 5 } }` -> `model.n_layer`, `5`. Values are shown in full, so that they can be copied. */
function flatten(record: object, prefix = ''): [string, string][] {
  return Object.entries(record).flatMap(([name, value]): [string, string][] => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return flatten(value, `${prefix}${name}.`);
    }
    if (value === undefined || typeof value === 'function') return [];
    return [[prefix + name, Array.isArray(value) ? JSON.stringify(value) : String(value)]];
  });
}

/** At most `n` of the items: the first, the last and evenly spaced ones between. */
function evenly<T>(items: T[], n: number): T[] {
  if (items.length <= n) return items;
  return Array.from({ length: n }, (_, i) => items[Math.round((i * (items.length - 1)) / (n - 1))]);
}
