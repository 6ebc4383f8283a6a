/** One run at its latest monitored step: the codes of a tensor, and the channels of its layer. */
import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { formatSpec } from '../../src/formats/index.js';
import type { MonitorLine, SwigluMonitor, TensorMonitor } from '../../src/train/events.js';
import { brief } from '../formats/decimal.js';
import { hexOf } from '../formats/explore.js';
import { Figures } from '../ui/figures.js';
import { Table } from '../ui/table.js';
import { alignment, channelsOf, cosineBars, dots, mostAligned, PLOT } from './channels.js';
import { nameOf } from './collect.js';
import { barsOf, HEIGHT, outline, sharesOf } from './histogram.js';

const percent = (share: number): string => `${brief(100 * share)} %`;

interface Props {
  readonly name: string;
  readonly tensor: string;
  readonly monitor: MonitorLine | undefined;
}

export function Panel({ name, tensor, monitor }: Props) {
  const { layer } = nameOf(tensor);
  const seen = monitor?.tensors[tensor];
  const swiglu = monitor?.swiglu[`${layer}.down`];
  return (
    <section class="stack panel" aria-label={`Run ${name}`}>
      <h2>
        {name} <span class="muted small">{monitor ? `step ${monitor.step}` : 'not looked into yet'}</span>
      </h2>
      {seen && <Codes run={name} tensor={tensor} seen={seen} />}
      {swiglu && <Alignment run={name} layer={layer} swiglu={swiglu} />}
      {swiglu?.smoothing && <Smoothing run={name} layer={layer} smoothing={swiglu.smoothing} />}
      {monitor && <Gradients run={name} layer={layer} norms={monitor.grad_norms} />}
    </section>
  );
}

function figuresOf(seen: TensorMonitor): [name: string, value: string][] {
  const figures: [string, string][] = [
    ['amax', brief(seen.amax)],
    ['SQNR', seen.sqnr_db === null ? 'nothing lost' : `${seen.sqnr_db.toFixed(1)} dB`],
    ['Kurtosis', seen.kurtosis === null ? '–' : brief(seen.kurtosis)],
  ];
  if (seen.scale !== undefined) figures.push(['Scale', `2^${Math.log2(seen.scale)}`]);
  if (seen.saturated !== undefined) figures.push(['Saturated', percent(seen.saturated)]);
  if (seen.underflowed !== undefined) figures.push(['Underflowed', percent(seen.underflowed)]);
  return figures;
}

function Codes({ run, tensor, seen }: { run: string; tensor: string; seen: TensorMonitor }) {
  return (
    <div class="card">
      <h3>
        {tensor} as {seen.dtype}
      </h3>
      <Figures figures={figuresOf(seen)} />
      {seen.codes ? (
        <Histogram codes={seen.codes} run={run} tensor={tensor} seen={seen} />
      ) : (
        <p class="muted">Not cast to one byte in this recipe.</p>
      )}
    </div>
  );
}

function Histogram({
  run,
  tensor,
  codes,
  seen,
}: {
  run: string;
  tensor: string;
  codes: readonly number[];
  seen: TensorMonitor;
}) {
  const spec = formatSpec(seen.dtype);
  const { bars, negative, positive, shares } = useMemo(() => {
    const all = barsOf(codes, spec);
    const isNegative = ({ code }: { code: number }) => spec.signCode > 0 && code >= spec.signCode;
    return {
      bars: all,
      negative: outline(all, isNegative),
      positive: outline(all, (bar) => !isNegative(bar)),
      shares: sharesOf(codes, spec),
    };
  }, [codes, spec]);
  const largest = spec.max / (seen.scale ?? 1);
  return (
    <>
      <svg class="histogram" viewBox={`0 0 ${bars.length} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <path class="negative" d={negative} />
        <path class="positive" d={positive} />
      </svg>
      <div class="ends" aria-hidden="true">
        <span>{brief(-largest)}</span>
        <span>0</span>
        <span>{brief(largest)}</span>
      </div>
      <p class="muted small">
        Each bar is a code, {hexOf(0, spec)} for zero in the middle, in the order of their values; heights are
        logarithms of how often it occurs.
      </p>
      <details>
        <summary>Table of codes by size</summary>
        <Table
          label={`Codes of ${tensor} by size, ${run}`}
          columns={[
            { title: 'Magnitude of the code' },
            { title: 'Negative', number: true },
            { title: 'Positive', number: true },
            { title: 'Share', number: true },
          ]}
          rows={shares.map(({ what, negative, positive, share }) => ({
            key: what,
            cells: [what, negative, positive, percent(share)],
          }))}
        />
      </details>
    </>
  );
}

const LISTED = 10;

function Alignment({ run, layer, swiglu }: { run: string; layer: string; swiglu: SwigluMonitor }) {
  const { channels, bars, cloud } = useMemo(() => {
    const sorted = channelsOf(swiglu);
    return { channels: sorted, bars: cosineBars(sorted), cloud: dots(sorted) };
  }, [swiglu]);
  const { all, outliers } = alignment(channels);
  return (
    <div class="card">
      <h3>{layer}: gate and up weights of each channel</h3>
      <p class="muted small">
        The cosine between a channel's two rows of weights, 1 or -1 where they are aligned. Mean magnitude{' '}
        {all.toFixed(3)}; {outliers.toFixed(3)} in the tenth of the channels that grow largest.
      </p>
      <svg class="plot" viewBox={`0 0 ${PLOT.width} ${PLOT.height}`} preserveAspectRatio="none" aria-hidden="true">
        <path class="axis" d={`M0 ${PLOT.height / 2}H${PLOT.width}`} />
        <path class="bars" d={bars} />
      </svg>
      <div class="ends" aria-hidden="true">
        <span>smallest cosine</span>
        <span>largest</span>
      </div>
      <svg class="plot" viewBox={`0 0 ${PLOT.width} ${PLOT.height}`} preserveAspectRatio="none" aria-hidden="true">
        <path class="axis" d={`M${PLOT.width / 2} 0V${PLOT.height}`} />
        <path class="dots" d={cloud} />
      </svg>
      <div class="ends" aria-hidden="true">
        <span>cosine -1</span>
        <span>largest activation upwards</span>
        <span>1</span>
      </div>
      <details>
        <summary>The {Math.min(LISTED, channels.length)} most aligned channels</summary>
        <Table
          label={`The most aligned channels of ${layer}, ${run}`}
          columns={[
            { title: 'Channel' },
            { title: 'Cosine', number: true },
            { title: 'Largest activation', number: true },
          ]}
          rows={mostAligned(channels, LISTED).map(({ channel, cosine, amax }) => ({
            key: channel,
            cells: [channel, cosine.toFixed(4), brief(amax)],
          }))}
        />
      </details>
    </div>
  );
}

/** Number of tokens or channels with each s, all of which are powers of two. */
function occurrences(smoothing: NonNullable<SwigluMonitor['smoothing']>): [exponent: number, count: number][] {
  if (smoothing.by === 'token') return smoothing.counts.map((count, i) => [smoothing.exponent + i, count]);
  const counts = new Map<number, number>();
  for (const exponent of smoothing.exponents) counts.set(exponent, (counts.get(exponent) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => a - b);
}

interface Measured {
  readonly key: string | number;
  readonly name: ComponentChildren;
  readonly value: number;
}

/** Values as numbers, and as bars relative to the largest. */
function Measures({ label, titles, rows }: { label: string; titles: [string, string]; rows: readonly Measured[] }) {
  const most = rows.reduce((largest, { value }) => Math.max(largest, value), Number.MIN_VALUE);
  const columns = [
    { title: titles[0] },
    { title: titles[1], number: true },
    { title: <span class="visually-hidden">As a bar</span> },
  ];
  const bar = (value: number) => <span key="bar" class="bar" style={{ width: `${(100 * value) / most}%` }} />;
  return (
    <div class="measures">
      <Table
        label={label}
        columns={columns}
        rows={rows.map(({ key, name, value }) => ({ key, cells: [name, brief(value), bar(value)] }))}
      />
    </div>
  );
}

function Smoothing({
  run,
  layer,
  smoothing,
}: {
  run: string;
  layer: string;
  smoothing: NonNullable<SwigluMonitor['smoothing']>;
}) {
  return (
    <div class="card">
      <h3>{layer}: Smooth-SwiGLU scales</h3>
      <p class="muted small">How many {smoothing.by}s are divided by each power of two before the cast.</p>
      <Measures
        label={`Smooth-SwiGLU scales of ${layer}, ${run}`}
        titles={['s', `${smoothing.by}s`]}
        rows={occurrences(smoothing).map(([exponent, count]) => ({
          name: (
            <>
              2<sup>{exponent}</sup>
            </>
          ),
          key: exponent,
          value: count,
        }))}
      />
    </div>
  );
}

function Gradients({ run, layer, norms }: { run: string; layer: string; norms: Readonly<Record<string, number>> }) {
  return (
    <div class="card">
      <h3>{layer}: gradient norms</h3>
      <Measures
        label={`Gradient norms of ${layer}, ${run}`}
        titles={['Parameter', 'Norm']}
        rows={Object.entries(norms)
          .filter(([name]) => name.startsWith(`${layer}.`))
          .map(([name, value]) => ({ name: name.slice(layer.length + 1), key: name, value }))}
      />
    </div>
  );
}
