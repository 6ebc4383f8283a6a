/** What becomes of a number: under each rounding mode, and in each format. */
import type { Rounding } from '../../src/formats/index.js';
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
import { Scroll } from './scroll.js';
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
      <Scroll label="What the number becomes under each rounding mode">
        <table>
          <thead>
            <tr>
              <th scope="col">Mode</th>
              <th scope="col">Code</th>
              <th scope="col" class="number">
                Value
              </th>
              <th scope="col" class="number">
                Probability
              </th>
            </tr>
          </thead>
          <tbody>
            {ROUNDINGS.flatMap((rounding) =>
              outcomes(x, spec, rounding, state.saturate).map(({ code, value, draws }, i) => (
                <tr key={`${rounding} ${i}`}>
                  <th scope="row">{ROUNDING_NAMES[rounding]}</th>
                  <td>
                    <CodeButton seen={seen} code={code} onCode={onCode} />
                  </td>
                  <td class="number mono">{brief(value)}</td>
                  <td class="number">{draws === DRAWS ? '1' : `${draws} / ${DRAWS}`}</td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </Scroll>
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
      <Scroll label="The number in every format">
        <table>
          <thead>
            <tr>
              <th scope="col">Format</th>
              <th scope="col">Code</th>
              <th scope="col" class="number">
                Value
              </th>
              <th scope="col" class="number">
                Error
              </th>
              <th scope="col" class="number">
                Relative
              </th>
            </tr>
          </thead>
          <tbody>
            {everywhere(seen.x, rounding, state.saturate).map(({ spec, code, value, absolute, relative }) => (
              <tr key={spec.name} class={spec.name === state.dtype ? 'chosen' : ''}>
                <th scope="row">
                  <button
                    type="button"
                    class="plain mono"
                    aria-current={spec.name === state.dtype ? 'true' : undefined}
                    onClick={() => onFormat(spec.name)}
                  >
                    {spec.name}
                  </button>
                </th>
                <td class="mono">{hexOf(code, spec)}</td>
                <td class="number mono">{brief(value)}</td>
                <td class="number mono">{brief(absolute)}</td>
                <td class="number">{Number.isFinite(relative) ? `${brief(100 * relative)} %` : '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}
