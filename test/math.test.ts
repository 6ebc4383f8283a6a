/**
 * The elementary functions. Float64, src/ops/math.ts: against integers of 200 bits. Float32, assembly/math.ts: its mirror is the kernel's
 * bits (shown here through the two kernels that use it, on every build), and the mirror's error is measured against float64.
 */
import { describe, expect, it } from 'vitest';
import { crossEntropy } from '../src/ops/loss.js';
import { cos, exp, integerPower, log, power, sin } from '../src/ops/math.js';
import { swigluForward } from '../src/ops/swiglu.js';
import { floats, upload } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor } from './helpers/cases.js';
import { bitsOf, expectSame, floatOf } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import * as mirror from './reference/lanes.js';
import { crossEntropy as mirrorLoss } from './reference/loss.js';
import { swigluForward as mirrorSwiglu } from './reference/swiglu.js';
import * as truth from './reference/truth.js';

const onEveryBuild = useBuilds();

/** The largest error over some numbers, with the number that has it. */
function worst(xs: Iterable<number>, error: (x: number) => number): { error: number; at: number } {
  let found = { error: 0, at: Number.NaN };
  for (const x of xs) {
    const e = error(x);
    if (!(e <= found.error)) found = { error: e, at: x };
  }
  return found;
}

/** `worst` is at most the bound; the message has the number. */
function expectWorst(xs: Iterable<number>, error: (x: number) => number, bound: number): void {
  const found = worst(xs, error);
  expect(found.error <= bound, `error ${found.error} at ${found.at}, expected at most ${bound}`).toBe(true);
}

function* uniform(count: number, low: number, high: number): Generator<number> {
  const random = new Random(count);
  for (let i = 0; i < count; i++)
    yield low + (high - low) * ((random.word() * 2 ** 21 + (random.word() >>> 11)) / 2 ** 53);
}

function* logUniform(count: number, low: number, high: number): Generator<number> {
  const random = new Random(count);
  for (let i = 0; i < count; i++)
    yield (1 + random.uniform() + random.uniform() * 2 ** -32) * 2 ** random.integer(low, high);
}

describe('the truth', () => {
  it('agrees with Math to the last bits, and with known digits', () => {
    for (const x of uniform(300, -20, 20)) {
      expect(truth.ulps(Math.exp(x), truth.exp(x)) <= 1, `exp ${x}`).toBe(true);
      expect(truth.ulps(Math.log(Math.abs(x)), truth.log(Math.abs(x))) <= 1, `log ${x}`).toBe(true);
      expect(truth.distance(Math.sin(x), truth.sin(x)) <= 2 ** -53, `sin ${x}`).toBe(true);
      expect(truth.distance(Math.cos(x), truth.cos(x)) <= 2 ** -53, `cos ${x}`).toBe(true);
    }
    // e, ln 2 and sin 1 to 50 digits (OEIS A001113, A002162, A049469).
    const digits = ({ mantissa, exponent }: truth.Truth) => ((mantissa << BigInt(exponent + 4)) * 10n ** 50n) >> 204n;
    expect(digits(truth.exp(1))).toBe(271828182845904523536028747135266249775724709369995n);
    expect(digits(truth.log(2))).toBe(69314718055994530941723212145817656807550013436025n);
    expect(digits(truth.sin(1))).toBe(84147098480789650665250232163029899962256306079837n);
  });
});

describe('float64', () => {
  it('exp: below 2 ulp', () => {
    const error = (x: number) => truth.ulps(exp(x), truth.exp(x));
    expectWorst(uniform(4000, -700, 709), error, 2);
    expectWorst(uniform(4000, -1, 1), error, 2);
    expect([
      exp(0),
      exp(-0),
      exp(710),
      exp(-800),
      exp(Number.NEGATIVE_INFINITY),
      exp(Number.POSITIVE_INFINITY),
    ]).toEqual([1, 1, Number.POSITIVE_INFINITY, 0, 0, Number.POSITIVE_INFINITY]);
    expect(exp(Number.NaN)).toBeNaN();
  });

  it('log: below 2 ulp', () => {
    const error = (x: number) => truth.ulps(log(x), truth.log(x));
    expectWorst(logUniform(4000, -1000, 1000), error, 2);
    expectWorst(uniform(4000, 0.5, 2), error, 2);
    expectWorst(logUniform(200, -50, -20), (x) => error(1 + x), 2);
    expect([log(1), log(0), log(-0), log(Number.POSITIVE_INFINITY)]).toEqual([
      0,
      Number.NEGATIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
    for (const x of [-1, Number.NaN, Number.NEGATIVE_INFINITY]) expect(log(x)).toBeNaN();
  });

  it('sin and cos: below 2^-51 absolute for |x| <= 2^20', () => {
    for (const range of [2 ** 20, 1000, 2]) {
      expectWorst(uniform(2000, -range, range), (x) => truth.distance(sin(x), truth.sin(x)), 2 ** -51);
      expectWorst(uniform(2000, -range, range), (x) => truth.distance(cos(x), truth.cos(x)), 2 ** -51);
    }
    // Multiples of pi/2, where the reduction cancels most.
    const multiples = Array.from({ length: 2000 }, (_, i) => i * 333 * (Math.PI / 2));
    expectWorst(multiples, (x) => truth.distance(sin(x), truth.sin(x)), 2 ** -51);
    expectWorst(multiples, (x) => truth.distance(cos(x), truth.cos(x)), 2 ** -51);
    expect([sin(0), cos(0)]).toEqual([0, 1]);
  });

  it('power and integerPower', () => {
    const random = new Random(1);
    for (let i = 0; i < 500; i++) {
      const [x, y] = [1 + 1e5 * random.uniform(), 4 * random.uniform() - 2];
      // An error of 2 ulp in y log x, at most 24 in size, and 2 more in exp.
      expect(Math.abs(power(x, y) / x ** y - 1) <= 60 * 2 ** -52, `${x} ** ${y}`).toBe(true);
    }
    for (const [x, n] of [
      [2, 0],
      [2, 10],
      [3, 20],
      [-2, 3],
      [0.5, 30],
    ])
      expect(integerPower(x, n)).toBe(x ** n);
    // n - 1 products at most, half an ulp each.
    expect(Math.abs(integerPower(0.999, 10_000) / 0.999 ** 10_000 - 1) <= 10_000 * 2 ** -53).toBe(true);
  });
});

/** 2^17 numbers and the ends of the range, and both sides of every step of n = round(x / ln 2). */
function arguments32(low: number, high: number): Float32Array<ArrayBuffer> {
  const steps = Array.from({ length: 257 }, (_, n) => (n - 128 + 0.5) * Math.LN2).filter((x) => x > low && x < high);
  const near = steps.flatMap((x) => [-2, -1, 0, 1, 2].map((step) => floatOf(bitsOf(x) + step)));
  return Float32Array.from([low, high, 0, ...near, ...uniform(131_068 - near.length, low, high)]);
}

describe('float32: the kernels use the bits of the mirror', () => {
  it('below zero, through the softmax of crossEntropy', () => {
    const logits = arguments32(-110, 0);
    const rows = 4;
    const columns = Math.floor(logits.length / rows);
    const values = logits.slice(0, rows * columns);
    // The largest logit of each row is 0, so that the exponents are the logits.
    for (let row = 0; row < rows; row++) values[row * columns] = 0;
    const targets = Int32Array.of(0, 0, 0, 0);
    const { gradient } = mirrorLoss(values, columns, targets, 1);
    onEveryBuild((engine, name) => {
      const t = floatTensor(engine, values, [rows, columns]);
      crossEntropy(engine, t, upload(engine, targets), 1);
      expectSame(floats(engine, t), gradient, name);
    });
  });

  it('above zero, through the sigmoid of swiglu', () => {
    const gates = arguments32(0, 95).map((x) => -x) as Float32Array<ArrayBuffer>;
    const width = gates.length - (gates.length % 4);
    const gateUp = new Float32Array(2 * width).fill(1);
    gateUp.set(gates.subarray(0, width));
    const { y } = mirrorSwiglu(gateUp, width, {});
    onEveryBuild((engine, name) => {
      const result = swigluForward(engine, floatTensor(engine, gateUp, [1, 2 * width]), {
        first: { dtype: 'float32', scale: 1 },
      });
      expectSame(floats(engine, result.y), y, name);
    });
  });
});

describe('float32: exp', () => {
  /** Error in ulp of float32; Math.exp is true to 2^-28 of one. */
  const error = (x: number) => {
    const t = Math.exp(x);
    return Math.abs(mirror.exp(x) - t) / 2 ** (Math.max(Math.floor(Math.log2(t)), -126) - 23);
  };

  it('is within 1 ulp on [-87, 88]', () => {
    expectWorst(arguments32(-87, 88), error, 1);
    expectWorst(arguments32(-1, 1), error, 1);
  });

  it('log2, through the moments in expanded groups: within 2^-22 of |log2 x| or, near 1, of itself', () => {
    const random = new Random(8);
    const near = random.wide(2000, -23, -2).map((x) => 1 + x);
    for (const x of [...random.wide(5000, -126, 127).map(Math.abs), ...near, 1, 2, 0.5, 2 ** -126]) {
      const exact = Math.log2(Math.fround(x));
      const error = Math.abs(mirror.log2(Math.fround(x)) - exact);
      expect(error <= 2 ** -22 * Math.abs(exact), `log2 ${x}: ${error}`).toBe(true);
    }
    expect(mirror.log2(1)).toBe(0);
  });

  it('exp2, through the bits of attention: within 1.01 ulp on [-126, 2]', () => {
    const error2 = (x: number) => Math.abs(mirror.exp2(x, -126) - 2 ** x) / 2 ** (Math.max(Math.floor(x), -126) - 23);
    expectWorst(arguments32(-126, 2), error2, 1.01);
    expectWorst(arguments32(-1, 1), error2, 1.01);
    // Both sides of every step of n = round(x).
    const halves = Array.from({ length: 126 }, (_, n) => n - 125.5).flatMap((x) => [x, floatOf(bitsOf(x) + 1)]);
    expectWorst(halves, error2, 1.01);
    expect([mirror.exp2(0, -60), mirror.exp2(-60, -60), mirror.exp2(-61, -60)]).toEqual([1, 2 ** -60, 0]);
    expect(mirror.exp2(Number.NaN, -60)).toBeNaN();
  });

  it('has its special values', () => {
    expect(mirror.exp(0)).toBe(1);
    expect(mirror.exp(-87)).toBeGreaterThan(2 ** -126);
    for (const x of [floatOf(bitsOf(-87) + 1), -1e30, Number.NEGATIVE_INFINITY]) expect(mirror.exp(x)).toBe(0);
    for (const x of [89, 1e30, Number.POSITIVE_INFINITY]) expect(mirror.exp(x)).toBe(mirror.exp(Math.fround(88.37)));
    expect(Number.isFinite(mirror.exp(1e30))).toBe(true);
    expect(mirror.exp(Number.NaN)).toBeNaN();
  });
});
