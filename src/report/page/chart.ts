/**
 * Draws one chart in the reader's browser: the report embeds this function as source text. It must therefore be self-contained: it may use the
 * DOM, its parameters and its own locals, and may import only types.
 */
import type uPlot from 'uplot';

export interface ChartSpec {
  data: uPlot.AlignedData;
  series: SeriesSpec[];
  tick: (value: number) => string;
  /** Height of a chart that is not tall. */
  height: number;
  /** Start the axis at zero, and make it span at least this much. */
  fromZero?: number;
  /** Whole-number ticks only, as on an axis of exponents. */
  whole?: boolean;
  /** Steps to mark with a dashed vertical line. */
  marks?: number[];
  /** Areas between two series, numbered from 1, filled in the colour of a third. */
  bands?: { between: [upper: number, lower: number]; color: string }[];
}

export interface SeriesSpec {
  label: string;
  /** A colour property of the style sheet, such as `--blue`. */
  color: string;
  width: number;
  alpha?: number;
  /** Values at some steps only, drawn as points joined by a line. */
  sparse?: boolean;
  /** An edge of a band: neither drawn nor in the legend. */
  edge?: boolean;
  value: (value: number | null) => string;
}

export function createChart(Plot: typeof uPlot, host: HTMLElement, spec: ChartSpec): uPlot {
  const height = host.classList.contains('tall') ? (innerWidth < 600 ? 260 : 360) : spec.height;
  /** Heading and sentence, which also describe the chart to screen readers; the sentence may change with the data. */
  const describe = (u: uPlot) => {
    const parts = [...(host.parentElement?.querySelectorAll('figcaption > *') ?? [])].map((part) => part.textContent);
    u.root.querySelector('.u-wrap')?.setAttribute('aria-label', parts.join('. '));
  };
  const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const lastOf = (values: ArrayLike<number | null | undefined>) => {
    for (let i = values.length - 1; i >= 0; i--) if (values[i] != null) return values[i] as number;
    return null;
  };
  const known = (series: number) => Array.from(spec.data[series]).filter((value) => value != null).length;
  const axis = {
    stroke: () => css('--muted'),
    grid: { stroke: () => css('--grid'), width: 1 },
    ticks: { show: false },
    font: `12px ${css('--sans')}`,
  };
  /** Without a cursor the legend shows the last value, so that the chart is informative on paper and on a phone. */
  const legendValue = (format: (value: number | null) => string) => {
    return (u: uPlot, value: number | null, series: number, index: number | null) =>
      format(index == null ? lastOf(u.data[series]) : (value ?? null));
  };
  const swatch = ({ color, alpha = 1 }: SeriesSpec) => `color-mix(in srgb, var(${color}) ${100 * alpha}%, transparent)`;
  const wholeSteps = [1, 2, 5, ...Array.from({ length: 28 }, (_, i) => [10, 20, 25, 50][i % 4] * 10 ** (i >> 2))];
  const drawMarks = (u: uPlot) => {
    const { left, top, width, height } = u.bbox;
    u.ctx.save();
    u.ctx.strokeStyle = css('--high-ink');
    u.ctx.lineWidth = Plot.pxRatio;
    u.ctx.setLineDash([4 * Plot.pxRatio, 4 * Plot.pxRatio]);
    u.ctx.beginPath();
    for (const step of spec.marks ?? []) {
      const x = Math.round(u.valToPos(step, 'x', true));
      if (x < left || x > left + width) continue;
      u.ctx.moveTo(x, top);
      u.ctx.lineTo(x, top + height);
    }
    u.ctx.stroke();
    u.ctx.restore();
  };

  const fromZero = spec.fromZero;
  const plot = new Plot(
    {
      width: Math.max(200, host.clientWidth),
      height,
      padding: [10, 22, 0, 0],
      // One cursor and zoom for all charts, which share their steps.
      cursor: {
        sync: { key: 'steps', scales: ['x', null], setSeries: false },
        drag: { x: true, y: false, dist: 6 },
        hover: { skip: [null, undefined] },
        y: false,
      },
      legend: { markers: { width: 0, fill: (_u, i) => (i > 0 ? swatch(spec.series[i - 1]) : 'transparent') } },
      scales: {
        x: { time: false },
        y:
          fromZero === undefined
            ? {}
            : { range: (_u, _min, max) => [0, max === null ? fromZero : Math.max(fromZero, max * 1.06)] },
      },
      axes: [
        {
          ...axis,
          incrs: wholeSteps,
          label: 'step',
          labelSize: 20,
          labelGap: 0,
          labelFont: axis.font,
          size: 30,
          space: 64,
        },
        {
          ...axis,
          values: (_u, splits) => splits.map(spec.tick),
          size: (_u, values) => 18 + 7 * Math.max(3, ...(values ?? []).map((text) => text.length)),
          space: spec.whole ? 24 : 36,
          ...(spec.whole && { incrs: [1, 2, 4, 8, 16, 32] }),
        },
      ],
      series: [
        { label: 'step', value: legendValue((step) => (step === null ? '' : step.toLocaleString('en-US'))) },
        ...spec.series.map(
          (series, i): uPlot.Series => ({
            label: series.label,
            stroke: () => css(series.color),
            width: series.width,
            alpha: series.alpha ?? 1,
            spanGaps: series.sparse || series.edge,
            class: series.edge ? 'edge' : undefined,
            // A line through one point would be invisible; hundreds of points would hide their line.
            points: {
              show: !series.edge && known(i + 1) <= (series.sparse ? 120 : 2),
              size: 6,
              space: 0,
              fill: () => css(series.color),
            },
            value: legendValue(series.value),
          }),
        ),
      ],
      bands: (spec.bands ?? []).map(({ between, color }) => ({
        series: between,
        fill: () => `color-mix(in srgb, ${css(color)} 16%, transparent)`,
      })),
      hooks: { draw: [drawMarks], setData: [describe] },
    },
    spec.data,
    host,
  );
  plot.setLegend({ idx: null as unknown as number });

  plot.root.querySelector('.u-wrap')?.setAttribute('role', 'img');
  // uPlot's legend can hide a series only with the mouse; add the keyboard.
  plot.root.querySelectorAll<HTMLElement>('.u-series th').forEach((entry, i) => {
    if (i === 0) return;
    entry.tabIndex = 0;
    entry.setAttribute('role', 'button');
    entry.title = 'Show or hide';
    entry.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      plot.setSeries(i, { show: !plot.series[i].show });
    });
  });
  new ResizeObserver(() => plot.setSize({ width: Math.max(200, host.clientWidth), height })).observe(host);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.redraw());
  return plot;
}
