/** Draws a study's curves for one selection of axes. Runs in the reader's browser, embedded as source text; see `chart.ts` for the constraints. */
import type uPlot from 'uplot';
import type { StudyData } from '../study/data.js';
import type { Formatters } from '../text.js';
import type { createChart, SeriesSpec } from './chart.js';

export function startStudy(Plot: typeof uPlot, data: StudyData, format: Formatters, chart: typeof createChart): void {
  const colors = ['--blue', '--orange', '--green', '--purple', '--sky', '--gold', '--rust', '--muted'];
  const [lines, ...chosen] = data.axes;
  const selects = chosen.map(({ name }) =>
    document.querySelector<HTMLSelectElement>(`select[name="${CSS.escape(name)}"]`),
  );

  /** The cells to draw, one per value of the first axis. */
  const cells = () =>
    lines.values.map((line) => {
      const at = [line, ...chosen.map(({ values }, i) => selects[i]?.value ?? values[0])];
      return data.cells.find((cell) => cell.at.every((value, axis) => value === at[axis]));
    });
  const columns = (measure: number) =>
    Plot.join(
      cells().map((cell) => {
        const { step, low, high, mean } = cell?.bands[measure] ?? { step: [], low: [], high: [], mean: [] };
        return [step, low, high, mean] as uPlot.AlignedData;
      }),
    );
  const value = (x: number | null) => (x === null ? 'n/a' : Math.abs(x) >= 0.01 ? x.toFixed(4) : format.rate(x));
  const series = lines.values.flatMap((label, i): SeriesSpec[] => {
    const color = colors[i % colors.length];
    const edge = { label: '', color, width: 0, edge: true, value };
    return [edge, edge, { label, color, width: 2, sparse: true, value }];
  });
  const bands = lines.values.map((_, i) => ({
    between: [3 * i + 2, 3 * i + 1] as [number, number],
    color: colors[i % colors.length],
  }));

  const plots = data.measures.map((name, measure) => {
    const place = document.querySelector<HTMLElement>(`[data-chart="${name}"]`);
    if (!place) return undefined;
    return chart(Plot, place, { height: 240, tick: format.tick, data: columns(measure), series, bands });
  });
  for (const select of selects) {
    select?.addEventListener('change', () => {
      plots.forEach((plot, measure) => {
        plot?.setData(columns(measure));
        plot?.setLegend({ idx: null as unknown as number });
      });
    });
  }
}
