/** Summarises a study as Markdown, to be kept with the documents: results, command, machine and time taken. */

import { differenceText, estimateText } from '../../report/study/numbers.js';
import { count, duration } from '../../report/text.js';
import { MEASURES, nameOf, type Results } from '../../study/index.js';

/** Circumstances that the results do not depend on. */
export interface Circumstances {
  readonly command: string;
  /** Processor, cores and runtime. */
  readonly machine: string;
  /** Total over all runs. */
  readonly seconds: number;
  /** Number of simultaneous runs. */
  readonly jobs: number;
}

const cellText = (text: string) => text.replace(/[|\\]/g, '\\$&').replace(/\s+/g, ' ');
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cellText).join(' | ')} |`).join('\n');

export function summaryMarkdown(results: Results, { command, machine, seconds, jobs }: Circumstances): string {
  const { experiment, runs, cells, text, size } = results;
  const tokens = runs.reduce((sum, run) => sum + run.tokens, 0);
  const axes = Object.keys(experiment.axes);
  const tables = experiment.measures.map((name) => {
    const { title, unit } = MEASURES[name];
    const rows = cells.map(({ cell, baseline, runs: n, diverged, measures }) => {
      const { value, difference } = measures[name]!;
      const against = baseline && difference ? differenceText(name, difference) : '';
      return [
        nameOf(cell),
        `${diverged} of ${n}`,
        estimateText(value),
        against,
        difference?.words ?? (baseline ? '' : 'baseline'),
      ];
    });
    return `### ${title} (${unit})\n\n${table([axes.join(', '), 'diverged', 'mean, 95 % interval', 'against the baseline', 'in words'], rows)}`;
  });
  const list = runs.map((run) => [
    nameOf(run.cell),
    String(run.seed),
    `\`${run.digest}\``,
    `\`${run.stateDigest ?? 'none'}\``,
    run.diverged ? `step ${count(run.diverged.step)}: ${run.diverged.why}` : '',
  ]);
  return `# ${experiment.title}

${experiment.question}

Made by

\`\`\`sh
${command}
\`\`\`

(size \`${size}\`) on ${machine}: ${count(runs.length)} runs of ${count(runs[0].tokens)} tokens, ${count(tokens)} in
all, ${duration(seconds)} of running, ${jobs} at a time. Text: \`${text.name}\`, ${count(text.bytes)} bytes, digest \`${text.digest}\`. Means are
over the seeds that did not diverge; differences are paired by seed; intervals are Student's t.

${tables.join('\n\n')}

## Runs

${table([axes.join(', '), 'seed', 'run', 'state after the last step', 'diverged'], list)}
`;
}
