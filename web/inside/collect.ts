/** Collects what the view shows from a run's lines as they arrive, reading each line once. */

import type { RoleHealth } from '../../src/model/casts.js';
import type { AnomalyLine, MetricsLine, MonitorLine } from '../../src/train/events.js';
import { findAnomaly } from '../../src/train/guard.js';
import type { TrainSettings } from '../../src/train/options.js';
import { thinned } from '../ui/points.js';

export interface HealthAt {
  readonly step: number;
  readonly fp8: Readonly<Record<string, RoleHealth>>;
}

export interface Collected {
  /** Number of lines read, and the last of them. */
  readonly read: number;
  readonly last: MetricsLine | undefined;
  /** Ascending by step, like the monitors. */
  readonly health: readonly HealthAt[];
  readonly monitors: readonly MonitorLine[];
  readonly anomalies: readonly AnomalyLine[];
}

const NOTHING: Collected = { read: 0, last: undefined, health: [], monitors: [], anomalies: [] };

/** Adds the lines since `before`, or starts again if lines were removed. A repeated step replaces itself and everything after it. */
export function collected(lines: readonly MetricsLine[], before: Collected = NOTHING): Collected {
  const goesOn = before.read <= lines.length && lines[before.read - 1] === before.last;
  if (goesOn && before.read === lines.length) return before;
  const from = goesOn ? before : NOTHING;
  const read = { read: lines.length, last: lines.at(-1) };
  const added = lines.slice(from.read);
  if (!added.some((line) => isNews(line, from))) return { ...from, ...read };
  const health = [...from.health];
  const monitors = [...from.monitors];
  const anomalies = [...from.anomalies];
  for (const line of added) {
    if (line.type === 'step') {
      dropFrom(health, line.step);
      dropFrom(monitors, line.step);
      if (line.fp8) health.push({ step: line.step, fp8: line.fp8 });
    }
    if (line.type === 'monitor') {
      dropFrom(monitors, line.step);
      monitors.push(line);
    }
    if (line.type === 'anomaly') anomalies.push(line);
  }
  return { ...read, health, monitors, anomalies };
}

/** Most steps record nothing about their tensors. If nothing is new, the lists keep their identity, so that nothing is redrawn. */
function isNews(line: MetricsLine, { health, monitors }: Collected): boolean {
  if (line.type !== 'step') return line.type === 'monitor' || line.type === 'anomaly';
  const latest = Math.max(health.at(-1)?.step ?? 0, monitors.at(-1)?.step ?? 0);
  return line.fp8 !== undefined || line.step <= latest;
}

function dropFrom(list: { readonly step: number }[], step: number): void {
  while (list.length > 0 && list[list.length - 1].step >= step) list.pop();
}

/** A tensor's name: `layers.0.qkv.input` is layer `layers.0`, linear `qkv`, role `input`. */
export interface TensorName {
  readonly layer: string;
  readonly linear: string;
  readonly role: string;
}

export function nameOf(key: string): TensorName {
  const parts = key.split('.');
  const [linear, role] = parts.slice(-2);
  return { layer: parts.slice(0, -2).join('.'), linear, role };
}

export const keyOf = ({ layer, linear, role }: TensorName): string => `${layer}.${linear}.${role}`;

/** The tensors of runs, ordered by layer, and within a layer as in the log. */
export function tensorKeys(runs: readonly Collected[]): string[] {
  const keys = runs.flatMap(({ health, monitors }) => [
    ...Object.keys(monitors.at(-1)?.tensors ?? {}),
    ...Object.keys(health.at(-1)?.fp8 ?? {}),
  ]);
  const number = (key: string) => Number(/\d+/.exec(key)?.[0] ?? 0);
  return [...new Set(keys)].sort((a, b) => number(a) - number(b));
}

/** Values over steps; null where there is no value. */
export interface Column {
  readonly steps: readonly number[];
  readonly values: readonly (number | null)[];
}

function column<T extends { readonly step: number }>(
  list: readonly T[],
  value: (entry: T) => number | null | undefined,
): Column {
  const some = thinned(list);
  return { steps: some.map(({ step }) => step), values: some.map((entry) => value(entry) ?? null) };
}

export const healthColumn = ({ health }: Collected, key: string, of: (health: RoleHealth) => number): Column =>
  column(health, ({ fp8 }) => (fp8[key] ? of(fp8[key]) : null));

export const monitorColumn = ({ monitors }: Collected, key: string, of: 'sqnr_db' | 'kurtosis'): Column =>
  column(monitors, ({ tensors }) => tensors[key]?.[of]);

/** Joins columns over all their steps, as uPlot takes them; undefined where a column does not have the step, so that its curve continues. */
export function joined(columns: readonly Column[]): [number[], ...(number | null | undefined)[][]] {
  const steps = [...new Set(columns.flatMap((each) => each.steps))].sort((a, b) => a - b);
  const values = columns.map((each) => {
    const at = new Map(each.steps.map((step, i) => [step, each.values[i]]));
    return steps.map((step) => at.get(step));
  });
  return [steps, ...values];
}

/** Shares above which a tensor raises an alarm: the guard's own settings, or stricter ones. */
export type Bounds = Pick<TrainSettings, 'maxSaturated' | 'maxUnderflowed'>;

export interface Alarm {
  readonly step: number;
  readonly what: string;
}

/** The guard's findings on a run's tensors within these bounds (the latest of each tensor), and the steps it refused. Newest first. */
export function alarms({ health, anomalies }: Collected, settings: TrainSettings, bounds: Bounds): Alarm[] {
  const found = new Map<string, Alarm>();
  for (const { step, fp8 } of health) {
    for (const [key, { saturated, underflowed, ...rest }] of Object.entries(fp8)) {
      if (!(saturated > bounds.maxSaturated || underflowed > bounds.maxUnderflowed)) continue;
      const one = new Map([[key, { saturated, underflowed, ...rest }]]);
      const outcome = { step, loss: 0, gradNorm: 0, health: one };
      const anomaly = findAnomaly({ ...settings, ...bounds }, [], outcome, () => '');
      if (anomaly) found.set(key, { step, what: anomaly.what });
    }
  }
  const refused = anomalies.map(({ step, what }) => ({ step, what }));
  return [...found.values(), ...refused].sort((a, b) => b.step - a.step);
}
