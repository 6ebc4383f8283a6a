/** A line chart over steps, with a legend that shows the values under the pointer, or the last ones. */
import uPlot from 'uplot';
import { usePlot } from './plot.js';
import { averaged } from './points.js';
import { colourOf } from './theme.js';

export interface ChartSeries {
  readonly label: string;
  /** A colour property of the style sheet. */
  readonly colour: string;
  /** Ascending steps, and their values. */
  readonly steps: readonly number[];
  readonly values: readonly number[];
  /** Values at some steps only, drawn as points on a line. */
  readonly sparse?: boolean;
  /** Dashed, so that a curve below it remains visible. */
  readonly dashed?: boolean;
}

const lastOf = (values: ArrayLike<number | null | undefined>): number | null =>
  Array.from(values).findLast((value) => typeof value === 'number') ?? null;

export function Chart({
  label,
  series,
  height = 300,
}: {
  label: string;
  series: readonly ChartSeries[];
  height?: number;
}) {
  const box = usePlot({
    height,
    data: uPlot.join(series.map(({ steps, values }) => averaged(steps, values) as uPlot.AlignedData)),
    version: series.map(({ steps }) => steps.length).join(),
    shape: series.map((each) => each.label).join(),
    options: () => ({
      cursor: { y: false },
      scales: { x: { time: false } },
      series: [
        { label: 'step', value: (plot, step, _, at) => String((at === null ? lastOf(plot.data[0]) : step) ?? '') },
        ...series.map(
          ({ label, colour, sparse, dashed }): uPlot.Series => ({
            label,
            stroke: colourOf(colour),
            width: sparse ? 2 : 1.5,
            ...(dashed && { dash: [4, 4] }),
            spanGaps: true,
            points: { show: Boolean(sparse), size: 5 },
            value: (plot, value, index, at) => (at === null ? lastOf(plot.data[index]) : value)?.toFixed(3) ?? '–',
          }),
        ),
      ],
    }),
  });
  // The chart in words: screen readers read the legend.
  return <section class="chart" aria-label={label} ref={box} />;
}
