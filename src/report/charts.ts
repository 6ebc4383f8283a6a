/** The chart figures: each has a heading, one sentence on what it shows, and the box that the page's script draws into. */
import type { Cell, RunData } from './data.js';
import { median } from './figures.js';
import { count, escapeHtml, formatters } from './text.js';

export interface ChartFigure {
  id: string;
  title: string;
  unit: string;
  sentence: string;
  tall?: boolean;
}

export function chartFigure({ id, title, unit, sentence, tall }: ChartFigure): string {
  return `<figure class="chart">
<figcaption><h3>${escapeHtml(title)} <span class="unit">${escapeHtml(unit)}</span></h3><p>${escapeHtml(sentence)}</p></figcaption>
<div class="plot${tall ? ' tall' : ''}" data-chart="${id}"></div>
</figure>`;
}

/** Charts of loss, learning rate, gradient norm and speed, or one line if nothing was recorded. */
export function trainingHtml(run: RunData): string {
  const { train, val } = run.chart;
  const thinned =
    run.thinned.steps > 1
      ? `<p class="aside">${count(train.step.length)} of ${count(run.steps.length)} steps are drawn: the lowest loss, the highest loss and the highest gradient norm of every ${count(run.thinned.steps)} steps. Figures and sentences use all steps.</p>`
      : '';
  const loss = chartFigure({
    id: 'loss',
    title: 'Training and validation loss',
    unit: 'nats per token',
    sentence: lossSentence(run),
    tall: true,
  });
  const rest = [
    chartFigure({ id: 'lr', title: 'Learning rate', unit: 'per step', sentence: rateSentence(run) }),
    chartFigure({ id: 'grad', title: 'Gradient norm', unit: 'before clipping', sentence: gradientSentence(run) }),
    chartFigure({ id: 'speed', title: 'Speed', unit: 'tokens per second', sentence: speedSentence(run) }),
  ].join('\n');
  const nothing = '<p class="empty">No steps were recorded.</p>';
  return `<section id="loss" aria-labelledby="loss-heading">
<h2 id="loss-heading">Loss</h2>
${train.step.length + val.step.length > 0 ? loss + thinned : nothing}
</section>
<section id="training" aria-labelledby="training-heading">
<h2 id="training-heading">Training</h2>
${train.step.length > 0 ? `<div class="grid three">${rest}</div>` : nothing}
</section>`;
}

function lossSentence({ steps, smooth, smoothing, evals }: RunData): string {
  const first = steps.find((line) => Number.isFinite(line.loss));
  const end = smooth.findLast((value) => value !== null);
  const parts: string[] = [];
  if (first && end !== undefined) {
    const from = formatters.loss(first.loss);
    const to = `${formatters.loss(end)} (smoothed over about ${count(smoothing)} steps)`;
    const verb = end < first.loss ? 'fell' : 'went';
    parts.push(`the training loss ${steps.length > 1 ? `${verb} from ${from} to ${to}` : `was ${from}`}`);
  }
  const evaluated = evals.filter((line) => Number.isFinite(line.val_loss));
  if (evaluated.length > 0) {
    const best = evaluated.reduce((a, b) => (b.val_loss < a.val_loss ? b : a));
    const last = evaluated[evaluated.length - 1];
    parts.push(
      best === last
        ? `the validation loss ended at ${formatters.loss(last.val_loss)}, its lowest`
        : `the validation loss ended at ${formatters.loss(last.val_loss)}, after a lowest of ${formatters.loss(best.val_loss)} at step ${count(best.step)}`,
    );
  }
  return sentence(parts.join('; ') || 'no finite loss was recorded');
}

function rateSentence({ steps }: RunData): string {
  const rates = steps.filter((line) => Number.isFinite(line.lr));
  if (rates.length === 0) return 'No learning rate was recorded.';
  const top = rates.reduce((a, b) => (b.lr > a.lr ? b : a));
  const last = rates[rates.length - 1];
  const peak = `It peaked at ${formatters.rate(top.lr)}, at step ${count(top.step)}`;
  return last.lr < top.lr ? `${peak}, and ended at ${formatters.rate(last.lr)}.` : `${peak}.`;
}

function gradientSentence({ steps }: RunData): string {
  const norms = steps.filter((line) => Number.isFinite(line.grad_norm));
  const middle = median(norms.map((line) => line.grad_norm));
  if (middle === null) return 'No gradient norm was recorded.';
  const top = norms.reduce((a, b) => (b.grad_norm > a.grad_norm ? b : a));
  return `It was ${formatters.plain(middle)} in the median step and highest at step ${count(top.step)}: ${formatters.plain(top.grad_norm)}.`;
}

function speedSentence({ steps }: RunData): string {
  const speeds: Cell[] = steps.map((line) => line.tokens_per_sec);
  const sorted = speeds.filter((x) => x !== null && Number.isFinite(x)).sort((a, b) => a! - b!) as number[];
  const middle = median(sorted);
  if (middle === null) return 'No speed was recorded.';
  return `The median step ran at ${count(middle)} tokens per second; nine steps in ten were above ${count(sorted[Math.floor(sorted.length / 10)])}.`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
