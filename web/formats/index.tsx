/** Formats: any number or code in any format, with its bits, exact value, neighbours and rounding, and its value in other formats. */
import { useEffect, useState } from 'preact/hooks';
import { DTYPES, type DType, type Rounding } from '../../src/formats/index.js';
import { addressOf, routeOf } from '../route.js';
import { Bits } from './bits.js';
import { brief, exactDecimal } from './decimal.js';
import { binaryScientific, DETERMINISTIC, hexOf, kindOf, parseHex } from './explore.js';
import './formats.css';
import { NumberLine } from './number-line.js';
import { inFormat, queryOf, type Shown, type State, shown, stateOf } from './state.js';
import { Everywhere, Neighbours, ROUNDING_NAMES, Roundings } from './tables.js';
import { Verify } from './verify.js';

/** Milliseconds after which a change is written to the address: some browsers refuse more than a hundred changes in half a minute. */
const ADDRESS_DELAY = 400;

/** The state, kept in the address so that it can be linked, and read from it when the address changes. */
function useAddressed(): [State, (state: State) => void] {
  const [state, setState] = useState(() => stateOf(routeOf(location.hash).query));
  useEffect(() => {
    const follow = () => {
      const { view, query } = routeOf(location.hash);
      if (view === 'formats') setState(stateOf(query));
    };
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (routeOf(location.hash).view === 'formats')
        history.replaceState(null, '', addressOf('formats', queryOf(state)));
    }, ADDRESS_DELAY);
    return () => clearTimeout(timer);
  }, [state]);
  return [state, setState];
}

export function FormatsView() {
  const [state, setState] = useAddressed();
  const seen = shown(state);
  const onCode = (code: number) => setState({ ...state, given: { code } });
  const onFormat = (dtype: DType) => setState(inFormat(state, dtype));
  return (
    <div class="view formats">
      <header class="stack">
        <h1>Formats</h1>
        <p class="lead">
          Type a number, flip a bit or step along the line: everything here comes from the definition the kernels are
          tested against.
        </p>
      </header>
      <Inputs state={state} seen={seen} onState={setState} onFormat={onFormat} onCode={onCode} />
      <section class="card" aria-labelledby="code-heading">
        <h2 id="code-heading">
          <code>{hexOf(seen.code, seen.spec)}</code> in {seen.spec.name}
        </h2>
        <Bits spec={seen.spec} code={seen.code} onCode={onCode} />
        <Facts seen={seen} />
        <Neighbours seen={seen} onCode={onCode} />
      </section>
      <div class="columns">
        <NumberLine {...seen} scale={state.scale} onScale={(scale) => setState({ ...state, scale })} onCode={onCode} />
        <Roundings state={state} seen={seen} onCode={onCode} />
      </div>
      <Everywhere state={state} seen={seen} onFormat={onFormat} />
      <Verify />
    </div>
  );
}

interface InputProps {
  readonly state: State;
  readonly seen: Shown;
  readonly onState: (state: State) => void;
  readonly onFormat: (dtype: DType) => void;
  readonly onCode: (code: number) => void;
}

function Inputs({ state, seen, onState, onFormat, onCode }: InputProps) {
  return (
    <section class="card" aria-label="What to look at">
      <div class="fields">
        <div class="field">
          <label for="formats-format">Format</label>
          <select
            id="formats-format"
            value={state.dtype}
            onChange={(event) => onFormat(event.currentTarget.value as DType)}
          >
            {DTYPES.map((dtype) => (
              <option key={dtype} value={dtype}>
                {dtype}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="formats-number">Number</label>
          <input
            id="formats-number"
            value={seen.text}
            autocomplete="off"
            spellcheck={false}
            aria-invalid={seen.error !== undefined}
            aria-describedby="formats-number-help"
            onInput={(event) => onState({ ...state, given: { text: event.currentTarget.value } })}
          />
          <span id="formats-number-help" class={seen.error ? 'wrong' : 'help'} role={seen.error ? 'alert' : undefined}>
            {seen.error ?? 'A decimal, inf or nan; it is rounded once.'}
          </span>
        </div>
        <CodeField seen={seen} onCode={onCode} />
        <div class="field">
          <label for="formats-rounding">Rounding</label>
          <select
            id="formats-rounding"
            value={state.rounding}
            onChange={(event) => onState({ ...state, rounding: event.currentTarget.value as Rounding })}
          >
            {DETERMINISTIC.map((rounding) => (
              <option key={rounding} value={rounding}>
                {ROUNDING_NAMES[rounding]}
              </option>
            ))}
          </select>
        </div>
        <label class="row">
          <input
            type="checkbox"
            checked={state.saturate}
            onChange={(event) => onState({ ...state, saturate: event.currentTarget.checked })}
          />
          Saturate
        </label>
      </div>
    </section>
  );
}

/** A code takes effect when it is complete: while being typed it may be invalid. */
function CodeField({ seen: { spec, code }, onCode }: Pick<InputProps, 'seen' | 'onCode'>) {
  const [typed, setTyped] = useState<string>();
  const text = typed ?? hexOf(code, spec);
  const wrong = parseHex(text, spec) === undefined;
  const onInput = (next: string) => {
    setTyped(next);
    const parsed = parseHex(next, spec);
    if (parsed !== undefined) onCode(parsed);
  };
  return (
    <div class="field">
      <label for="formats-code">Code</label>
      <input
        id="formats-code"
        class="mono"
        value={text}
        autocomplete="off"
        spellcheck={false}
        aria-invalid={wrong}
        aria-describedby="formats-code-help"
        onInput={(event) => onInput(event.currentTarget.value)}
        onBlur={() => setTyped(undefined)}
      />
      <span id="formats-code-help" class={wrong ? 'wrong' : 'help'} role={wrong ? 'alert' : undefined}>
        {wrong ? 'Expected' : 'Hexadecimal,'} {hexOf(0, spec)} to {hexOf(2 ** spec.bits - 1, spec)}
      </span>
    </div>
  );
}

function Facts({ seen: { spec, code, value, x } }: { seen: Shown }) {
  const binary = binaryScientific(code, spec);
  return (
    <dl class="facts" aria-live="polite">
      <div>
        <dt>Exact value</dt>
        <dd class="mono digits">{exactDecimal(value)}</dd>
      </div>
      <div>
        <dt>In binary</dt>
        <dd class="mono">
          {binary ? (
            <>
              {binary.significand} × 2<sup>{binary.exponent}</sup>
            </>
          ) : (
            '–'
          )}
        </dd>
      </div>
      <div>
        <dt>Kind</dt>
        <dd>{kindOf(value, spec)}</dd>
      </div>
      <div>
        <dt>Rounding error</dt>
        <dd class="mono digits">{Object.is(x, value) ? 'none' : brief(Math.abs(value - x))}</dd>
      </div>
    </dl>
  );
}
