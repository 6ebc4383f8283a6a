/** Look inside FP8: what the number format does to a run while it trains, tensor by tensor, with two runs side by side. */
import { useMemo, useRef, useState } from 'preact/hooks';
import { formatSpec } from '../../src/formats/index.js';
import type { RoleHealth } from '../../src/model/casts.js';
import type { RunRecord } from '../run/record.js';
import {
  type Alarm,
  alarms,
  type Bounds,
  type Collected,
  collected,
  healthColumn,
  keyOf,
  monitorColumn,
  nameOf,
  type TensorName,
  tensorKeys,
} from './collect.js';
import './inside.css';
import { Panel } from './panel.js';
import { type Curve, TimeChart } from './time-chart.js';

export interface InsideProps {
  /** The run that is training, or was opened last. */
  readonly run: RunRecord | undefined;
  readonly runs: readonly RunRecord[];
}

interface Looked {
  readonly record: RunRecord;
  readonly seen: Collected;
}

/** Keeps what was read of each run while the view is open. */
function useCollected(records: readonly RunRecord[]): Looked[] {
  const known = useRef(new WeakMap<RunRecord['lines'], Collected>());
  return records.map((record) => {
    const seen = collected(record.lines, known.current.get(record.lines));
    known.current.set(record.lines, seen);
    return { record, seen };
  });
}

export function InsideView({ run, runs }: InsideProps) {
  const [chosen, setChosen] = useState<string>();
  const [compared, setCompared] = useState('');
  const [wanted, setWanted] = useState<string>();
  const all = run && !runs.some(({ id }) => id === run.id) ? [run, ...runs] : runs;
  const first = all.find(({ id }) => id === chosen) ?? run ?? all[0];
  const second = all.find(({ id }) => id === compared && id !== first?.id);
  const looked = useCollected([first, second].filter((record) => record !== undefined));
  const keys = tensorKeys(looked.map(({ seen }) => seen));
  const tensor = keys.find((key) => key === wanted) ?? keys.find((key) => key.endsWith('down.input')) ?? keys[0];
  // Redrawn when something was recorded, rather than with every step.
  const pictures = useMemo(
    () =>
      tensor && (
        <>
          <Curves looked={looked} tensor={tensor} />
          <div class="columns">
            {looked.map(({ record, seen }) => (
              <Panel key={record.id} name={record.name} tensor={tensor} monitor={seen.monitors.at(-1)} />
            ))}
          </div>
        </>
      ),
    [tensor, ...looked.flatMap(({ record, seen }) => [record.name, seen.health, seen.monitors])],
  );
  return (
    <div class="view inside">
      <header class="stack">
        <h1>Look inside FP8</h1>
        <p class="lead">
          How the numbers of a run fit into one byte: which codes occur, what is lost, and where it goes wrong.
        </p>
      </header>
      {!first && (
        <p class="notice">There is no run to look into yet. Start one under Train, and come back while it runs.</p>
      )}
      {first && (
        <section class="card" aria-label="What to look at">
          <div class="fields">
            <RunSelect id="inside-run" label="Run" records={all} value={first.id} onRun={setChosen} />
            <RunSelect
              id="inside-compared"
              label="Compare with"
              records={all.filter(({ id }) => id !== first.id)}
              value={second?.id ?? ''}
              none="no other run"
              onRun={setCompared}
            />
            {tensor && <TensorSelects keys={keys} name={nameOf(tensor)} onTensor={setWanted} />}
          </div>
        </section>
      )}
      {first && !tensor && (
        <p class="notice">
          Nothing was recorded of this run's tensors yet: the first look comes with the first monitored step.
        </p>
      )}
      {looked.map((each) => each.record.settings && <Alarms key={each.record.id} looked={each} />)}
      {pictures}
    </div>
  );
}

interface RunSelectProps {
  readonly id: string;
  readonly label: string;
  readonly records: readonly RunRecord[];
  readonly value: string;
  readonly none?: string;
  readonly onRun: (id: string) => void;
}

function RunSelect({ id, label, records, value, none, onRun }: RunSelectProps) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onRun(event.currentTarget.value)}>
        {none && <option value="">{none}</option>}
        {records.map((record) => (
          <option key={record.id} value={record.id}>
            {record.name}
          </option>
        ))}
      </select>
    </div>
  );
}

const ABOUT: Readonly<Record<keyof TensorName, string>> = { layer: 'Layer', linear: 'Linear', role: 'Role' };

function TensorSelects({
  keys,
  name,
  onTensor,
}: {
  keys: readonly string[];
  name: TensorName;
  onTensor: (key: string) => void;
}) {
  const names = keys.map(nameOf);
  return (
    <>
      {(Object.keys(ABOUT) as (keyof TensorName)[]).map((part) => (
        <div class="field" key={part}>
          <label for={`inside-${part}`}>{ABOUT[part]}</label>
          <select
            id={`inside-${part}`}
            value={name[part]}
            onChange={(event) => onTensor(keyOf({ ...name, [part]: event.currentTarget.value }))}
          >
            {[...new Set(names.map((each) => each[part]))].map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </div>
      ))}
    </>
  );
}

/** Maximum number of alarms listed. */
const LISTED = 6;

function Alarms({ looked: { record, seen } }: { looked: Looked }) {
  const settings = record.settings!;
  const [bounds, setBounds] = useState<Bounds>(settings);
  const found = useMemo(() => alarms(seen, settings, bounds), [seen.health, seen.anomalies, settings, bounds]);
  return (
    <section class={`notice ${found.length > 0 ? 'danger' : 'ok'} stack`} aria-label={`Alarms of ${record.name}`}>
      <div role="status">
        <p>
          <strong>{record.name}:</strong>{' '}
          {found.length === 0
            ? 'every tensor stays within its bounds.'
            : `${found.length} ${found.length === 1 ? 'alarm' : 'alarms'}`}
        </p>
        <ul>
          {found.slice(0, LISTED).map((alarm: Alarm) => (
            <li key={alarm.what}>{alarm.what}</li>
          ))}
        </ul>
      </div>
      <details>
        <summary>Bounds</summary>
        <div class="fields">
          <BoundField
            id={`${record.id}-saturated`}
            label="Share that may saturate"
            of="maxSaturated"
            bounds={bounds}
            onBounds={setBounds}
          />
          <BoundField
            id={`${record.id}-underflowed`}
            label="Share that may become zero"
            of="maxUnderflowed"
            bounds={bounds}
            onBounds={setBounds}
          />
        </div>
        <p class="muted small">
          As the run's guard has them, which does not take a step beyond them. Narrower ones here only raise the alarm
          earlier.
        </p>
      </details>
    </section>
  );
}

interface BoundFieldProps {
  readonly id: string;
  readonly label: string;
  readonly of: keyof Bounds;
  readonly bounds: Bounds;
  readonly onBounds: (bounds: Bounds) => void;
}

function BoundField({ id, label, of, bounds, onBounds }: BoundFieldProps) {
  const onInput = (value: number) => {
    if (value >= 0 && value <= 1) onBounds({ ...bounds, [of]: value });
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="number"
        min={0}
        max={1}
        step="any"
        value={bounds[of]}
        onInput={(event) => onInput(event.currentTarget.valueAsNumber)}
      />
    </div>
  );
}

function Curves({ looked, tensor }: { looked: readonly Looked[]; tensor: string }) {
  const many = looked.length > 1;
  /** One curve per run shown, of which there are one or two. */
  const curves = (label: string, colour: number, column: (each: Looked) => Pick<Curve, 'steps' | 'values'>): Curve[] =>
    looked.map((each, i) => ({
      ...column(each),
      label: many ? `${label}, ${each.record.name}` : label,
      colour: colour + (i > 0 ? 2 : 0),
      dashed: i > 0,
    }));
  const health = (label: string, colour: number, of: (health: RoleHealth) => number) =>
    curves(label, colour, ({ seen }) => healthColumn(seen, tensor, of));
  const dtype = looked
    .map(({ seen }) => seen.monitors.at(-1)?.tensors[tensor]?.dtype)
    .find((found) => found !== undefined);
  const limit = dtype && formatSpec(dtype).max;
  return (
    <section class="stack" aria-labelledby="inside-curves">
      <h2 id="inside-curves">{tensor} over the steps</h2>
      <div class="columns curves">
        <TimeChart
          title="Largest magnitude and limit"
          about="amax of the tensor, and the largest value its scale leaves room for."
          log
          curves={[
            ...health('amax', 1, ({ amax }) => amax),
            ...(limit
              ? health('limit', 2, ({ scale }) => limit / scale)
              : health('1 / scale', 2, ({ scale }) => 1 / scale)),
          ]}
        />
        <TimeChart
          title="Lost at either end"
          about="Shares of the tensor that were clipped at the largest value, or became zero."
          curves={[
            ...health('saturated', 1, ({ saturated }) => saturated),
            ...health('underflowed', 2, ({ underflowed }) => underflowed),
          ]}
        />
        <TimeChart
          title="Signal to noise"
          about="Of what was cast against what the codes stand for, in decibels."
          curves={curves('SQNR', 1, ({ seen }) => monitorColumn(seen, tensor, 'sqnr_db'))}
        />
        <TimeChart
          title="Kurtosis"
          about="3 for normal numbers; outliers raise it."
          log
          curves={curves('kurtosis', 2, ({ seen }) => monitorColumn(seen, tensor, 'kurtosis'))}
        />
      </div>
    </section>
  );
}
