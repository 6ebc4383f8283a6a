/** The format explorer's arithmetic: decimals that round as they are written, bits, neighbours, outcomes, and the address. */
import { describe, expect, it } from 'vitest';
import { DTYPES, decodeValue, encodeValue, formatSpec } from '../src/formats/index.js';
import { brief, exactDecimal, parseDecimal } from '../web/formats/decimal.js';
import * as explore from '../web/formats/explore.js';
import * as line from '../web/formats/line.js';
import { inFormat, queryOf, shown, stateOf } from '../web/formats/state.js';
import { tallied } from '../web/formats/tally.js';
import { Random } from './helpers/rng.js';

const SPECS = DTYPES.map((dtype) => formatSpec(dtype));
const SMALL = SPECS.filter(({ bits }) => bits <= 8);

function numberOf(text: string): number {
  const parsed = parseDecimal(text);
  if ('error' in parsed) throw new Error(`${text}: ${parsed.error}`);
  return parsed.value;
}

/** Finite codes of a small format in the order of their values. */
const finite = (spec: (typeof SPECS)[number]) =>
  Array.from({ length: 2 ** spec.bits }, (_, code) => ({ code, value: decodeValue(code, spec) }))
    .filter(({ value }) => Number.isFinite(value) && !Object.is(value, -0))
    .sort((a, b) => a.value - b.value);

describe('decimals', () => {
  it('that float64 holds are those numbers, and those between lie strictly on the right side', () => {
    for (const text of ['0.5', '-3', '1e3', '.25', '2.', '+7', '1.5', '−2'])
      expect(numberOf(text)).toBe(Number(text.replace('−', '-')));
    expect(Object.is(numberOf('-0'), -0)).toBe(true);
    expect(numberOf('inf')).toBe(Number.POSITIVE_INFINITY);
    expect(numberOf('-Infinity')).toBe(Number.NEGATIVE_INFINITY);
    expect(numberOf('nan')).toBeNaN();
    // Within a unit in the last place of the nearest float64.
    const random = new Random(1);
    for (let i = 0; i < 500; i++) {
      const text = `${random.integer(1, 999_999_999)}${random.word()}e${random.integer(-330, 290)}`;
      const [got, nearest] = [numberOf(text), Number(text)];
      const unit = Math.max(nearest * Number.EPSILON, Number.MIN_VALUE);
      expect(Math.abs(got - nearest) <= unit, text).toBe(true);
    }
  });

  it('round once: above a midpoint by less than float64 can tell is up, on it is a tie', () => {
    const spec = formatSpec('float8_e4m3fn');
    const values = finite(spec);
    values.slice(1).forEach(({ code, value }, i) => {
      const below = values[i];
      const middle = exactDecimal((below.value + value) / 2);
      const above = `${middle.includes('.') ? middle : `${middle}.0`}${'0'.repeat(30)}1`;
      const codeOf = (text: string) => encodeValue(numberOf(text), spec);
      const [awayFromZero, towardZero] = value > 0 ? [code, below.code] : [below.code, code];
      if (value !== 0 && below.value !== 0) {
        expect(codeOf(above), above).toBe(awayFromZero);
        // A tie goes to the even code.
        expect(codeOf(middle) % 2, middle).toBe(0);
        expect([awayFromZero, towardZero]).toContain(codeOf(middle));
      }
    });
    // Number() would make a tie of this, and 448 of it.
    expect(encodeValue(numberOf('464.00000000000000000001'), spec, { saturate: false })).toBe(spec.nanCode);
    expect(encodeValue(numberOf('464'), spec, { saturate: false })).toBe(spec.maxCode);
  });

  it('however large or small stay finite and not zero', () => {
    expect(numberOf('1e9999')).toBe(Number.MAX_VALUE);
    expect(numberOf('-1e-9999')).toBe(-Number.MIN_VALUE);
    expect(numberOf('0e9999')).toBe(0);
  });

  it.each(['', '.', 'abc', '1e', '1.2.3', '0x10', '1e99999', `${'1'.repeat(401)}`])('refuses %j', (text) => {
    expect(parseDecimal(text)).toHaveProperty('error');
  });

  it('all digits of every value lead back to it', () => {
    for (const spec of SPECS) {
      const step = spec.bits <= 8 ? 1 : 2 ** spec.bits / 512 + 1;
      for (let code = 0; code <= spec.maxCode; code += Math.floor(step)) {
        const value = decodeValue(code, spec);
        expect(numberOf(exactDecimal(value)), exactDecimal(value)).toBe(value);
      }
    }
    expect(exactDecimal(0.1015625)).toBe('0.1015625');
    expect(exactDecimal(2 ** -16)).toBe('0.0000152587890625');
    expect(exactDecimal(-57344)).toBe('-57344');
    expect(exactDecimal(2 ** -149)).toMatch(/^1\.401298464324817.*e-45$/);
    expect([brief(0), brief(-0), brief(1e-9), brief(123456789), brief(0.33333)]).toEqual([
      '0',
      '-0',
      '1e-9',
      '1.235e8',
      '0.3333',
    ]);
  });
});

describe('codes', () => {
  it.each(SPECS)('$name: bits, flips and hexadecimal', (spec) => {
    const random = new Random(spec.id);
    for (let i = 0; i < 40; i++) {
      const code = Math.floor(random.uniform() * 2 ** spec.bits);
      const bits = explore.bitsOf(code, spec);
      expect(Number.parseInt(bits.map(({ set }) => Number(set)).join(''), 2)).toBe(code);
      const count = (field: string) => bits.filter((bit) => bit.field === field).length;
      expect([count('sign'), count('exponent'), count('mantissa')]).toEqual([
        spec.signCode ? 1 : 0,
        spec.expBits,
        spec.manBits,
      ]);
      for (const bit of bits) {
        const other = explore.flipped(code, bit);
        expect(explore.bitsOf(other, spec).filter((each, k) => each.set !== bits[k].set)).toHaveLength(1);
      }
      expect(explore.parseHex(explore.hexOf(code, spec), spec)).toBe(code);
    }
    for (const text of ['', 'xyz', '-1', (2 ** spec.bits).toString(16)])
      expect(explore.parseHex(text, spec), text).toBeUndefined();
  });

  it.each(SPECS)('$name: significand and exponent are the value', (spec) => {
    const step = Math.max(1, Math.floor(2 ** spec.bits / 997));
    for (let code = 0; code < 2 ** spec.bits; code += step) {
      const value = decodeValue(code, spec);
      const binary = explore.binaryScientific(code, spec);
      expect(binary !== undefined).toBe(Number.isFinite(value));
      if (!binary) continue;
      const [, sign, whole, fraction = ''] = /^(-?)([01])(?:\.([01]+))?$/.exec(binary.significand)!;
      expect(fraction.length).toBe(spec.manBits);
      const magnitude = Number.parseInt(whole + fraction, 2) * 2 ** (binary.exponent - spec.manBits);
      expect(Object.is(sign ? -magnitude : magnitude, value), `${code}`).toBe(true);
      expect(explore.kindOf(value, spec)).toBe(value === 0 ? 'zero' : whole === '1' ? 'normal' : 'subnormal');
    }
  });

  it.each(SMALL)('$name: neighbours are those of the sorted values', (spec) => {
    const values = finite(spec);
    values.forEach(({ code }, i) => {
      const { below, above } = explore.neighbours(code, spec);
      if (i > 0) expect(below).toEqual(values[i - 1]);
      else expect(below?.value).toBe(spec.hasInf ? Number.NEGATIVE_INFINITY : undefined);
      if (i < values.length - 1) expect(above).toEqual(values[i + 1]);
      else expect(above?.value).toBe(spec.hasInf ? Number.POSITIVE_INFINITY : undefined);
    });
    if (spec.hasNaN) expect(explore.neighbours(spec.nanCode, spec)).toEqual({});
  });
});

describe('rounding', () => {
  const spec = formatSpec('float8_e4m3fn');
  const drawn = (x: number, saturate = true) => explore.outcomes(x, spec, 'stochastic', saturate);

  it('has the outcomes of the definition, and probabilities of 16 bits', () => {
    for (const rounding of explore.DETERMINISTIC) {
      for (const x of [0.1, -3.3, 464, 1e9, 0]) {
        const code = encodeValue(x, spec, { rounding });
        expect(explore.outcomes(x, spec, rounding, true)).toEqual([
          { code, value: decodeValue(code, spec), draws: 65536 },
        ]);
      }
    }
    // A quarter of the way from 1 to 1.125.
    expect(drawn(1.03125).map(({ value, draws }) => [value, draws])).toEqual([
      [1, 49152],
      [1.125, 16384],
    ]);
    expect(drawn(-1.125)).toHaveLength(1);
    const beyond = drawn(456, false).map(({ value, draws }) => [value, draws]);
    expect(beyond).toEqual([
      [448, 49152],
      [Number.NaN, 16384],
    ]);
    expect(drawn(456)).toHaveLength(1);
    // Less than one draw of chance: one draw.
    expect(drawn(1 + 2 ** -30)[1].draws).toBe(1);
  });

  it('knows a tie', () => {
    expect([1.0625, 1.0624, 1, 0.0009765625].map((x) => explore.isTie(x, spec))).toEqual([true, false, false, true]);
  });

  it('in every format: the value of the code, and how far it is off', () => {
    const rows = explore.everywhere(0.1, 'tiesToEven', true);
    expect(rows.map((row) => row.spec.name)).toEqual(DTYPES);
    for (const { spec: each, code, value, absolute, relative } of rows) {
      expect(code).toBe(encodeValue(0.1, each, { saturate: true }));
      expect(value).toBe(decodeValue(code, each));
      expect(absolute).toBe(Math.abs(value - 0.1));
      expect(relative).toBe(absolute / 0.1);
    }
    const ofNaN = explore.everywhere(Number.NaN, 'tiesToEven', true)[0];
    expect([ofNaN.absolute, ofNaN.relative]).toEqual([0, 0]);
  });
});

describe('the number line', () => {
  it.each(SPECS)('$name: values lie in their order, ends at the ends, and the nearest code is found', (spec) => {
    for (const scale of line.SCALES) {
      const values = line.valuesOnLine(spec);
      expect(values.length).toBeLessThan(600);
      const places = values.map((value) => line.positionOf(value, spec, scale));
      expect(line.positionOf(spec.max, spec, scale)).toBe(1);
      if (spec.signCode > 0) {
        expect(line.positionOf(-spec.max, spec, scale)).toBe(0);
        expect(line.positionOf(0, spec, scale)).toBe(0.5);
      }
      for (let i = 1; i < places.length; i++) expect(places[i] >= places[i - 1], `${values[i]}`).toBe(true);
      expect(line.positionOf(Number.POSITIVE_INFINITY, spec, scale)).toBe(1);
      for (const { value, at } of line.labels(spec, scale)) expect(at).toBe(line.positionOf(value, spec, scale));
      const wanted = encodeValue(1, spec);
      if (scale === 'log' && 2 ** spec.bits <= 256)
        expect(line.codeNear(line.positionOf(1, spec, scale), spec, scale)).toBe(wanted);
    }
    expect(decodeValue(line.codeAlong(0, Number.POSITIVE_INFINITY, spec), spec)).toBe(spec.max);
    if (spec.signCode > 0) expect(decodeValue(line.codeAlong(0, -1, spec), spec)).toBe(-spec.smallestSubnormal);
  });

  it('close up: seven values with their midpoints, also at an end', () => {
    const spec = formatSpec('float8_e4m3fn');
    const near = line.closeUp(0.1, encodeValue(0.1, spec), spec, 3)!;
    expect(near.values.map(({ value }) => value)).toEqual([
      0.078125, 0.0859375, 0.09375, 0.1015625, 0.109375, 0.1171875, 0.125,
    ]);
    expect(near.midpoints).toHaveLength(6);
    expect(near.at).toBeCloseTo((0.1 - 0.078125) / 0.046875, 12);
    const end = line.closeUp(1e9, spec.maxCode, spec, 3)!;
    expect([end.values.length, end.values.at(-1)!.value, end.at]).toEqual([7, 448, 1]);
    expect(line.closeUp(Number.NaN, spec.nanCode, spec, 3)).toBeUndefined();
  });
});

describe('the address', () => {
  it('says what is looked at, and nothing else', () => {
    const state = stateOf(
      new URLSearchParams('format=float8_e5m2&value=0.3&rounding=towardZero&saturate=no&line=linear'),
    );
    expect(queryOf(state).toString()).toBe('format=float8_e5m2&value=0.3&rounding=towardZero&saturate=no&line=linear');
    expect(stateOf(queryOf(state))).toEqual(state);
    expect(shown(state)).toMatchObject({ x: 0.3, value: 0.25, text: '0.3' });
    expect(queryOf(stateOf(new URLSearchParams('')))).toEqual(new URLSearchParams('format=float8_e4m3fn&value=0.1'));
  });

  it('keeps a code that is no number', () => {
    const state = stateOf(new URLSearchParams('format=float8_e5m2&code=0xff'));
    expect(shown(state)).toMatchObject({ code: 0xff, text: 'NaN' });
    expect(queryOf(state).get('code')).toBe('0xff');
    expect(shown(inFormat(state, 'float8_e4m3fn'))).toMatchObject({ code: 0x7f });
  });

  it('that is wrong is as if it said nothing', () => {
    const wrong = stateOf(new URLSearchParams('format=float9&code=zz&rounding=up&line=round'));
    expect(wrong).toEqual(stateOf(new URLSearchParams('')));
    expect(shown(stateOf(new URLSearchParams('value=one')))).toMatchObject({ x: 0, error: expect.any(String) });
  });
});

it('findings are summed by format', () => {
  const finding = {
    dtype: 'float16',
    rounding: 'tiesToEven',
    saturate: true,
    source: 's',
    inputs: 5,
    mismatches: 0,
  } as const;
  const tallies = [
    finding,
    { ...finding, mismatches: 2, first: 'x' },
    { ...finding, dtype: 'bfloat16' } as const,
  ].reduce(tallied, []);
  expect(tallies).toEqual([
    { dtype: 'float16', checks: 2, inputs: 10, mismatches: 2, first: 'x' },
    { dtype: 'bfloat16', checks: 1, inputs: 5, mismatches: 0, first: undefined },
  ]);
});
