/**
 * Renders a training run as one HTML file, which still works when opened from disk years later, because it loads nothing (its content security
 * policy forbids it). Figures, sentences and tables are rendered here; only the charts need the page's script, which draws them with uPlot.
 * Test: `test/report.test.ts`.
 */
import type { MetricsLine, Summary, TrainSettings } from '../train/index.js';
import { trainingHtml } from './charts.js';
import { collect } from './data.js';
import { figuresHtml, headline } from './figures.js';
import { fp8Html } from './fp8.js';
import { type ReportAssets, renderPage } from './frame.js';
import { startPage } from './page/main.js';
import { anomaliesHtml, configurationHtml, evaluationsHtml, samplesHtml } from './tables.js';

export interface ReportInput {
  /** The settings of the run; listed in full. */
  config: Partial<TrainSettings>;
  /** The outcome of the run if it has ended; listed in full. */
  summary: Partial<Summary>;
  metrics: MetricsLine[];
}

const LINKS = [
  ['loss', 'Loss'],
  ['training', 'Training'],
  ['fp8', 'FP8 health'],
  ['samples', 'Samples'],
  ['evaluations', 'Evaluations'],
  ['configuration', 'Configuration'],
] as const;

export function reportPage({ config, summary, metrics }: ReportInput, uplot: ReportAssets): string {
  const run = collect(metrics);
  const head = headline(config, summary, run);
  const page = {
    title: `Training report${head.recipe ? `: ${head.recipe}` : ''}`,
    lead: head.lead,
    links: LINKS,
    main: [
      figuresHtml(head),
      anomaliesHtml(run),
      trainingHtml(run),
      fp8Html(run, head.recipe),
      samplesHtml(run),
      evaluationsHtml(run),
      configurationHtml(config, summary),
    ].join('\n'),
    data: run.chart,
    script: startPage,
  };
  return renderPage(page, uplot);
}
