/** Curves over steps, drawn by uPlot, with a table of some of their points for those who do not see them. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { brief } from '../formats/decimal.js';
import { Scroll } from '../formats/scroll.js';
import { colourOf, onThemeChange } from '../ui/theme.js';
import { type Column, joined, thinned } from './collect.js';

export interface Curve extends Column {
  readonly label: string;
  /** 1 to 5, a --series colour. */
  readonly colour: number;
  readonly dashed?: boolean;
}

interface Props {
  readonly title: string;
  readonly about: string;
  readonly curves: readonly Curve[];
  /** Doublings upwards instead of even steps. */
  readonly log?: boolean;
}

const HEIGHT = 200;
/** Rows of the table. */
const ROWS = 12;

function optionsOf(width: number, curves: readonly Curve[], log: boolean): uPlot.Options {
  const axis = {
    stroke: colourOf('--muted'),
    grid: { stroke: colourOf('--border'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false },
    scales: { x: { time: false }, y: log ? { distr: 3, log: 2 } : {} },
    axes: [
      axis,
      { ...axis, size: 64, values: (_, splits) => splits.map((value) => (value === null ? '' : brief(value))) },
    ],
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
  };
}

export function TimeChart({ title, about, curves, log = false }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  // A logarithm has no place for zero.
  const drawn = log
    ? curves.map((curve) => ({ ...curve, values: curve.values.map((value) => (value && value > 0 ? value : null)) }))
    : curves;
  const data = joined(drawn) as uPlot.AlignedData;
  const shape = curves.map(({ label, colour, dashed }) => `${label} ${colour} ${dashed}`).join();
  const latest = useRef(data);
  latest.current = data;

  // A chart is made anew for other curves, and given data otherwise
  useEffect(() => {
    const element = box.current!;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(element.clientWidth, curves, log), latest.current, element);
    };
    make();
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    const unfollow = onThemeChange(make);
    return () => {
      observer.disconnect();
      unfollow();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [shape, log]);

  const length = data[0].length;
  const end = data[0][length - 1];
  // Points are added at the end
  useEffect(() => plot.current?.setData(latest.current), [length, end, curves[0]?.values.at(-1)]);

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
    <Scroll label={`${title}, as a table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">Step</th>
            {curves.map(({ label }) => (
              <th key={label} scope="col" class="number">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ step, values }) => (
            <tr key={step}>
              <th scope="row">{step}</th>
              {values.map((value, i) => (
                <td key={curves[i].label} class="number">
                  {value === null || value === undefined ? '–' : brief(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
