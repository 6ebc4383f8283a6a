/**
 * A uPlot in an element, recreated when its options change and otherwise only given new data, as wide as its container and in the colours of the
 * page.
 */
import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { colourOf, onThemeChange } from './theme.js';

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];
const MIN_WIDTH = 200;

interface Plotted {
  readonly height: number;
  readonly data: uPlot.AlignedData;
  /** Changes whenever the data changes. */
  readonly version: unknown;
  /** Changes whenever the options change. */
  readonly shape: string;
  readonly options: () => Omit<uPlot.Options, 'width' | 'height' | 'axes'>;
  /** The vertical axis, of the values. */
  readonly axis?: uPlot.Axis;
}

/** Sets the legend as it is without a pointer: uPlot itself would leave it empty or stale. */
const noCursor = (plot: uPlot) => plot.setLegend({ idx: null as unknown as number });

const axis = (): uPlot.Axis => ({
  stroke: colourOf('--muted'),
  grid: { stroke: colourOf('--border'), width: 1 },
  ticks: { show: false },
});

export function usePlot({
  height,
  data,
  version,
  shape,
  options,
  axis: values,
}: Plotted): RefObject<HTMLDivElement | null> {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const place = box.current!;
    const size = () => ({ width: Math.max(MIN_WIDTH, place.clientWidth), height });
    const make = () => {
      plot.current?.destroy();
      const axes = [
        { ...axis(), incrs: STEPS, size: 28 },
        { ...axis(), ...values },
      ];
      plot.current = new uPlot({ ...size(), ...options(), axes }, latest.current, place);
      plot.current.root.querySelector('.u-wrap')?.setAttribute('aria-hidden', 'true');
      noCursor(plot.current);
    };
    make();
    const observer = new ResizeObserver(() => plot.current?.setSize(size()));
    observer.observe(place);
    const unfollow = onThemeChange(make);
    return () => {
      observer.disconnect();
      unfollow();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [shape, height]);

  useEffect(() => {
    plot.current?.setData(latest.current);
    if (plot.current?.cursor.idx === null) noCursor(plot.current);
  }, [version]);
  return box;
}
