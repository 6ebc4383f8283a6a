/**
 * The page common to all reports: one HTML file that loads nothing (its content security policy forbids it) and contains uPlot, our charts
 * and their data.
 */
import { createChart } from './page/chart.js';
import { style } from './style.js';
import { escapeHtml, formatters, scriptJson, scriptSource } from './text.js';

export interface Page {
  readonly title: string;
  readonly lead: string;
  /** Links to sections, by element id. */
  readonly links: readonly (readonly [id: string, name: string])[];
  /** The sections' HTML. */
  readonly main: string;
  /** Embedded as JSON for the script. */
  readonly data: unknown;
  /** Embedded as source text, and called in the browser with uPlot, the data, the formatters and `createChart`. */
  // biome-ignore lint/suspicious/noExplicitAny: each page has data of its own kind
  readonly script: (...given: any[]) => void;
}

/** uPlot as text to embed: its style sheet, and its script for pages without modules. */
export interface ReportAssets {
  readonly style: string;
  readonly script: string;
}

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/** The logo: a sheet folded into eight. */
const MARK =
  '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true"><path d="M3 4.5h18v15H3zM7.5 4.5v15M12 4.5v15M16.5 4.5v15M3 12h18"/></svg>';

export function renderPage({ title, lead, links, main, data, script }: Page, uplot: ReportAssets): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Octavo">
<title>${escapeHtml(title)} – Octavo</title>
<link rel="icon" href="data:,">
<style>${uplot.style}${style}</style>
</head>
<body>
<header>
<p class="mark">${MARK} Octavo</p>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${escapeHtml(lead)}</p>
</header>
<nav aria-label="Sections"><ul>${links.map(([id, name]) => `<li><a href="#${id}">${name}</a></li>`).join('')}</ul></nav>
<main>
<noscript><p class="alert">Charts need JavaScript; the figures and tables do not.</p></noscript>
${main}
</main>
<footer>Drag across a chart to zoom into those steps in every chart; double-click to go back. This file is complete in itself and loads nothing.</footer>
<script type="application/json" id="octavo-data">${scriptJson(data)}</script>
<script>${scriptSource(uplot.script)}</script>
<script>${scriptSource(started(script))}</script>
</body>
</html>
`;
}

/** A function of `report/page` as source text that calls it with the embedded data. */
function started(script: Page['script']): string {
  const shared = Object.entries(formatters).map(([name, format]) => `${name}: ${format}`);
  return `(${script})(uPlot, JSON.parse(document.getElementById('octavo-data').textContent), {${shared.join(',\n')}}, ${createChart});`;
}
