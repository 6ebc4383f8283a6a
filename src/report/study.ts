/** Renders a study as one HTML file. The same results give the same bytes. */
import { MEASURES } from '../study/measures.js';
import { nameOf } from '../study/plan.js';
import type { Results } from '../study/results.js';
import { chartFigure } from './charts.js';
import { type Figure, figuresHtml } from './figures.js';
import { type ReportAssets, renderPage } from './frame.js';
import { startStudy } from './page/study.js';
import { studyData } from './study/data.js';
import { meanDifference, value } from './study/numbers.js';
import { comparisonHtml, divergenceHtml, runsHtml } from './study/tables.js';
import { recordTable } from './tables.js';
import { compact, count, escapeHtml } from './text.js';

const LINKS = [
  ['curves', 'Curves'],
  ['comparison', 'Comparison'],
  ['divergence', 'Divergence'],
  ['runs', 'Runs'],
  ['experiment', 'Experiment'],
] as const;

export function studyPage(results: Results, uplot: ReportAssets): string {
  const { experiment } = results;
  const page = {
    title: experiment.title,
    lead: experiment.question,
    links: LINKS,
    main: [
      figuresHtml(headline(results)),
      curvesHtml(results),
      comparisonHtml(results),
      divergenceHtml(results),
      runsHtml(results),
      experimentHtml(results),
    ].join('\n'),
    data: studyData(results),
    script: startStudy,
  };
  return renderPage(page, uplot);
}

/** The headline: the first measure of up to four compared cells, and the size of the study. */
function headline({ study, size, text, experiment, runs, cells }: Results) {
  const [name] = experiment.measures;
  const compared = cells.filter(({ baseline }) => baseline !== null);
  const main = (compared.length > 0 ? compared : cells).slice(0, 4).map(({ cell, measures }): Figure => {
    const { value: mean, difference } = measures[name]!;
    if (!difference) return { label: nameOf(cell), value: mean ? value(mean.mean) : '–', note: MEASURES[name].title };
    return { label: nameOf(cell), value: meanDifference(name, difference), note: difference.words };
  });
  const diverged = runs.filter((run) => run.diverged !== null).length;
  const facts = [
    { label: 'Study', value: `${study}, ${size}` },
    { label: 'Runs', value: count(runs.length) },
    { label: 'Seeds', value: count(experiment.seeds) },
    { label: 'Diverged', value: count(diverged) },
    { label: 'Tokens in each run', value: compact(runs[0].tokens) },
    { label: 'Text', value: `${text.name}, ${count(text.bytes)} bytes` },
  ];
  return { main, facts };
}

function curvesHtml({ experiment }: Results): string {
  const [lines, ...others] = Object.entries(experiment.axes);
  const selects = others.map(
    ([name, values]) =>
      `<label>${escapeHtml(name)} <select name="${escapeHtml(name)}">${values
        .map((one) => `<option value="${escapeHtml(one.name)}">${escapeHtml(one.name)}</option>`)
        .join('')}</select></label>`,
  );
  const choice = selects.length > 0 ? `<form class="choice" aria-label="Runs to draw">${selects.join('')}</form>` : '';
  const figures = experiment.measures.map((name, i) => {
    const { title, unit } = MEASURES[name];
    const sentence = `A line for each ${lines[0]}: the mean over the seeds that got to the step, in a band from the lowest to the highest.`;
    return chartFigure({ id: name, title, unit, sentence, tall: i === 0 });
  });
  const [first, ...rest] = figures;
  return `<section id="curves" aria-labelledby="curves-heading">
<h2 id="curves-heading">Curves</h2>
${choice}
<div class="grid">${first}</div>
<div class="grid two">${rest.join('\n')}</div>
</section>`;
}

function experimentHtml({ experiment, text }: Results): string {
  const { title: _, question: __, axes, ...rest } = experiment;
  const values = Object.fromEntries(
    Object.entries(axes).map(([axis, choices]) => [
      axis,
      Object.fromEntries(choices.map(({ name, set }) => [name, set])),
    ]),
  );
  return `<section id="experiment" aria-labelledby="experiment-heading">
<h2 id="experiment-heading">Experiment</h2>
<div class="grid two">
${recordTable('Experiment', { ...rest, text })}
${recordTable('Axes', values)}
</div>
</section>`;
}
