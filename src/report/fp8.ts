/** The FP8 section: four charts for the selected tensors, and a table of every tensor at the last recorded step. */
import type { RoleHealth } from '../train/events.js';
import { chartFigure } from './charts.js';
import { type Cell, cell, type Fp8Columns, type Fp8Tensor, type RunData } from './data.js';
import { count, escapeHtml, formatters } from './text.js';

/**
 * Thresholds for highlighting in the table: hints, not verdicts. Delayed scaling clips a few values now and then by design, and a gradient loses
 * its smallest values without harm; one value in a hundred clipped, or one in four lost, is worth a look at the scale.
 */
const CUES = {
  saturated: { watch: 0.001, high: 0.01 },
  underflowed: { watch: 0.05, high: 0.25 },
} as const;

export function fp8Html(run: RunData, recipe: string | undefined): string {
  const fp8 = run.chart.fp8;
  return `<section id="fp8" aria-labelledby="fp8-heading">
<h2 id="fp8-heading">FP8 health</h2>
${fp8 ? healthHtml(run, fp8) : `<p class="empty">${escapeHtml(absence(run, recipe))}</p>`}
</section>`;
}

function absence(run: RunData, recipe: string | undefined): string {
  if (recipe && run.steps.length > 0 && !/fp8/i.test(recipe))
    return `Recipe ${recipe} keeps no tensor in FP8, so there is nothing to watch here.`;
  return 'No FP8 health was recorded.';
}

function healthHtml(run: RunData, fp8: Fp8Columns): string {
  const options = (field: 'layer' | 'linear') =>
    [...new Set(fp8.tensors.map((tensor) => tensor[field]))]
      .map((name) => `<option value="${escapeHtml(name)}">${escapeHtml(name)}</option>`)
      .join('');
  const thinned =
    run.thinned.fp8 > 1
      ? ` Of every ${count(run.thinned.fp8)} recorded steps one point is drawn: their highest fractions and amax, and their last scale.`
      : '';
  // The page's script writes the sentences, because they depend on the selection.
  const chart = (id: string, title: string, unit: string) => chartFigure({ id, title, unit, sentence: '' });
  return `<p>${escapeHtml(overview(fp8))}</p>
<form class="choice" aria-label="Tensors to draw">
<label>Layer <select name="layer"><option value="*">all</option>${options('layer')}</select></label>
<label>Linear <select name="linear"><option value="*">all</option>${options('linear')}</select></label>
<p class="aside">With several tensors, the charts show the highest fraction among them, and amax and scale of the one with the largest amax.${thinned}</p>
</form>
<div class="grid two" id="fp8-charts">
${chart('saturated', 'Saturated', 'values clipped at the format’s maximum')}
${chart('underflowed', 'Underflowed', 'values that became zero')}
${chart('amax', 'Largest magnitude', 'amax, log₂ axis')}
${chart('scale', 'Scale', 'log₂ axis')}
</div>
${tableHtml(run, fp8)}`;
}

function overview(fp8: Fp8Columns): string {
  const worst = (field: 'saturated' | 'underflowed') => {
    let top = { value: 0, key: '', step: 0 };
    for (const tensor of fp8.tensors)
      tensor[field].forEach((value, row) => {
        if (value !== null && value > top.value) top = { value, key: tensor.key, step: fp8.step[row] };
      });
    return top;
  };
  const clipped = worst('saturated');
  const lost = worst('underflowed');
  const at = ({ value, key, step }: { value: number; key: string; step: number }) =>
    `${formatters.percent(value)} of ${key}, at step ${count(step)}`;
  return [
    clipped.value > 0 ? `The most values clipped in one tensor were ${at(clipped)}.` : 'No value was ever clipped.',
    lost.value > 0 ? `The most values lost to zero were ${at(lost)}.` : 'No value was ever lost to zero.',
  ].join(' ');
}

function tableHtml(run: RunData, fp8: Fp8Columns): string {
  const last = run.steps.findLast((line) => line.fp8 && Object.keys(line.fp8).length > 0);
  if (!last?.fp8) return '';
  const health = last.fp8;
  const roles = [...new Set(fp8.tensors.map((tensor) => tensor.role))];
  const rows = new Map<string, Map<string, Fp8Tensor>>();
  for (const tensor of fp8.tensors) {
    const name = `${tensor.layer}\0${tensor.linear}`;
    rows.set(name, (rows.get(name) ?? new Map()).set(tensor.role, tensor));
  }
  const body = [...rows.values()].map((byRole) => {
    const { layer, linear } = byRole.values().next().value as Fp8Tensor;
    const cells = roles.map((role) => {
      const tensor = byRole.get(role);
      return tensor && Object.hasOwn(health, tensor.key) ? healthCells(health[tensor.key]) : '<td colspan="4">–</td>';
    });
    return `<tr><th scope="row"><button type="button" data-layer="${escapeHtml(layer)}" data-linear="${escapeHtml(linear)}" title="Draw this one above">${escapeHtml(`${layer} ${linear}`)}</button></th>${cells.join('')}</tr>`;
  });
  const percent = (x: number) => `${100 * x} %`;
  return `<h3 id="fp8-table">Every tensor at step ${count(last.step)}</h3>
<div class="scroll" role="region" aria-labelledby="fp8-table" tabindex="0">
<table class="health">
<caption><span class="text">Choose a row’s name to draw it above. <span class="watch">▲ watch</span>: clipped from ${percent(CUES.saturated.watch)} or lost from ${percent(CUES.underflowed.watch)}; <span class="high">▲▲ high</span>: from ${percent(CUES.saturated.high)} or ${percent(CUES.underflowed.high)}.</span></caption>
<thead>
<tr><th scope="col" rowspan="2">Layer, linear</th>${roles.map((role) => `<th scope="colgroup" colspan="4">${escapeHtml(role)}</th>`).join('')}</tr>
<tr>${roles.map(() => '<th scope="col">amax</th><th scope="col">scale</th><th scope="col">sat.</th><th scope="col">underfl.</th>').join('')}</tr>
</thead>
<tbody>
${body.join('\n')}
</tbody>
</table>
</div>`;
}

function healthCells(health: RoleHealth): string {
  const cue = (value: Cell, { watch, high }: { watch: number; high: number }) => {
    const text = formatters.percent(value);
    if (value === null || value < watch) return `<td>${text}</td>`;
    const [name, mark] = value < high ? ['watch', '▲'] : ['high', '▲▲'];
    return `<td class="${name}"><span aria-hidden="true">${mark}</span><span class="hidden">${name}:</span> ${text}</td>`;
  };
  return [
    `<td class="first">${formatters.magnitude(cell(health.amax))}</td>`,
    `<td>${scaleText(cell(health.scale))}</td>`,
    cue(cell(health.saturated), CUES.saturated),
    cue(cell(health.underflowed), CUES.underflowed),
  ].join('');
}

/** Formats a scale by its exponent, by which scales are compared. */
function scaleText(scale: Cell): string {
  if (scale === null || scale <= 0) return formatters.magnitude(scale);
  const exponent = Math.log2(scale);
  return Number.isInteger(exponent) ? formatters.powerOfTwo(exponent) : formatters.magnitude(scale);
}
