/** Shows a value among all values of its format, and close up among its neighbours. */
import type { FormatSpec } from '../../src/formats/index.js';
import { brief } from './decimal.js';
import { firstOrdinal, hexOf, ordinalOf } from './explore.js';
import {
  closeUp,
  codeAlong,
  codeNear,
  labels,
  type Mark,
  positionOf,
  SCALES,
  type Scale,
  valuesOnLine,
} from './line.js';

interface Props {
  readonly spec: FormatSpec;
  readonly x: number;
  readonly code: number;
  readonly value: number;
  readonly scale: Scale;
  readonly onScale: (scale: Scale) => void;
  readonly onCode: (code: number) => void;
}

const WIDTH = 1000;
/** Codes shown on either side of the value in the close-up. */
const REACH = 3;

const strokes = (positions: readonly number[], top: number, bottom: number): string =>
  positions.map((at) => `M${(at * WIDTH).toFixed(1)} ${top}V${bottom}`).join('');

const percent = (at: number): string => `${(100 * at).toFixed(2)}%`;

/** Keeps a text inside the line: at the ends it begins or ends there. */
const alignment = (at: number): string => (at < 0.06 ? 'start' : at > 0.94 ? 'end' : 'middle');

function Labels({ marks }: { marks: readonly Mark[] }) {
  return (
    <div class="line-labels" aria-hidden="true">
      {marks.map(({ value, at }) => (
        <span key={value} class={alignment(at)} style={{ left: percent(at) }}>
          {brief(value)}
        </span>
      ))}
    </div>
  );
}

function Marker({ at, of }: { at: number; of: 'typed' | 'value' }) {
  return <span class={`line-marker ${of}`} style={{ left: percent(at) }} aria-hidden="true" />;
}

/** Handles keys that move along the line: by one value, by one binade, or to an end. */
function target(key: string, { code, spec }: Pick<Props, 'code' | 'spec'>): number | undefined {
  const binade = 2 ** spec.manBits;
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowDown: -1,
    ArrowRight: 1,
    ArrowUp: 1,
    PageDown: -binade,
    PageUp: binade,
    Home: Number.NEGATIVE_INFINITY,
    End: Number.POSITIVE_INFINITY,
  };
  return Object.hasOwn(steps, key) ? codeAlong(code, steps[key], spec) : undefined;
}

export function NumberLine(props: Props) {
  const { spec, x, code, value, scale, onScale, onCode } = props;
  const near = closeUp(x, code, spec, REACH);
  const onKeyDown = (event: KeyboardEvent) => {
    const next = target(event.key, props);
    if (next === undefined) return;
    event.preventDefault();
    onCode(next);
  };
  const onClick = (event: MouseEvent) => {
    const { left, width } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    onCode(codeNear((event.clientX - left) / width, spec, scale));
  };
  return (
    <section class="card" aria-labelledby="line-heading">
      <div class="row spread">
        <h2 id="line-heading">On the number line</h2>
        <label class="row">
          Scale
          <select value={scale} onChange={(event) => onScale(event.currentTarget.value as Scale)}>
            {SCALES.map((name) => (
              <option key={name} value={name}>
                {name === 'log' ? 'logarithmic' : name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <div
        class="number-line"
        role="slider"
        tabIndex={0}
        aria-label={`Value in ${spec.name}`}
        aria-valuemin={firstOrdinal(spec)}
        aria-valuemax={spec.maxCode}
        aria-valuenow={ordinalOf(code, spec) ?? 0}
        aria-valuetext={`${brief(value)}, code ${hexOf(code, spec)}`}
        onKeyDown={onKeyDown}
        onClick={onClick}
      >
        <svg viewBox={`0 0 ${WIDTH} 40`} preserveAspectRatio="none" aria-hidden="true">
          <path class="axis" d={`M0 20H${WIDTH}`} />
          <path
            class="tick"
            d={strokes(
              valuesOnLine(spec).map((each) => positionOf(each, spec, scale)),
              8,
              32,
            )}
          />
        </svg>
        {Number.isFinite(value) && <Marker at={positionOf(value, spec, scale)} of="value" />}
      </div>
      <Labels marks={labels(spec, scale)} />
      {near && (
        <>
          <h3>Close up</h3>
          <div class="number-line close" aria-hidden="true">
            <svg viewBox={`0 0 ${WIDTH} 40`} preserveAspectRatio="none" aria-hidden="true">
              <path class="axis" d={`M0 20H${WIDTH}`} />
              <path
                class="midpoint"
                d={strokes(
                  near.midpoints.map(({ at }) => at),
                  15,
                  25,
                )}
              />
              <path
                class="tick"
                d={strokes(
                  near.values.map(({ at }) => at),
                  6,
                  34,
                )}
              />
            </svg>
            <Marker at={near.at} of="typed" />
            <Marker at={near.values.find((each) => each.code === code)?.at ?? near.at} of="value" />
          </div>
          <Labels marks={near.values.filter((_, i) => i % REACH === 0)} />
          <p class="muted small">
            Filled: the value of the code. Hollow: what was typed. Short strokes: midpoints, where rounding to nearest
            turns.
          </p>
        </>
      )}
      <p class="muted small">
        Arrow keys step from value to value, Page Up and Page Down by a doubling, Home and End to the ends.
        {2 ** spec.bits > 256 && ' Of this format only the powers of two are drawn.'}
      </p>
    </section>
  );
}
