/** The channels of a feed-forward layer: how well the two SwiGLU weights of each are aligned, and how large its values become. */
import type { SwigluMonitor } from '../../src/train/events.js';

export interface Channel {
  readonly channel: number;
  readonly cosine: number;
  readonly amax: number;
}

/** The channels that have a cosine, sorted by it. */
export function channelsOf({ cosines, channel_amax: amax }: SwigluMonitor): Channel[] {
  return cosines
    .flatMap((cosine, channel) => (cosine === null ? [] : [{ channel, cosine, amax: amax[channel] }]))
    .sort((a, b) => a.cosine - b.cosine);
}

export const mostAligned = (channels: readonly Channel[], count: number): Channel[] =>
  [...channels].sort((a, b) => Math.abs(b.cosine) - Math.abs(a.cosine)).slice(0, count);

/** Mean |cosine| over all channels, and over the tenth of them with the largest values, which the theorem predicts to grow. */
export function alignment(channels: readonly Channel[]): { all: number; outliers: number } {
  const mean = (list: readonly Channel[]) => list.reduce((sum, { cosine }) => sum + Math.abs(cosine), 0) / list.length;
  const largest = [...channels].sort((a, b) => b.amax - a.amax).slice(0, Math.ceil(channels.length / 10));
  return { all: mean(channels), outliers: mean(largest) };
}

export const PLOT = { width: 200, height: 100 } as const;

/** Dots of a plot of cosine (-1 to 1, across) against amax (logarithmic, upwards), each drawn as a line of zero length with round caps. */
export function dots(channels: readonly Channel[]): string {
  const seen = channels.filter(({ amax }) => amax > 0);
  const logs = seen.map(({ amax }) => Math.log2(amax));
  const low = logs.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = logs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const up = (log: number) => (high > low ? (log - low) / (high - low) : 0.5);
  return seen
    .map(({ cosine }, i) => {
      const x = ((cosine + 1) / 2) * PLOT.width;
      return `M${x.toFixed(1)} ${(PLOT.height * (0.96 - 0.92 * up(logs[i]))).toFixed(1)}h0`;
    })
    .join('');
}

/** The cosines in ascending order as bars from the middle. */
export function cosineBars(channels: readonly Channel[]): string {
  const width = PLOT.width / channels.length;
  const middle = PLOT.height / 2;
  return channels
    .map(
      ({ cosine }, i) =>
        `M${(i * width).toFixed(2)} ${middle}v${(-middle * cosine).toFixed(2)}h${width.toFixed(2)}V${middle}z`,
    )
    .join('');
}
