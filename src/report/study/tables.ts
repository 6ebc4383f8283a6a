/** The parts of a study's report that are text: the comparison of each measure, the map of divergence, the runs, the experiment. */
import { MEASURES, type MeasureName } from '../../study/measures.js';
import { nameOf } from '../../study/plan.js';
import { type CellRecord, type Results, type RunRecord, runsOf } from '../../study/results.js';
import { count, escapeHtml } from '../text.js';
import { differenceText, value } from './numbers.js';

const scroll = (label: string, table: string) =>
  `<div class="scroll" role="region" aria-label="${escapeHtml(label)}" tabindex="0"><table>${table}</table></div>`;

/** `html` cells are HTML already. */
const row = (head: string, cells: readonly string[], last = '') =>
  `<tr><th scope="row">${escapeHtml(head)}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}${last}</tr>`;
const header = (names: readonly string[]) =>
  `<thead><tr>${names.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('')}</tr></thead>`;

/** One table per measure: means over seeds, and differences to the baseline. */
export function comparisonHtml({ experiment, cells }: Results): string {
  const axes = Object.keys(experiment.axes).join(', ');
  const tables = experiment.measures.map((name) => {
    const { title, unit } = MEASURES[name];
    const head = [axes, 'diverged', 'mean', '95 % interval', 'deviation', 'against the baseline', 'in words'];
    const rows = cells.map((cell) => comparisonRow(cell, name));
    const caption = `<caption><span class="text">${escapeHtml(title)}, ${escapeHtml(unit)}</span></caption>`;
    return scroll(title, `${caption}${header(head)}<tbody>${rows.join('\n')}</tbody>`);
  });
  return `<section id="comparison" aria-labelledby="comparison-heading">
<h2 id="comparison-heading">Comparison</h2>
<p>Means are over the seeds whose run did not diverge. Differences are paired by seed with the baseline; intervals are Student's t at 95 %, and those of the differences are of the pairs.</p>
${tables.join('\n')}
</section>`;
}

function comparisonRow({ cell, baseline, runs, diverged, measures }: CellRecord, name: MeasureName): string {
  const { value: mean, difference } = measures[name]!;
  const interval = mean?.low != null && mean.high != null ? `${value(mean.low)} … ${value(mean.high)}` : '–';
  const words = difference?.words ?? (baseline ? 'no pair of runs' : 'baseline');
  return row(
    nameOf(cell),
    [
      `${diverged} of ${runs}`,
      mean ? value(mean.mean) : '–',
      interval,
      mean?.sd != null ? value(mean.sd) : '–',
      difference ? differenceText(name, difference) : '–',
    ],
    `<td class="words">${escapeHtml(words)}</td>`,
  );
}

/**
 * A map of divergence with one field per run: seeds down, learning rates across if they vary, otherwise the first axis; one map per choice of
 * other axes.
 */
export function divergenceHtml({ experiment, cells, runs }: Results): string {
  const names = Object.keys(experiment.axes);
  const across = names.includes('learningRate') ? 'learningRate' : names[0];
  const maps = new Map<string, CellRecord[]>();
  for (const cell of cells) {
    const rest = nameOf(Object.fromEntries(Object.entries(cell.cell).filter(([axis]) => axis !== across)));
    maps.set(rest, [...(maps.get(rest) ?? []), cell]);
  }
  const measure = experiment.measures[0];
  const tables = [...maps].map(([rest, some]) => {
    const columns = some.map((cell) => ({ name: cell.cell[across], runs: runsOf(cell.cell, runs) }));
    const seeds = Array.from({ length: experiment.seeds }, (_, i) => experiment.firstSeed + i);
    const rows = seeds.map(
      (seed) =>
        `<tr><th scope="row">seed ${seed}</th>${columns
          .map((column) =>
            field(
              column.runs.find((run) => run.seed === seed),
              measure,
            ),
          )
          .join('')}</tr>`,
    );
    const gone = some.reduce((sum, { diverged }) => sum + diverged, 0);
    const all = some.reduce((sum, cell) => sum + cell.runs, 0);
    const label = `${rest ? `${rest}: ` : ''}${gone} of ${all} runs diverged`;
    const caption = `<caption><span class="text">${escapeHtml(label)}</span></caption>`;
    return scroll(
      label,
      `${caption}${header([across, ...columns.map(({ name }) => name)])}<tbody>${rows.join('\n')}</tbody>`,
    );
  });
  const { rise, maxLoss } = experiment.divergence;
  return `<section id="divergence" aria-labelledby="divergence-heading">
<h2 id="divergence-heading">Divergence</h2>
<p>A run diverged if an anomaly ended it, or if its final validation loss is above ${rise} times its lowest or above ${maxLoss} nats a byte. Fields give ${escapeHtml(MEASURES[measure].title.toLowerCase())}, or the step at which the run went wrong.</p>
${tables.join('\n')}
</section>`;
}

function field(run: RunRecord | undefined, measure: MeasureName): string {
  if (!run) return '<td>–</td>';
  if (run.diverged) {
    return `<td class="high" title="${escapeHtml(run.diverged.why)}"><span aria-hidden="true">▲</span> diverged, step ${count(run.diverged.step)}</td>`;
  }
  const number = run.measures[measure];
  return `<td>${number == null ? '–' : value(number)}</td>`;
}

export function runsHtml({ experiment, runs }: Results): string {
  const head = [
    Object.keys(experiment.axes).join(', '),
    'seed',
    ...experiment.measures,
    'steps',
    'run',
    'state',
    'diverged',
  ];
  const rows = runs.map((run) =>
    row(
      nameOf(run.cell),
      [
        String(run.seed),
        ...experiment.measures.map((name) => {
          const number = run.measures[name];
          return number == null ? '–' : value(number);
        }),
        count(run.steps),
        `<span class="code">${run.digest}</span>`,
        `<span class="code">${escapeHtml(run.stateDigest ?? '–')}</span>`,
      ],
      `<td class="words">${escapeHtml(run.diverged?.why ?? '')}</td>`,
    ),
  );
  return `<section id="runs" aria-labelledby="runs-heading">
<h2 id="runs-heading">Runs</h2>
<p>The digest of a run covers all that decides it; that of its state, what it ended with. Equal runs have equal digests on any machine.</p>
${scroll('Runs', `${header(head)}<tbody>${rows.join('\n')}</tbody>`)}
</section>`;
}
