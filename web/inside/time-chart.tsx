/** Curves over steps, drawn by uPlot, with a table of some of their points for readers who cannot see them. */
import type uPlot from 'uplot';
import { brief } from '../formats/decimal.js';
import { usePlot } from '../ui/plot.js';
import { thinned } from '../ui/points.js';
import { Table } from '../ui/table.js';
import { colourOf } from '../ui/theme.js';
import { type Column, joined } from './collect.js';

export interface Curve extends Column {
  readonly label: string;
  /** Number of a --series colour, 1 to 5. */
  readonly colour: number;
  readonly dashed?: boolean;
}

interface Props {
  readonly title: string;
  readonly about: string;
  readonly curves: readonly Curve[];
  /** Whether the value axis is logarithmic, in doublings. */
  readonly log?: boolean;
}

const HEIGHT = 200;
/** Rows of the table. */
const ROWS = 12;

export function TimeChart({ title, about, curves, log = false }: Props) {
  // Zero has no logarithm.
  const drawn = log
    ? curves.map((curve) => ({ ...curve, values: curve.values.map((value) => (value && value > 0 ? value : null)) }))
    : curves;
  const data = joined(drawn) as uPlot.AlignedData;
  const length = data[0].length;
  const box = usePlot({
    height: HEIGHT,
    data,
    // Points are only added at the end.
    version: `${length} ${data[0][length - 1]} ${curves[0]?.values.at(-1)}`,
    shape: `${curves.map(({ label, colour, dashed }) => `${label} ${colour} ${dashed}`).join()} ${log}`,
    axis: { size: 64, values: (_, splits) => splits.map((value) => (value === null ? '' : brief(value))) },
    options: () => ({
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: false }, y: log ? { distr: 3, log: 2 } : {} },
      series: [
        {},
        ...curves.map(({ label, colour, dashed }) => ({
          label,
          stroke: colourOf(`--series-${colour}`),
          width: 2,
          ...(dashed && { dash: [6, 4] }),
          spanGaps: true,
          points: { show: false },
        })),
      ],
    }),
  });

  return (
    <figure class="card time-chart">
      <figcaption class="stack">
        <h3>{title}</h3>
        <p class="muted small">{about}</p>
        <ul class="legend">
          {curves.map(({ label, colour, dashed }) => (
            <li key={label}>
              <span class={`swatch series-${colour} ${dashed ? 'dashed' : ''}`} aria-hidden="true" />
              {label}
            </li>
          ))}
        </ul>
      </figcaption>
      <div ref={box} class="plot" aria-hidden="true" />
      {length === 0 && <p class="muted">Nothing recorded yet.</p>}
      <details>
        <summary>Table</summary>
        <Points title={title} curves={curves} />
      </details>
    </figure>
  );
}

function Points({ title, curves }: Pick<Props, 'title' | 'curves'>) {
  const [steps, ...columns] = joined(curves);
  const rows = thinned(
    steps.map((step, i) => ({ step, values: columns.map((column) => column[i]) })),
    ROWS,
  );
  return (
    <Table
      label={`${title}, as a table`}
      columns={[{ title: 'Step' }, ...curves.map(({ label }) => ({ title: label, number: true }))]}
      rows={rows.map(({ step, values }) => ({
        key: step,
        cells: [step, ...values.map((value) => (value === null || value === undefined ? '–' : brief(value)))],
      }))}
    />
  );
}
