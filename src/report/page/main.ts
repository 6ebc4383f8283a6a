/**
 * Draws the charts of a run and follows the selection of FP8 tensors. Runs in the reader's browser, embedded as source text; see `chart.ts`
 * for the constraints.
 */
import type uPlot from 'uplot';
import type { Cell, ChartData, Fp8Tensor } from '../data.js';
import type { Formatters } from '../text.js';
import type { createChart, SeriesSpec } from './chart.js';

export function startPage(Plot: typeof uPlot, data: ChartData, format: Formatters, chart: typeof createChart): void {
  const { train, val, fp8 } = data;
  const blue = { color: '--blue', width: 1.75 };

  const host = (id: string) => document.querySelector<HTMLElement>(`[data-chart="${id}"]`);

  const draw = (
    id: string,
    columns: uPlot.AlignedData,
    series: SeriesSpec[],
    options: Partial<Parameters<typeof createChart>[2]>,
  ) => {
    const place = host(id);
    if (!place) return undefined;
    return chart(Plot, place, { height: 210, tick: format.plain, data: columns, series, ...options });
  };

  if (host('loss')) {
    const columns = Plot.join([
      [train.step, train.loss, train.smooth],
      [val.step, val.val_loss],
    ] as uPlot.AlignedData[]); // evaluations may stand at steps without a training line
    const series = [
      { label: 'training, each step', color: '--blue', width: 1, alpha: 0.38, value: format.loss },
      { label: 'training, smoothed', color: '--blue', width: 2, value: format.loss },
      { label: 'validation', color: '--orange', width: 2, sparse: true, value: format.loss },
    ];
    if (val.step.length === 0) series.pop();
    draw('loss', columns.slice(0, series.length + 1) as uPlot.AlignedData, series, { marks: data.anomalies });
  }
  const one = (id: string, column: Cell[], label: string, value: SeriesSpec['value'], tick: (x: number) => string) =>
    draw(id, [train.step, column] as uPlot.AlignedData, [{ ...blue, label, value }], {
      tick,
      fromZero: 1e-9,
      marks: data.anomalies,
    });
  one('lr', train.lr, 'learning rate', format.rate, format.tick);
  one('grad', train.grad_norm, 'gradient norm', format.plain, format.plain);
  one('speed', train.tokens_per_sec, 'tokens per second', format.plain, format.plain);

  if (fp8) startFp8(fp8);

  function startFp8({ step, tensors }: NonNullable<ChartData['fp8']>): void {
    const form = document.querySelector<HTMLFormElement>('form.choice');
    const layer = form?.querySelector<HTMLSelectElement>('[name=layer]');
    const linear = form?.querySelector<HTMLSelectElement>('[name=linear]');
    if (!layer || !linear) return;
    const roles = [...new Set(tensors.map((tensor) => tensor.role))];
    const colors = ['--blue', '--green', '--orange', '--muted'];

    type Field = 'saturated' | 'underflowed' | 'amax' | 'scale';
    const lines = (value: SeriesSpec['value']): SeriesSpec[] =>
      roles.map((label, i) => ({ label, color: colors[Math.min(i, 3)], width: 1.75, value }));
    const raised = (exponent: number | null) => (exponent === null ? 'n/a' : format.magnitude(2 ** exponent));
    const power = (exponent: number | null) =>
      exponent !== null && Number.isInteger(exponent) ? format.powerOfTwo(exponent) : raised(exponent);
    const percent = { tick: format.percentTick, fromZero: 1e-4 };
    const log2 = { tick: format.powerOfTwo, whole: true };
    const fields: { id: Field; value: SeriesSpec['value']; options: Parameters<typeof draw>[3]; plot?: uPlot }[] = [
      { id: 'saturated', value: format.percent, options: percent },
      { id: 'underflowed', value: format.percent, options: percent },
      { id: 'amax', value: raised, options: log2 },
      { id: 'scale', value: power, options: log2 },
    ];

    const chosen = () =>
      tensors.filter(
        (tensor) =>
          (layer.value === '*' || tensor.layer === layer.value) &&
          (linear.value === '*' || tensor.linear === linear.value),
      );
    /** Values of one line and role: the highest fraction, or amax and scale of the tensor with the largest amax. */
    const column = (some: Fp8Tensor[], field: Field): Cell[] =>
      step.map((_, row) => {
        let top: Fp8Tensor | undefined;
        const by = field === 'scale' ? 'amax' : field;
        for (const tensor of some) if ((tensor[by][row] ?? -1) > (top?.[by][row] ?? -1)) top = tensor;
        const value = top?.[field][row] ?? null;
        if (field === 'saturated' || field === 'underflowed' || value === null) return value;
        return value > 0 ? Math.log2(value) : null;
      });

    const sentence = (field: Field, columns: Cell[][]): string => {
      if (field === 'saturated' || field === 'underflowed') {
        let top = { value: 0, role: '', step: 0 };
        columns.forEach((values, i) => {
          values.forEach((value, row) => {
            if (value !== null && value > top.value) top = { value, role: roles[i], step: step[row] };
          });
        });
        const what = field === 'saturated' ? 'clipped' : 'lost to zero';
        if (top.value === 0) return `No value was ${what}.`;
        return `At most ${format.percent(top.value)} of values were ${what}: ${top.role}, at step ${top.step.toLocaleString('en-US')}.`;
      }
      const ranges = columns.map((values, i) => {
        const known = values.filter((value) => value !== null);
        if (known.length === 0) return `${roles[i]} none`;
        const low = Math.round(Math.min(...known));
        const high = Math.round(Math.max(...known));
        return `${roles[i]} ${format.powerOfTwo(low)}${high > low ? ` to ${format.powerOfTwo(high)}` : ''}`;
      });
      return `${field === 'amax' ? 'Magnitudes reached' : 'Scales were'} about ${ranges.join(', ')}.`;
    };

    const show = () => {
      const some = chosen();
      for (const field of fields) {
        const columns = roles.map((role) =>
          column(
            some.filter((tensor) => tensor.role === role),
            field.id,
          ),
        );
        const place = host(field.id);
        const text = place?.parentElement?.querySelector('figcaption p');
        if (!place || !text) continue;
        text.textContent = sentence(field.id, columns);
        const rows = [step, ...columns] as uPlot.AlignedData;
        if (!field.plot) {
          field.plot = draw(field.id, rows, lines(field.value), field.options);
        } else {
          field.plot.setData(rows);
          field.plot.setLegend({ idx: null as unknown as number });
        }
      }
      for (const button of document.querySelectorAll<HTMLElement>('.health button')) {
        const drawn = button.dataset.layer === layer.value && button.dataset.linear === linear.value;
        button.setAttribute('aria-pressed', String(drawn));
      }
    };
    layer.addEventListener('change', show);
    linear.addEventListener('change', show);
    for (const button of document.querySelectorAll<HTMLElement>('.health button')) {
      button.addEventListener('click', () => {
        layer.value = button.dataset.layer ?? '*';
        linear.value = button.dataset.linear ?? '*';
        show();
        document.querySelector('#fp8')?.scrollIntoView();
      });
    }
    show();
  }
}
