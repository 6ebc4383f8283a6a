/**
 * `adamwAmax` skips units that cannot exceed what it has seen (assembly/adamw-bound.ts). A unit alone is never skipped, so the largest values of
 * units alone are the truth for a run over all of them.
 */
import { describe, expect, it } from 'vitest';
import { ADAMW_AMAX_WORDS, ADAMW_ELEMENTS } from '../src/engine/units.js';
import { type DType, decode, encode } from '../src/formats/index.js';
import type { Engine } from '../src/index.js';
import { idOf } from '../src/ops/tensor.js';
import { BUILDS, useBuilds } from './helpers/builds.js';
import { Random } from './helpers/rng.js';

const onEveryBuild = useBuilds();
/** With threads, a call has too few units here for one to follow another. */
const onOneThread = useBuilds(BUILDS.filter(({ threads }) => threads === 1));
const SCRATCH = 4 * ADAMW_ELEMENTS * 4 + 256;
const FIRST = ['float8_e4m3fn', 'float8_e4m3'] as const;
const [M, V, W] = [FIRST[0], 'float8_e5m2', 'float16'] as const;

interface State {
  readonly m: Uint8Array;
  readonly v: Uint8Array;
  readonly w: Uint16Array;
  readonly grad: Float32Array;
}
interface Numbers {
  readonly mDtype: DType;
  readonly gradScale: number;
  readonly mInv: number;
  readonly vInv: number;
  readonly wInv: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly rate: number;
  readonly eps: number;
  readonly decay: number;
  /** A scale of each group of 256 moments, in place of mInv and vInv. */
  readonly groupScale?: number;
}
const NUMBERS: Numbers = {
  ...{ mDtype: M, gradScale: 1, mInv: 2 ** -20, vInv: 2 ** -40, wInv: 2 ** -18 },
  ...{ beta1: 0.9, beta2: 0.95, rate: 1e-3, eps: 1e-8, decay: 0.9999 },
};

/** For each unit, the largest |m|, |v| and |w|: of units alone, and of all in one run, where a skipped one has zeros. */
function largest(engine: Engine, { m, v, w, grad }: State, n: Numbers): { alone: number[][]; together: number[][] } {
  return engine.scoped(() => {
    const lay = (from: Uint8Array | Uint16Array | Float32Array) => {
      const to = engine.arena.alloc(from.byteLength);
      new Uint8Array(engine.arena.buffer, to).set(new Uint8Array(from.buffer, from.byteOffset, from.byteLength));
      return to;
    };
    const [mAt, vAt, wAt, gAt] = [m, v, w, grad].map(lay);
    const units = Math.ceil(m.length / ADAMW_ELEMENTS);
    const groups = n.groupScale ? lay(new Float32Array(m.length / 256).fill(n.groupScale)) : 0;
    const run = (first: number, count: number) => {
      const out = engine.arena.alloc(count * ADAMW_AMAX_WORDS * 4);
      const from = first * ADAMW_ELEMENTS;
      // biome-ignore format: one line per group of the kernel's signature
      engine.parallel(
        'adamwAmax', count, SCRATCH, Math.min(m.length - from, count * ADAMW_ELEMENTS), gAt + 4 * from, n.gradScale,
        mAt + from, idOf(n.mDtype), n.mInv, vAt + from, idOf(V), n.vInv, wAt + 2 * from, idOf(W), n.wInv,
        n.beta1, n.beta2, n.rate, n.eps, n.decay, groups, groups, groups ? 256 : 0, 0, out,
      );
      const words = new Float32Array(engine.arena.buffer, out, count * ADAMW_AMAX_WORDS);
      return Array.from({ length: count }, (_, i) => [...words.subarray(4 * i, 4 * i + 3)]);
    };
    return { alone: Array.from({ length: units }, (_, i) => run(i, 1)[0]), together: run(0, units) };
  });
}

const most = (rows: number[][], column: number) => Math.max(...rows.map((row) => row[column]));

function expectSame(engine: Engine, name: string, state: State, numbers: Numbers): number {
  const { alone, together } = largest(engine, state, numbers);
  for (const [i, what] of ['m', 'v', 'w'].entries()) {
    expect(most(together, i), `${name}: ${what}`).toBe(most(alone, i));
  }
  return together.filter((row) => row.every((x) => x === 0)).length;
}

/** A state after steps of training: gradients of a normal distribution whose size differs between elements, and between units. */
function trained(random: Random, size: number): State & Pick<Numbers, 'mInv' | 'vInv' | 'wInv'> {
  const sizes = Array.from(
    { length: size },
    (_, i) => 2 ** (random.integer(-8, -6) - (Math.floor(i / ADAMW_ELEMENTS) % 6)),
  );
  const moment = sizes.map((x) => 0.3 * x * random.normals(1)[0]);
  const square = sizes.map((x) => x * x * (0.3 + random.uniform()));
  const weights = [...random.normals(size, 0.02)];
  const peak = (values: number[]) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const [mInv, vInv, wInv] = [peak(moment) / 448, peak(square) / 57344, peak(weights) / 65504].map(Math.fround);
  return {
    m: encode(
      moment.map((x) => x / mInv),
      M,
    ) as Uint8Array,
    v: encode(
      square.map((x) => x / vInv),
      V,
    ) as Uint8Array,
    w: encode(
      weights.map((x) => x / wInv),
      W,
    ) as Uint16Array,
    grad: Float32Array.from(sizes, (x) => x * random.normals(1)[0]),
    ...{ mInv, vInv, wInv },
  };
}

/** Fills each unit with one element. */
function units(of: { a: number; b: number; w?: number; g?: number }[]): State {
  const size = of.length * ADAMW_ELEMENTS;
  const state = {
    m: new Uint8Array(size),
    v: new Uint8Array(size),
    w: new Uint16Array(size),
    grad: new Float32Array(size),
  };
  of.forEach(({ a, b, w = 0, g = 0 }, i) => {
    const [from, to] = [i * ADAMW_ELEMENTS, (i + 1) * ADAMW_ELEMENTS];
    state.m.fill(a, from, to);
    state.v.fill(b, from, to);
    state.w.fill(w, from, to);
    state.grad.fill(g, from, to);
  });
  return state;
}

describe('the largest new values of AdamW', () => {
  it('of a trained state are found although most units are skipped', () => {
    const random = new Random(1);
    const size = 24 * ADAMW_ELEMENTS + 5;
    const { mInv, vInv, wInv, ...state } = trained(random, size);
    onEveryBuild((engine, name) => {
      const skipped = expectSame(engine, name, state, { ...NUMBERS, mInv, vInv, wInv, gradScale: 0.7 });
      if (engine.info.threads === 1) expect(skipped, name).toBeGreaterThan(12);
    });
  });

  it('are found wherever the largest stand', () => {
    const random = new Random(2);
    const size = 6 * ADAMW_ELEMENTS;
    for (let round = 0; round < 40; round++) {
      const { mInv, vInv, wInv, ...state } = trained(random, size);
      const at = () => random.integer(0, size - 1);
      state.grad[at()] *= 2 ** random.integer(0, 12);
      state.m[at()] = random.integer(0, 0x7e);
      state.v[at()] = random.integer(0, 0x7b);
      state.w[at()] = 0x7bff;
      const rate = 10 ** random.integer(-5, 0);
      const mDtype = FIRST[round % 2];
      onOneThread((engine, name) => {
        expectSame(engine, `${name}, round ${round}`, state, { ...NUMBERS, mDtype, mInv, vInv, wInv, rate });
      });
    }
  });

  // The new w is the whole step here. Only the step of the second unit is larger: an element of the first has the largest moments.
  it('include a step that grew a little, for every code of m', () => {
    const { beta1, beta2 } = NUMBERS;
    const [mInv, vInv] = [2 ** -20, 2 ** -46];
    const ms = decode(
      Uint8Array.from({ length: 0x7f }, (_, i) => i),
      M,
    );
    const vs = decode(
      Uint8Array.from({ length: 0x7c }, (_, i) => i),
      V,
    );
    let grew = 0;
    onOneThread((engine, name) => {
      for (let a = 2; a <= 0x7e; a++) {
        for (const b of [1, 2, 3, (a % 0x78) + 4]) {
          // Where the inequality is an equality.
          const steepest = ((1 - beta1) * beta2 * vs[b] * vInv) / ((1 - beta2) * beta1 * ms[a] * mInv);
          for (const [before, g] of [
            [{ a: a - 1, g: 0 }, 0],
            [{ a: a - 1, g: steepest }, steepest],
            [{ a, g: 0.7 * steepest }, steepest],
          ] as const) {
            const state = units([
              { ...before, b },
              { a, b, g },
            ]);
            state.m[0] = 0x7e;
            state.v[0] = 0x7b;
            const { alone, together } = largest(engine, state, { ...NUMBERS, mInv, vInv, rate: 1, eps: 1e-12 });
            if (alone[1][2] <= alone[0][2]) continue;
            grew++;
            expect(alone[1][0] <= alone[0][0] && alone[1][1] <= alone[0][1]).toBe(true);
            expect(most(together, 2), `${name}: m ${a}, v ${b}, g ${g}`).toBe(alone[1][2]);
          }
        }
      }
    });
    expect(grew).toBeGreaterThan(1000);
  });

  // Only one of the three is larger in the second unit: an element of the first has the others.
  it.each([
    ['m by the code', 0, { a: 0x40, g: 1e-6 }, { a: 0x41, g: 1e-6 }],
    ['m by the gradient', 0, { a: 0xc0, g: 1e-6 }, { a: 0xc0, g: 1.01e-6 }],
    ['v by the code', 1, { b: 0x40, g: 1e-6 }, { b: 0x41, g: 1e-6 }],
    ['v by the gradient', 1, { b: 0x10, g: 1e-6 }, { b: 0x10, g: 1.01e-6 }],
    ['w', 2, { w: 0x43ff }, { w: 0x4400 }],
  ])('include %s', (_, column, before, after) => {
    const element = { a: 0x20, b: 0x20 };
    const state = units([
      { ...element, ...before },
      { ...element, ...after },
    ]);
    if (column !== 0) state.m[0] = 0x7e;
    if (column !== 1) state.v[0] = 0x7b;
    if (column !== 2) state.w[0] = 0x7bff;
    const numbers = { ...NUMBERS, rate: 1e-9, gradScale: -1 };
    onOneThread((engine, name) => {
      const { alone } = largest(engine, state, numbers);
      expect(alone[1].map((x, i) => x > alone[0][i])).toEqual([0, 1, 2].map((i) => i === column));
      expectSame(engine, name, state, numbers);
    });
  });

  it('are those of the second unit, where it has no bound or a higher one than other terms give', () => {
    const cases: [string, State, Partial<Numbers>?][] = [
      [
        'a lost v',
        units([
          { a: 0x70, b: 0x54 },
          { a: 1, b: 0 },
        ]),
        { eps: 1e-12 },
      ],
      [
        'NaN among m',
        units([
          { a: 0x10, b: 0x20 },
          { a: 0x7f, b: 0x20 },
        ]),
      ],
      [
        'infinity among v',
        units([
          { a: 0x10, b: 0x20 },
          { a: 0x10, b: 0x7c },
        ]),
      ],
      [
        'infinity of E4M3 among m',
        units([
          { a: 0x10, b: 0x20 },
          { a: 0x78, b: 0x20 },
        ]),
        { mDtype: 'float8_e4m3' },
      ],
      [
        'a step by the gradient alone',
        units([
          { a: 0x40, b: 0x60, w: 0x3000, g: 1e-6 },
          { a: 0, b: 0x30, g: 1e-6 },
        ]),
        { rate: 1, wInv: 2 ** -2 },
      ],
      [
        'moments with scales for groups',
        units([
          { a: 0x40, b: 0x40 },
          { a: 0x41, b: 0x40 },
        ]),
        { groupScale: 2 ** 10 },
      ],
      [
        'NaN after infinity',
        units([
          { a: 0x40, b: 0x40, g: 1 },
          { a: 0, b: 0 },
        ]),
        { rate: Number.POSITIVE_INFINITY },
      ],
      [
        'v of -0',
        units([
          { a: 0x40, b: 0x40 },
          { a: 0x10, b: 0x80 },
        ]),
      ],
      [
        'a negative v',
        units([
          { a: 0x10, b: 0x20 },
          { a: 0x10, b: 0x81 },
        ]),
      ],
      [
        'NaN among w',
        units([
          { a: 0x10, b: 0x20 },
          { a: 0x10, b: 0x20, w: 0x7e00 },
        ]),
      ],
      [
        'an infinite gradient',
        units([
          { a: 0x10, b: 0x20 },
          { a: 0, b: 0, g: Number.POSITIVE_INFINITY },
        ]),
      ],
      [
        'a negative decay',
        units([
          { a: 0x10, b: 0x20, w: 1 },
          { a: 0x10, b: 0x20, w: 0x7bff },
        ]),
        { decay: -8, rate: 4 },
      ],
      [
        'no eps',
        units([
          { a: 0x10, b: 0x20, w: 0x7bff },
          { a: 0, b: 0, g: 1e-30 },
        ]),
        { eps: 0, gradScale: -1 },
      ],
    ];
    onOneThread((engine, name) => {
      for (const [what, state, numbers] of cases)
        expectSame(engine, `${name}, ${what}`, state, { ...NUMBERS, ...numbers });
    });
  });
});
