/**
 * A training run as one HTML file: opened from disk years later it still works, because it loads nothing (its content security policy
 * forbids it). Figures, sentences and tables are written here; only the charts need the page's script, which draws them with uPlot.
 * Test: `test/report.test.ts`.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { MetricsLine } from '../train/events.js';
import { trainingHtml } from './report/charts.js';
import { collect } from './report/data.js';
import { figuresHtml, headline } from './report/figures.js';
import { fp8Html } from './report/fp8.js';
import { createChart } from './report/page/chart.js';
import { startPage } from './report/page/main.js';
import { style } from './report/style.js';
import { anomaliesHtml, configurationHtml, evaluationsHtml, samplesHtml } from './report/tables.js';
import { escapeHtml, formatters, scriptJson, scriptSource } from './report/text.js';

export interface ReportInput {
  /** What the run was asked to do. */
  config: object;
  /**
   * What it came to. Read for the headline, where present: `val_loss`, `val_bits_per_byte`, `tokens_per_sec`, `parameters`, `recipe`, `build`,
   * `threads`, `runtime`, `steps`, `tokens`, `elapsed_s`, `digest`; the configuration and the metrics fill in. All of it is listed.
   */
  summary: object;
  metrics: MetricsLine[];
}

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

const LINKS = [
  ['loss', 'Loss'],
  ['training', 'Training'],
  ['fp8', 'FP8 health'],
  ['samples', 'Samples'],
  ['evaluations', 'Evaluations'],
  ['configuration', 'Configuration'],
];

/** A sheet folded into eight. */
const MARK =
  '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true"><path d="M3 4.5h18v15H3zM7.5 4.5v15M12 4.5v15M16.5 4.5v15M3 12h18"/></svg>';

export function renderReport({ config, summary, metrics }: ReportInput): string {
  const run = collect(metrics);
  const head = headline(config, summary, run);
  const title = `Training report${head.recipe ? `: ${head.recipe}` : ''}`;

  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Octavo">
<title>${escapeHtml(title)} – Octavo</title>
<link rel="icon" href="data:,">
<style>${packaged('uplot/dist/uPlot.min.css')}${style}</style>
</head>
<body>
<header>
<p class="mark">${MARK} Octavo</p>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${escapeHtml(head.lead)}</p>
</header>
<nav aria-label="Sections"><ul>${LINKS.map(([id, name]) => `<li><a href="#${id}">${name}</a></li>`).join('')}</ul></nav>
<main>
<noscript><p class="alert">Charts need JavaScript; the figures and tables do not.</p></noscript>
${figuresHtml(head)}
${anomaliesHtml(run)}
${trainingHtml(run)}
${fp8Html(run, head.recipe)}
${samplesHtml(run)}
${evaluationsHtml(run)}
${configurationHtml(config, summary)}
</main>
<footer>Drag across a chart to zoom into those steps in every chart; double-click to go back. This file is complete in itself and loads nothing.</footer>
<script type="application/json" id="octavo-data">${scriptJson(run.chart)}</script>
<script>${scriptSource(packaged('uplot/dist/uPlot.iife.min.js'))}</script>
<script>${scriptSource(pageScript())}</script>
</body>
</html>
`;
}

/** The functions of `report/page` as source text, started on the embedded data. */
function pageScript(): string {
  const shared = Object.entries(formatters).map(([name, format]) => `${name}: ${format}`);
  return `(${startPage})(uPlot, JSON.parse(document.getElementById('octavo-data').textContent), {${shared.join(',\n')}}, ${createChart});`;
}

function packaged(file: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(file), 'utf8');
}
