/** One run at its latest look: the codes of a tensor, and the channels of its layer. */
import { useMemo } from 'preact/hooks';
import { formatSpec } from '../../src/formats/index.js';
import type { MonitorLine, SwigluMonitor, TensorMonitor } from '../../src/train/events.js';
import { brief } from '../formats/decimal.js';
import { hexOf } from '../formats/explore.js';
import { Scroll } from '../formats/scroll.js';
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
      {swiglu?.smoothing && <Smoothing layer={layer} smoothing={swiglu.smoothing} />}
      {monitor && <Gradients layer={layer} norms={monitor.grad_norms} />}
    </section>
  );
}

function Figures({ seen }: { seen: TensorMonitor }) {
  const figures: [string, string][] = [
    ['amax', brief(seen.amax)],
    ['SQNR', seen.sqnr_db === null ? 'nothing lost' : `${seen.sqnr_db.toFixed(1)} dB`],
    ['Kurtosis', seen.kurtosis === null ? '–' : brief(seen.kurtosis)],
  ];
  if (seen.scale !== undefined) figures.push(['Scale', `2^${Math.log2(seen.scale)}`]);
  if (seen.saturated !== undefined) figures.push(['Saturated', percent(seen.saturated)]);
  if (seen.underflowed !== undefined) figures.push(['Underflowed', percent(seen.underflowed)]);
  return (
    <dl class="figures">
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Codes({ run, tensor, seen }: { run: string; tensor: string; seen: TensorMonitor }) {
  return (
    <div class="card">
      <h3>
        {tensor} as {seen.dtype}
      </h3>
      <Figures seen={seen} />
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
        <Scroll label={`Codes of ${tensor} by size, ${run}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Magnitude of the code</th>
                <th scope="col" class="number">
                  Negative
                </th>
                <th scope="col" class="number">
                  Positive
                </th>
                <th scope="col" class="number">
                  Share
                </th>
              </tr>
            </thead>
            <tbody>
              {shares.map((row) => (
                <tr key={row.what}>
                  <th scope="row">{row.what}</th>
                  <td class="number">{row.negative}</td>
                  <td class="number">{row.positive}</td>
                  <td class="number">{percent(row.share)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
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
        <Scroll label={`The most aligned channels of ${layer}, ${run}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Channel</th>
                <th scope="col" class="number">
                  Cosine
                </th>
                <th scope="col" class="number">
                  Largest activation
                </th>
              </tr>
            </thead>
            <tbody>
              {mostAligned(channels, LISTED).map(({ channel, cosine, amax }) => (
                <tr key={channel}>
                  <th scope="row">{channel}</th>
                  <td class="number">{cosine.toFixed(4)}</td>
                  <td class="number">{brief(amax)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </div>
  );
}

/** How many tokens or channels have each s: both are powers of two. */
function occurrences(smoothing: NonNullable<SwigluMonitor['smoothing']>): [exponent: number, count: number][] {
  if (smoothing.by === 'token') return smoothing.counts.map((count, i) => [smoothing.exponent + i, count]);
  const counts = new Map<number, number>();
  for (const exponent of smoothing.exponents) counts.set(exponent, (counts.get(exponent) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => a - b);
}

function Smoothing({ layer, smoothing }: { layer: string; smoothing: NonNullable<SwigluMonitor['smoothing']> }) {
  const rows = occurrences(smoothing);
  const most = rows.reduce((largest, [, count]) => Math.max(largest, count), 1);
  return (
    <div class="card">
      <h3>{layer}: Smooth-SwiGLU scales</h3>
      <p class="muted small">How many {smoothing.by}s are divided by each power of two before the cast.</p>
      <table class="scales">
        <thead>
          <tr>
            <th scope="col">s</th>
            <th scope="col" class="number">
              {smoothing.by}s
            </th>
            <td />
          </tr>
        </thead>
        <tbody>
          {rows.map(([exponent, count]) => (
            <tr key={exponent}>
              <th scope="row">
                2<sup>{exponent}</sup>
              </th>
              <td class="number">{count}</td>
              <td class="measure">
                <span class="bar" style={{ width: `${(100 * count) / most}%` }} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Gradients({ layer, norms }: { layer: string; norms: Readonly<Record<string, number>> }) {
  const rows = Object.entries(norms).filter(([name]) => name.startsWith(`${layer}.`));
  const most = rows.reduce((largest, [, norm]) => Math.max(largest, norm), Number.MIN_VALUE);
  return (
    <div class="card">
      <h3>{layer}: gradient norms</h3>
      <table class="scales">
        <thead>
          <tr>
            <th scope="col">Parameter</th>
            <th scope="col" class="number">
              Norm
            </th>
            <td />
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, norm]) => (
            <tr key={name}>
              <th scope="row">{name.slice(layer.length + 1)}</th>
              <td class="number">{brief(norm)}</td>
              <td class="measure">
                <span class="bar" style={{ width: `${(100 * norm) / most}%` }} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
