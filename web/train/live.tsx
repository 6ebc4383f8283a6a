/** A run as it trains: progress, losses, samples. */
import { useEffect, useState } from 'preact/hooks';
import type { StepLine } from '../../src/train/events.js';
import { addressOf } from '../route.js';
import type { RunEntry, RunRecord } from '../run/record.js';
import { isActive, leave, open, type Phase, pause, resume, type Session, savedStep, useRuns } from '../run/runs.js';
import { ReportLink } from '../runs/report-link.js';
import { Chart, type ChartSeries } from '../ui/chart.js';
import { Figures } from '../ui/figures.js';
import { availableThreads } from '../ui/threads.js';
import { count, duration } from '../ui/words.js';
import { keepRun } from './draft.js';

const PHASES: Readonly<Record<Phase, string>> = {
  starting: 'Starting …',
  training: 'Training',
  pausing: 'Saving …',
  paused: 'Paused; everything is saved',
  interrupted: 'Interrupted',
  elsewhere: 'Training in another tab or window; it can be paused there',
  done: 'Finished',
  failed: 'Stopped',
};

function words({ phase, record }: Session): string {
  if (phase !== 'interrupted') return PHASES[phase];
  const step = savedStep(record);
  const from = step === 0 ? 'begins anew' : `goes on from step ${count(step)}, the last save`;
  return `${PHASES.interrupted}: Resume ${from}. The steps since come out the same, bit for bit.`;
}

/** Columns of a log, extended as it grows: each line is read once. */
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
  const pair = ({ steps, losses, evalSteps, evalLosses }: Columns, name: string, first: number, dashed: boolean) => [
    { label: `training${name}`, colour: `--series-${first}`, steps, values: losses, dashed },
    {
      ...{ label: `validation${name}`, colour: `--series-${first + 1}`, steps: evalSteps, values: evalLosses },
      ...{ sparse: true, dashed },
    },
  ];
  return [...pair(columns, '', 1, false), ...(other ? pair(columnsOf(other), `, ${other.name}`, 3, true) : [])];
};

/** The latest other run with the same text and settings, apart from the recipe. */
function twinOf(id: string, entries: readonly RunEntry[]): RunEntry | undefined {
  const own = entries.find((entry) => entry.id === id);
  const alike = ({ text, digest, settings }: RunEntry) => JSON.stringify([text, digest, { ...settings, recipe: '' }]);
  return own?.settings && entries.find((entry) => entry.id !== id && alike(entry) === alike(own));
}

/** The run shown beside this one in the chart: its twin, unless another is chosen. */
function useOverlay(id: string, entries: readonly RunEntry[]): [RunRecord | undefined, (id: string) => void] {
  const [choice, setChoice] = useState<{ of: string; id: string }>();
  const [other, setOther] = useState<RunRecord>();
  const wanted = choice?.of === id ? choice.id : (twinOf(id, entries)?.id ?? '');
  useEffect(() => {
    const entry = entries.find((each) => each.id === wanted);
    let current = true;
    const show = (record?: RunRecord) => {
      if (current) setOther(record);
    };
    if (entry) open(entry).then(show, () => show());
    else show();
    return () => {
      current = false;
    };
  }, [wanted]);
  return [other?.id === wanted ? other : undefined, (chosen) => setChoice({ of: id, id: chosen })];
}

export function Live({ session }: { session: Session }) {
  const { record, phase, message } = session;
  const { entries = [] } = useRuns();
  const [other, setOther] = useOverlay(record.id, entries);
  const columns = columnsOf(record);
  const { last } = columns;
  const steps = record.settings?.steps ?? 0;
  const step = last?.step ?? 0;
  const runs = isActive(session);
  const left = last && phase === 'training' ? (steps - step) * (last.tokens / step / last.tokens_per_sec) : Number.NaN;
  const next = async () => {
    const entry = entries.find(({ id }) => id === record.id);
    // A run whose files cannot be read can still be left.
    if (entry) await keepRun(entry).catch(() => undefined);
    await leave();
  };
  const figures: [name: string, value: string][] = [
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
          {words(session)}
        </p>
      </div>
      {message && (
        <p class="notice danger" role="alert">
          {message}
        </p>
      )}
      <div class="row">
        {runs && (
          <button type="button" class="primary" disabled={phase !== 'training'} onClick={pause}>
            Pause
          </button>
        )}
        {!runs && phase !== 'done' && phase !== 'elsewhere' && (
          <button type="button" class="primary" onClick={() => resume(availableThreads())}>
            Resume
          </button>
        )}
        <button type="button" disabled={phase === 'starting' || phase === 'pausing'} onClick={() => void next()}>
          {runs ? 'Stop' : 'New run'}
        </button>
        <a class="button" href={addressOf('inside')}>
          Look inside
        </a>
        {phase === 'done' && (
          <a class="button" href={addressOf('generate')}>
            Generate
          </a>
        )}
        {step > 0 && <ReportLink id={record.id}>Report</ReportLink>}
      </div>
      <section class="card" aria-label="Progress">
        <progress max={steps} value={step} aria-label="Steps done" />
        <Figures figures={figures} />
        {last && (
          <p class="small muted">
            Digest of the state after step {last.step}: <code id="digest">{last.digest}</code>
          </p>
        )}
      </section>
      <section class="card">
        <div class="row apart">
          <h2>Loss</h2>
          <label class="small">
            Compare with{' '}
            <select id="overlay" value={other?.id ?? ''} onChange={(event) => setOther(event.currentTarget.value)}>
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
            <pre class="sample">{squeezed(text)}</pre>
          </figure>
        ))}
      </section>
    </div>
  );
}

/** Models write many empty lines early in training. */
const squeezed = (text: string): string => text.trim().replace(/\n{3,}/g, '\n\n');
