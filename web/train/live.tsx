/** A run as it trains: progress, losses, samples. */
import { useEffect, useState } from 'preact/hooks';
import type { StepLine } from '../../src/train/events.js';
import type { RunEntry, RunRecord } from '../run/record.js';
import { isActive, leave, open, type Phase, pause, resume, type Session, useRuns } from '../run/runs.js';
import { Chart, type ChartSeries } from '../ui/chart.js';
import { availableThreads } from '../ui/threads.js';
import { count, duration } from '../ui/words.js';

const PHASES: Readonly<Record<Phase, string>> = {
  starting: 'Starting …',
  training: 'Training',
  pausing: 'Saving …',
  paused: 'Paused; everything is saved',
  done: 'Finished',
  failed: 'Stopped',
};

/** Columns of a log, taken further as it grows: each line is looked at once. */
interface Columns {
  seen: number;
  readonly first: unknown;
  readonly steps: number[];
  readonly losses: number[];
  readonly evalSteps: number[];
  readonly evalLosses: number[];
  readonly samples: { step: number; text: string }[];
  readonly anomalies: string[];
  last?: StepLine;
}
const known = new WeakMap<RunRecord, Columns>();

function columnsOf(record: RunRecord): Columns {
  const { lines } = record;
  let columns = known.get(record);
  if (!columns || columns.seen > lines.length || columns.first !== lines[0]) {
    columns = {
      seen: 0,
      first: lines[0],
      steps: [],
      losses: [],
      evalSteps: [],
      evalLosses: [],
      samples: [],
      anomalies: [],
    };
    known.set(record, columns);
  }
  for (; columns.seen < lines.length; columns.seen++) {
    const line = lines[columns.seen];
    if (line.type === 'step') {
      columns.steps.push(line.step);
      columns.losses.push(line.loss);
      columns.last = line;
    } else if (line.type === 'eval') {
      columns.evalSteps.push(line.step);
      columns.evalLosses.push(line.val_loss);
    } else if (line.type === 'sample') columns.samples.push({ step: line.step, text: line.prompt + line.text });
    else if (line.type === 'anomaly') columns.anomalies.push(line.what);
  }
  return columns;
}

const seriesOf = (columns: Columns, other: RunRecord | undefined): ChartSeries[] => {
  const own: ChartSeries[] = [
    { label: 'training', colour: '--series-1', steps: columns.steps, values: columns.losses },
    { label: 'validation', colour: '--series-2', steps: columns.evalSteps, values: columns.evalLosses, sparse: true },
  ];
  if (!other) return own;
  const { steps, losses } = columnsOf(other);
  return [...own, { label: other.name, colour: '--series-3', steps, values: losses }];
};

export function Live({ session }: { session: Session }) {
  const { record, phase, message } = session;
  const { entries = [] } = useRuns();
  const [other, setOther] = useState<RunRecord>();
  const columns = columnsOf(record);
  const { last } = columns;
  const steps = record.settings?.steps ?? 0;
  const step = last?.step ?? 0;
  const runs = isActive(session);
  const left = last && phase === 'training' ? (steps - step) * (last.tokens / step / last.tokens_per_sec) : Number.NaN;
  useEffect(() => setOther(undefined), [record.id]);
  const overlay = (entry: RunEntry | undefined) => {
    if (entry) void open(entry).then(setOther);
    else setOther(undefined);
  };
  const figures = [
    ['Step', `${count(step)} of ${count(steps)}`],
    ['Training loss', last ? last.loss.toFixed(3) : '–'],
    ['Validation loss', columns.evalLosses.at(-1)?.toFixed(3) ?? '–'],
    ['Tokens/s', last ? count(last.tokens_per_sec) : '–'],
    ['Time left', duration(left)],
    ['Threads', session.threads ? String(session.threads) : '–'],
  ];
  return (
    <div class="view">
      <div class="stack">
        <h1>{record.name}</h1>
        <p role="status" id="phase">
          {PHASES[phase]}
        </p>
      </div>
      {message && (
        <p class="notice danger" role="alert">
          {message}
        </p>
      )}
      <div class="row">
        {runs ? (
          <button type="button" class="primary" disabled={phase !== 'training'} onClick={pause}>
            Pause
          </button>
        ) : (
          phase !== 'done' &&
          record.settings && (
            <button type="button" class="primary" onClick={() => resume(availableThreads())}>
              Resume
            </button>
          )
        )}
        <button type="button" disabled={phase === 'starting' || phase === 'pausing'} onClick={() => void leave()}>
          {runs ? 'Stop' : 'New run'}
        </button>
      </div>
      <section class="card" aria-label="Progress">
        <progress max={steps} value={step} aria-label="Steps done" />
        <dl class="figures">
          {figures.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {last && (
          <p class="small muted">
            Digest of the state after step {last.step}: <code id="digest">{last.digest}</code>
          </p>
        )}
      </section>
      <section class="card">
        <div class="row">
          <h2>Loss</h2>
          <label class="small">
            Compare with{' '}
            <select onChange={(event) => overlay(entries.find(({ id }) => id === event.currentTarget.value))}>
              <option value="">nothing</option>
              {entries
                .filter(({ id, settings }) => id !== record.id && settings)
                .map(({ id, name }) => (
                  <option key={id} value={id}>
                    {name}
                  </option>
                ))}
            </select>
          </label>
        </div>
        <Chart label={`Loss of ${record.name} by step`} series={seriesOf(columns, other)} />
      </section>
      {columns.anomalies.length > 0 && (
        <section class="card">
          <h2>Anomalies</h2>
          <ul>
            {columns.anomalies.map((what) => (
              <li key={what}>{what}</li>
            ))}
          </ul>
        </section>
      )}
      <section class="card">
        <h2>Samples</h2>
        {columns.samples.length === 0 && <p class="muted">The first one comes after a tenth of the steps.</p>}
        {columns.samples.toReversed().map(({ step, text }) => (
          <figure key={step}>
            <figcaption class="small muted">Step {count(step)}</figcaption>
            <pre class="sample">{text}</pre>
          </figure>
        ))}
      </section>
    </div>
  );
}
