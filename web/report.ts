/**
 * The report of a run on a page of its own (report.html?run=ID). It is the downloadable file taken apart: the policy of this site does not
 * allow inline scripts or styles, so its style sheet is adopted, and its script is the same function from this site's own files.
 */
import uPlot from 'uplot';
import plotStyle from 'uplot/dist/uPlot.min.css?raw';
import { reportPage } from '../src/report/index.js';
import { createChart } from '../src/report/page/chart.js';
import { startPage } from '../src/report/page/main.js';
import { style } from '../src/report/style.js';
import { formatters } from '../src/report/text.js';
import { desk } from './run/desk.js';

async function show(id: string): Promise<void> {
  const html = reportPage(await desk('reportInput', [id]), { style: '', script: '' });
  const { body } = new DOMParser().parseFromString(html.slice(html.indexOf('<body>')), 'text/html');
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(plotStyle + style);
  document.adoptedStyleSheets = [sheet];
  document.title = `${body.querySelector('h1')!.textContent} – Octavo`;
  const data = JSON.parse(body.querySelector('#octavo-data')!.textContent!);
  document.body.replaceChildren(...body.querySelectorAll(':scope > :not(script)'));
  startPage(uPlot, data, formatters, createChart);
}

show(new URLSearchParams(location.search).get('run') ?? '').catch((error) => {
  document.querySelector('[role=status]')!.textContent = `There is no report: ${error.message}.`;
});
