/** The headline figures of a run, from the summary if there is one, and otherwise from the settings and the metrics. */
import type { Summary, TrainSettings } from '../train/index.js';
import { cell, type RunData } from './data.js';
import { compact, count, duration, escapeHtml, formatters } from './text.js';

export interface Figure {
  label: string;
  value: string;
  note?: string;
  /** Too long to be placed beside other figures. */
  wide?: boolean;
}

export interface Headline {
  /** Drawn large. */
  main: Figure[];
  facts: Figure[];
  recipe?: string;
  /** The run in one sentence. */
  lead: string;
}

export function headline(config: Partial<TrainSettings>, summary: Partial<Summary>, run: RunData): Headline {
  const last = run.steps.at(-1);
  const lastEval = run.evals.at(-1);

  const valLoss = cell(summary.val_loss) ?? cell(lastEval?.val_loss);
  const bits = cell(summary.val_bits_per_byte) ?? cell(lastEval?.val_bits_per_byte);
  const given = cell(summary.tokens_per_second);
  const speed = given ?? median(run.steps.map((line) => line.tokens_per_sec).filter(Number.isFinite));
  const parameters = cell(summary.parameters);
  const steps = summary.steps ?? last?.step ?? 0;
  const tokens = cell(summary.tokens) ?? cell(last?.tokens);
  const elapsed = cell(summary.elapsed_seconds) ?? cell(last?.elapsed_s);
  const recipe = summary.recipe ?? config.recipe?.name;
  const best = lowest(run);

  const main: (Figure | undefined)[] = [
    figure(
      'Validation loss',
      valLoss,
      formatters.loss,
      best && valLoss !== null && best.value < valLoss ? best.note : 'nats per token',
    ),
    figure('Bits per byte', bits, formatters.loss, 'validation text'),
    figure('Tokens per second', speed, count, given === null ? 'median over the steps' : undefined),
    figure('Parameters', parameters, compact, parameters === null ? undefined : count(parameters)),
  ];
  const facts: (Figure | undefined)[] = [
    fact('Recipe', recipe),
    fact('Build', summary.build),
    fact('Threads', summary.threads?.toString()),
    fact('Runtime', summary.runtime),
    fact('Steps', count(steps)),
    fact('Tokens', tokens === null ? undefined : count(tokens)),
    fact('Time', elapsed === null ? undefined : duration(elapsed)),
    fact('Digest', summary.digest ?? last?.digest, true),
  ];
  const present = (item?: Figure) => item !== undefined;
  return {
    main: main.filter(present),
    facts: facts.filter(present),
    recipe,
    lead: [
      `${count(steps)} ${steps === 1 ? 'step' : 'steps'}`,
      recipe && ` of recipe ${recipe}`,
      tokens !== null && `, ${count(tokens)} tokens`,
      elapsed !== null && `, in ${duration(elapsed)}`,
      '.',
    ]
      .filter(Boolean)
      .join(''),
  };
}

export function figuresHtml({ main, facts }: Pick<Headline, 'main' | 'facts'>): string {
  const item = ({ label, value, note, wide }: Figure) =>
    `<div${wide ? ' class="wide"' : ''}><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(value)}${note ? `<small>${escapeHtml(note)}</small>` : ''}</dd></div>`;
  return `<section id="figures" aria-label="Headline figures">
<dl class="tiles">${main.map(item).join('')}</dl>
<dl class="facts">${facts.map(item).join('')}</dl>
</section>`;
}

function figure(label: string, value: number | null, format: (x: number) => string, note?: string): Figure {
  return value === null ? { label, value: '–', note: 'not recorded' } : { label, value: format(value), note };
}

function fact(label: string, value: string | undefined, wide = false): Figure | undefined {
  return value === undefined || value === '' ? undefined : { label, value, wide };
}

function lowest(run: RunData): { value: number; note: string } | undefined {
  let best: { value: number; note: string } | undefined;
  for (const { step, val_loss } of run.evals) {
    const value = cell(val_loss);
    if (value !== null && !(best && best.value <= value))
      best = { value, note: `lowest ${formatters.loss(value)}, step ${count(step)}` };
  }
  return best;
}

export function median(values: number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
