/** The kernels' encoder and decoder against src/formats, in every bit, on every build. */
import { describe, it } from 'vitest';
import {
  type Codes,
  DTYPES,
  type DType,
  decode,
  encode,
  type FormatSpec,
  formatSpec,
  ROUNDING_IDS,
  type Rounding,
} from '../src/formats/index.js';
import { useBuilds } from './helpers/builds.js';
import { ofCodes, place } from './helpers/cases.js';
import { bitsOf, expectSame, expectSameBytes, floatOf } from './helpers/close.js';
import { Random } from './helpers/rng.js';

const onEveryBuild = useBuilds();
const ROUNDINGS = Object.keys(ROUNDING_IDS) as Rounding[];
const NARROW = DTYPES.filter((dtype) => dtype !== 'float32');
const ALL_16 = Uint16Array.from({ length: 65536 }, (_, code) => code);

/** Every code of a format; of float32, whose codes are the numbers, some of each kind. */
function allCodes({ bits }: FormatSpec): Codes {
  if (bits <= 8) return Uint8Array.from({ length: 2 ** bits }, (_, code) => code);
  return bits === 16 ? ALL_16 : new Random(1).patterns(65536);
}

/** A float32 and its two neighbours, of either sign. */
function around(x: number): number[] {
  const bits = bitsOf(x);
  const three = [floatOf(bits - 1), x, floatOf(bits + 1)];
  return [...three, ...three.map((y) => -y)];
}

/**
 * For each pair of adjacent values the lower one, the midpoint, and the float32 neighbours of both: these decide rounding.
 * The last pair is max and what would follow it, whose midpoint decides overflow. Exact: float32 has more bits than these formats.
 */
function decisive({ name, bits, maxCode, manBits }: FormatSpec): number[] {
  const ascending = Array.from(decode(allCodes({ bits } as FormatSpec), name).slice(0, maxCode + 1));
  ascending.push(manBits === 0 ? 2 ** 128 : 2 * ascending[maxCode] - ascending[maxCode - 1]);
  return ascending
    .slice(0, -1)
    .flatMap((low, i) => [...(low > 0 ? around(low) : [0, -0]), ...around((low + ascending[i + 1]) / 2)]);
}

const SPECIAL = [0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].concat(
  [floatOf(1), floatOf(0x007fffff), floatOf(0x00800000), floatOf(0x7f7fffff)].flatMap((x) => [x, -x]),
);

describe.each(DTYPES.map((dtype) => ({ dtype })))('$dtype', ({ dtype }) => {
  const spec = formatSpec(dtype);
  const codes = allCodes(spec);

  it('decodes every code as formats does', () => {
    const expected = decode(codes, dtype);
    onEveryBuild((engine, name) => expectSame(engine.decode(codes, dtype), expected, name));
  });

  it('encodes what it decodes to the same code, NaN to the canonical one', () => {
    const values = decode(codes, dtype);
    const expected = codes.slice();
    const bits = spec.bits === 32 ? new Uint32Array(expected.buffer) : expected;
    values.forEach((value, i) => {
      if (Number.isNaN(value)) bits[i] = spec.nanCode;
    });
    onEveryBuild((engine, name) => {
      expectSameBytes(engine.encode(values, { dtype, saturate: false }), expected, name);
    });
  });

  const inputs = () =>
    Float32Array.from([
      ...SPECIAL,
      ...(spec.bits === 32 ? [] : decisive(spec)),
      ...(spec.bits <= 8 ? [...decode(ALL_16, 'bfloat16'), ...decode(ALL_16, 'float16')] : []),
    ]);
  const random = new Random(2).patterns(50_000);

  describe.each([true, false])('saturate: %s', (saturate) => {
    it.each(ROUNDINGS)('%s: all 16-bit inputs, midpoints, neighbours and random bits', (rounding) => {
      const options = { rounding, saturate, seed: 3 };
      for (const values of [inputs(), random]) {
        const expected = encode(values, dtype, options);
        onEveryBuild((engine, name) => expectSameBytes(engine.encode(values, { dtype, ...options }), expected, name));
      }
    });
  });

  it('takes all 16-bit inputs, by default nearest-even and saturating as formats does', () => {
    for (const source of ['bfloat16', 'float16'] as const) {
      const values = decode(ALL_16, source);
      const expected = encode(values, dtype);
      onEveryBuild((engine, name) => expectSameBytes(engine.encode(values, { dtype }), expected, `${name}, ${source}`));
    }
  });
});

/** Every remainder of a vector, both sides of a kernel's row (4096) and of a unit (8 rows). */
const LENGTHS = [...Array(68).keys(), 4095, 4096, 4097, 4099, 5000, 8192, 32767, 32768, 32769, 70_001];

describe('lengths', () => {
  const values = new Random(4).wide(70_001, -12, 10);
  it.each(NARROW)('%s: every tail, encoded and decoded', (dtype) => {
    const whole: Record<string, Codes> = {};
    for (const rounding of ROUNDINGS) whole[rounding] = encode(values, dtype, { rounding, seed: 5 });
    const decoded = decode(whole.tiesToEven, dtype);
    onEveryBuild((engine, name) => {
      for (const length of LENGTHS) {
        const part = values.subarray(0, length);
        for (const rounding of ROUNDINGS) {
          const codes = engine.encode(part, { dtype, rounding, seed: 5 });
          expectSameBytes(codes, whole[rounding].slice(0, length), `${name}, ${rounding}, ${length} elements`);
        }
        const back = engine.decode(whole.tiesToEven.slice(0, length), dtype);
        expectSame(back, decoded.slice(0, length), `${name}, ${length} codes`);
      }
    });
  });
});

describe('stochastic rounding', () => {
  const values = new Random(6).wide(10_000, -12, 10);
  const seeds = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 7, 0x123456789abcd, Number.MAX_SAFE_INTEGER];

  it.each(NARROW)('%s: the same random words as formats, for seeds beyond 32 bits too', (dtype: DType) => {
    for (const seed of seeds) {
      const options = { rounding: 'stochastic', seed } as const;
      const expected = encode(values, dtype, options);
      onEveryBuild((engine, name) => {
        expectSameBytes(engine.encode(values, { dtype, ...options }), expected, `${name}, seed ${seed}`);
      });
    }
  });
});

/** Its decoder takes the factor together with 2^112, which has room for it up to a point, and numbers of one kind on a path of their own. */
it.each([0.7, 2 ** -130, 32767, 32768, 1e30])('all finite float16 codes, in order and mixed, times %d', (given) => {
  const scale = Math.fround(given);
  const finite = ALL_16.filter((code) => (code & 0x7fff) < 0x7c00);
  const mixed = finite.map((_, i) => finite[(i * 7919) % finite.length]);
  onEveryBuild((engine, name) => {
    for (const codes of [finite, mixed]) {
      const tensor = place(engine, ofCodes(codes, [codes.length], 'float16'), scale);
      const expected = decode(codes, 'float16').map((value) => Math.fround(value * scale));
      expectSame(engine.read(tensor), expected, name);
    }
  });
});
