/** The state of the explorer, and how it is written in an address. */
import {
  DTYPES,
  type DType,
  decodeValue,
  encodeValue,
  type FormatSpec,
  formatSpec,
  type Rounding,
} from '../../src/formats/index.js';
import { exactDecimal, parseDecimal } from './decimal.js';
import { DETERMINISTIC, hexOf, parseHex } from './explore.js';
import { SCALES, type Scale } from './line.js';

export interface State {
  readonly dtype: DType;
  /** A number as typed, or a code: there are many NaN codes, and flipping a bit selects a particular code. */
  readonly given: { readonly text: string } | { readonly code: number };
  /** Rounding by which a typed number becomes a code. */
  readonly rounding: Rounding;
  readonly saturate: boolean;
  readonly scale: Scale;
}

const INITIAL: State = {
  dtype: 'float8_e4m3fn',
  given: { text: '0.1' },
  rounding: 'tiesToEven',
  saturate: true,
  scale: 'log',
};

const among = <T extends string>(list: readonly T[], text: string | null, fallback: T): T =>
  list.find((each) => each === text) ?? fallback;

/** Reads the state from an address; what is missing or invalid takes its initial value. */
export function stateOf(query: URLSearchParams): State {
  const dtype = among(DTYPES, query.get('format'), INITIAL.dtype);
  const code = parseHex(query.get('code') ?? '', formatSpec(dtype));
  const text = query.get('value');
  return {
    dtype,
    given: code !== undefined ? { code } : text === null ? INITIAL.given : { text },
    rounding: among(DETERMINISTIC, query.get('rounding'), INITIAL.rounding),
    saturate: query.get('saturate') !== 'no',
    scale: among(SCALES, query.get('line'), INITIAL.scale),
  };
}

export function queryOf({ dtype, given, rounding, saturate, scale }: State): URLSearchParams {
  const query = new URLSearchParams({ format: dtype });
  if ('code' in given) query.set('code', hexOf(given.code, formatSpec(dtype)));
  else query.set('value', given.text);
  if (rounding !== INITIAL.rounding) query.set('rounding', rounding);
  if (saturate !== INITIAL.saturate) query.set('saturate', saturate ? 'yes' : 'no');
  if (scale !== INITIAL.scale) query.set('line', scale);
  return query;
}

/** What is shown for a state. */
export interface Shown {
  readonly spec: FormatSpec;
  /** Text of the number field. */
  readonly text: string;
  /** The number to be encoded. */
  readonly x: number;
  readonly code: number;
  readonly value: number;
  /** Set if the text is not a number; everything else then describes the number 0. */
  readonly error?: string;
}

export function shown({ dtype, given, rounding, saturate }: State): Shown {
  const spec = formatSpec(dtype);
  if ('code' in given) {
    const value = decodeValue(given.code, spec);
    return { spec, text: exactDecimal(value), x: value, code: given.code, value };
  }
  const parsed = parseDecimal(given.text);
  const x = 'value' in parsed ? parsed.value : 0;
  const code = encodeValue(x, spec, { rounding, saturate });
  const error = 'error' in parsed ? parsed.error : undefined;
  return { spec, text: given.text, x, code, value: decodeValue(code, spec), error };
}

/** Switches to another format, keeping the number. */
export function inFormat(state: State, dtype: DType): State {
  return { ...state, dtype, given: { text: shown(state).text } };
}
