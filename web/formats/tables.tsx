/** Tables of a number under each rounding mode, and in each format. */
import type { Rounding } from '../../src/formats/index.js';
import { Table } from '../ui/table.js';
import { brief } from './decimal.js';
import {
  DETERMINISTIC,
  DRAWS,
  everywhere,
  hexOf,
  isTie,
  type Neighbour,
  neighbours,
  outcomes,
  ROUNDINGS,
} from './explore.js';
import type { Shown, State } from './state.js';

export const ROUNDING_NAMES: Readonly<Record<Rounding, string>> = {
  tiesToEven: 'nearest, ties to even',
  tiesToAway: 'nearest, ties away from zero',
  towardZero: 'toward zero',
  stochastic: 'stochastic',
};

interface Props {
  readonly state: State;
  readonly seen: Shown;
  readonly onCode: (code: number) => void;
}

function CodeButton({ seen: { spec }, code, onCode }: { seen: Shown; code: number; onCode: (code: number) => void }) {
  return (
    <button type="button" class="plain mono" aria-label={`Show code ${hexOf(code, spec)}`} onClick={() => onCode(code)}>
      {hexOf(code, spec)}
    </button>
  );
}

export function Roundings({ state, seen, onCode }: Props) {
  const { spec, x } = seen;
  return (
    <section class="card" aria-labelledby="rounding-heading">
      <h2 id="rounding-heading">Rounded</h2>
      <p class="muted">
        {isTie(x, spec) ? 'This number lies exactly between two values. ' : ''}Beyond the largest value:{' '}
        {state.saturate ? 'the largest value' : 'infinity, or NaN where the format has none'}.
      </p>
      <Table
        label="What the number becomes under each rounding mode"
        columns={[
          { title: 'Mode' },
          { title: 'Code' },
          { title: 'Value', number: true },
          { title: 'Probability', number: true },
        ]}
        rows={ROUNDINGS.flatMap((rounding) =>
          outcomes(x, spec, rounding, state.saturate).map(({ code, value, draws }, i) => ({
            key: `${rounding} ${i}`,
            cells: [
              ROUNDING_NAMES[rounding],
              <CodeButton key="code" seen={seen} code={code} onCode={onCode} />,
              brief(value),
              draws === DRAWS ? '1' : `${draws} / ${DRAWS}`,
            ],
          })),
        )}
      />
      <p class="muted small">
        Stochastic rounding draws 16 random bits: a probability is the share of the {DRAWS.toLocaleString('en')} draws.
      </p>
    </section>
  );
}

export function Neighbours({ seen, onCode }: Omit<Props, 'state'>) {
  const { below, above } = neighbours(seen.code, seen.spec);
  const line = (name: string, other: Neighbour | undefined) => (
    <div>
      <dt>{name}</dt>
      <dd>
        {other ? (
          <>
            <CodeButton seen={seen} code={other.code} onCode={onCode} /> <span class="mono">{brief(other.value)}</span>{' '}
            <span class="muted small">
              {Number.isFinite(other.value) && `${brief(Math.abs(other.value - seen.value))} away`}
            </span>
          </>
        ) : (
          'none'
        )}
      </dd>
    </div>
  );
  return (
    <dl class="facts">
      {line('Next smaller', below)}
      {line('Next larger', above)}
    </dl>
  );
}

export function Everywhere({
  state,
  seen,
  onFormat,
}: Omit<Props, 'onCode'> & { onFormat: (dtype: State['dtype']) => void }) {
  const rounding = DETERMINISTIC.find((each) => each === state.rounding) ?? DETERMINISTIC[0];
  return (
    <section class="card" aria-labelledby="everywhere-heading">
      <h2 id="everywhere-heading">The same number in every format</h2>
      <Table
        label="The number in every format"
        columns={[
          { title: 'Format' },
          { title: 'Code' },
          { title: 'Value', number: true },
          { title: 'Error', number: true },
          { title: 'Relative error', number: true },
        ]}
        rows={everywhere(seen.x, rounding, state.saturate).map(({ spec, code, value, absolute, relative }) => ({
          key: spec.name,
          chosen: spec.name === state.dtype,
          cells: [
            <button
              key="format"
              type="button"
              class="plain mono"
              aria-current={spec.name === state.dtype ? 'true' : undefined}
              onClick={() => onFormat(spec.name)}
            >
              {spec.name}
            </button>,
            <code key="code">{hexOf(code, spec)}</code>,
            brief(value),
            brief(absolute),
            Number.isFinite(relative) ? `${brief(100 * relative)} %` : '–',
          ],
        }))}
      />
    </section>
  );
}
