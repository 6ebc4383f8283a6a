/** A line chart over steps. Data are put in as they come; the picture is drawn between frames. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { colourOf, onThemeChange } from './theme.js';

export interface ChartSeries {
  readonly label: string;
  /** A colour property of the style sheet. */
  readonly colour: string;
  /** Ascending steps, and their values. */
  readonly steps: readonly number[];
  readonly values: readonly number[];
  /** Values at some steps only: points on a line. */
  readonly sparse?: boolean;
}

/** Points to draw of one series: more than there are pixels. */
const MAX_POINTS = 1500;

/** Groups of points as their mean, so that drawing takes no longer with time. */
function thinned({ steps, values }: ChartSeries): [number[], number[]] {
  const size = Math.ceil(steps.length / MAX_POINTS);
  if (size <= 1) return [[...steps], [...values]];
  const [xs, ys]: [number[], number[]] = [[], []];
  for (let from = 0; from < steps.length; from += size) {
    const group = values.slice(from, from + size);
    xs.push(steps[Math.min(from + size, steps.length) - 1]);
    ys.push(group.reduce((a, b) => a + b, 0) / group.length);
  }
  return [xs, ys];
}

const joined = (series: readonly ChartSeries[]): uPlot.AlignedData =>
  uPlot.join(series.map((each) => thinned(each) as uPlot.AlignedData));

export function Chart({
  label,
  series,
  height = 280,
}: {
  label: string;
  series: readonly ChartSeries[];
  height?: number;
}) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const names = series.map((each) => each.label).join();

  // New data come by the next effect; new series make a new chart.
  useEffect(() => {
    const place = host.current!;
    const axis = {
      stroke: () => colourOf('--muted'),
      grid: { stroke: () => colourOf('--border'), width: 1 },
      ticks: { show: false },
    };
    const width = () => Math.max(200, place.clientWidth);
    const made = new uPlot(
      {
        width: width(),
        height,
        scales: { x: { time: false } },
        axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000] }, axis],
        series: [
          { label: 'step' },
          ...series.map(({ label, colour, sparse }) => ({
            label,
            stroke: () => colourOf(colour),
            width: sparse ? 2 : 1.5,
            spanGaps: true,
            points: { show: Boolean(sparse), size: 5 },
            value: (_: uPlot, value: number | null) => (value === null ? '–' : value.toFixed(4)),
          })),
        ],
      },
      joined(series),
      place,
    );
    plot.current = made;
    const picture = made.root.querySelector('.u-wrap');
    picture?.setAttribute('role', 'img');
    picture?.setAttribute('aria-label', label);
    const observer = new ResizeObserver(() => made.setSize({ width: width(), height }));
    observer.observe(place);
    const stop = onThemeChange(() => made.redraw());
    return () => {
      stop();
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [names, height]);

  useEffect(() => plot.current?.setData(joined(series)));
  return <div class="chart" ref={host} />;
}
