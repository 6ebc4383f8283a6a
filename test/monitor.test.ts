/** Looks inside a training step: what they say against float64 arithmetic on the same numbers, and that looking changes nothing. */
import { describe, expect, it } from 'vitest';
import { type DType, encode, formatSpec } from '../src/formats/index.js';
import { TrainingCasts } from '../src/model/casts.js';
import { Monitor } from '../src/model/monitor.js';
import { Scales } from '../src/model/scales.js';
import { type CastMonitor, monitorCast } from '../src/ops/monitor.js';
import { read } from '../src/ops/quantize.js';
import { RECIPES, type Recipe } from '../src/ops/recipe.js';
import { powerOfTwoScale } from '../src/ops/scale.js';
import { bytes, floats, type Tensor } from '../src/ops/tensor.js';
import type { MetricsLine, MonitorLine } from '../src/train/events.js';
import { METRICS_FILE } from '../src/train/log.js';
import { rowCosines } from '../src/train/monitor.js';
import { trainSettings } from '../src/train/options.js';
import type { TrainOptions } from '../src/train/run-options.js';
import { initialState } from '../src/train/state.js';
import { useBuilds } from './helpers/builds.js';
import { normals, ofCodes, place, placeFloats, sample } from './helpers/cases.js';
import { Random } from './helpers/rng.js';
import { events, logOf, memoryStore, QUICK, SMOOTH_CHANNEL, stepsOf, useEngine, VARIANTS } from './helpers/training.js';
import { amax } from './reference/lanes.js';
import { scaled, valuesOf } from './reference/quantize.js';
import { swigluForward } from './reference/swiglu.js';

const engine = useEngine();
const onEveryBuild = useBuilds();

/** Sums of at most 40,000 terms without cancellation, in another order: each addition is off by at most 2^-53. */
const SUM = 40_000 * 2 ** -53;
/** A ratio of two such sums, and the 2 ulp of the logarithm. */
const closeTo = (actual: number | null, expected: number, label: string) =>
  expect(
    Math.abs(actual! - expected) <= 4 * SUM * Math.max(1, Math.abs(expected)),
    `${label}: ${actual}, ${expected}`,
  ).toBe(true);

/** The definitions, in the order they are written. */
function expectedOf(x: Float32Array, codes: Uint8Array, q: Float32Array) {
  let [squares, fourths, errors] = [0, 0, 0];
  x.forEach((value, i) => {
    squares += value ** 2;
    fourths += value ** 4;
    errors += (value - q[i]) ** 2;
  });
  const counts: number[] = new Array(256).fill(0);
  for (const code of codes) counts[code]++;
  return { kurtosis: fourths / x.length / (squares / x.length) ** 2, sqnr: 10 * Math.log10(squares / errors), counts };
}

function expectMonitor(got: CastMonitor, x: Float32Array, codes: Uint8Array, q: Float32Array, label: string): void {
  const { kurtosis, sqnr, counts } = expectedOf(x, codes, q);
  expect(got.codes, label).toEqual(counts);
  expect(got.amax, label).toBe(amax(x));
  closeTo(got.kurtosis, kurtosis, `${label}: kurtosis`);
  closeTo(got.sqnr_db, sqnr, `${label}: SQNR`);
}

describe('a cast', () => {
  it.each(['float8_e4m3fn', 'float8_e5m2'] as const)(
    'to %s, as float64 has it, and the same bits on every build',
    (dtype) => {
      // Around a unit (8 rows), a row of a flat tensor (4096), and odd lengths.
      for (const [rows, columns] of [
        [1, 1],
        [7, 5],
        [9, 64],
        [17, 131],
        [9, 4099],
      ]) {
        const random = new Random(rows);
        const src = normals(random, [rows, columns], 'bfloat16', 3);
        const srcScale = Math.fround(0.7);
        for (const factors of [undefined, { row: random.wide(rows, -2, 2), column: random.wide(columns, -2, 2) }]) {
          const x = valuesOf(src.values, columns, srcScale, factors?.row, factors?.column);
          // Some saturate, some underflow.
          const scale = 2 * powerOfTwoScale(amax(x), formatSpec(dtype).max);
          const coded = ofCodes(encode(scaled(x, scale), dtype), [rows, columns], dtype);
          const q = scaled(coded.values, 1 / scale);
          const label = `${rows} x ${columns}, ${factors ? 'factors' : 'none'}`;
          let first: CastMonitor | undefined;
          onEveryBuild((built, name) => {
            const addresses = factors && {
              rowFactor: placeFloats(built, factors.row),
              columnFactor: placeFloats(built, factors.column),
            };
            const codes = place(built, coded, 1 / scale);
            const got = monitorCast(built, place(built, src, srcScale), codes, addresses);
            expectMonitor(got, x, coded.codes as Uint8Array, q, `${name}: ${label}`);
            first ??= got;
            expect(got, `${name}: ${label}`).toEqual(first);
          });
        }
      }
    },
  );

  /** A tensor cast to itself. */
  const looked = (values: ArrayLike<number>, dtype: DType = 'float32') =>
    engine().scoped(() => {
      const t = place(engine(), sample(values, [values.length], dtype));
      return monitorCast(engine(), t, t);
    });

  it('kurtosis: 1 for a sign, the number of elements for a spike, about 3 for normal numbers, none for zeros', () => {
    expect(looked([2, -2, 2, 2]).kurtosis).toBe(1);
    expect(looked([0, 0, 5, 0, 0]).kurtosis).toBe(5);
    const { kurtosis } = looked(new Random(1).normals(20_000));
    // 2.9 for a sum of twelve uniforms; its standard error here is 0.03.
    expect(Math.abs(kurtosis! - 2.9)).toBeLessThan(0.12);
    expect(looked([0, 0, 0])).toEqual({ dtype: 'float32', amax: 0, kurtosis: null, sqnr_db: null });
  });

  it('SQNR: none where nothing is lost; codes are counted where they are one byte', () => {
    expect(looked([1, -3, 0.25]).sqnr_db).toBeNull();
    expect(looked([1, -3, 0.25], 'bfloat16')).not.toHaveProperty('codes');
    const { codes, sqnr_db } = looked([1, -3, 1], 'float8_e4m3fn');
    expect(sqnr_db).toBeNull();
    expect(codes).toHaveLength(256);
    expect([codes![0x38], codes![0xc4]]).toEqual([2, 1]);
    expect(looked([Number.NaN, 1, 2])).toMatchObject({ amax: Number.NaN, kurtosis: null, sqnr_db: null });
  });
});

describe('SwiGLU', () => {
  const [ROWS, WIDTH] = [21, 20];
  const random = new Random(3);
  /** Rows of different sizes, so that tokens have different s. */
  const values = random.normals(ROWS * 2 * WIDTH).map((x, i) => x * 2 ** (Math.floor(i / (2 * WIDTH)) % 5));
  const gateUp = sample(values, [ROWS, 2 * WIDTH], 'bfloat16');

  /** What a monitor sees in the second step, when scales are known and the output is encoded as it is computed; and in the first. */
  function twoSteps(recipe: Recipe) {
    const scales = new Scales();
    return [1, 2].map((step) => {
      const monitor = new Monitor(engine());
      const x = place(engine(), gateUp);
      const operand = new TrainingCasts(engine(), recipe, scales, 3, step, monitor).swiglu('l.down', x);
      scales.advance(recipe, step);
      return { monitor, operand };
    });
  }

  it.each([RECIPES.fp8, RECIPES['fp8-plain'], SMOOTH_CHANNEL])(
    '$name: codes, source, largest by channel, s',
    (recipe) => {
      engine().scoped(() => {
        const plain = swigluForward(gateUp.values, WIDTH, {});
        for (const [i, { monitor, operand }] of twoSteps(recipe).entries()) {
          const label = `step ${i + 1}`;
          const channelInv = operand.channel && floats(engine(), operand.channel.inverse);
          const source = swigluForward(gateUp.values, WIDTH, {
            perToken: recipe.swiglu === 'smooth-token',
            channelInv,
          });
          const codes = bytes(engine(), operand.forward);
          expectMonitor(monitor.casts.get('l.down.input')!, source.y, codes, read(engine(), operand.forward), label);
          const seen = monitor.activations.get('l.down')!;
          seen.channel_amax.forEach((x, channel) => {
            // Four digits.
            expect(Math.abs(x / plain.channelAmax[channel] - 1) <= 5e-4, `${label}: channel ${channel}`).toBe(true);
          });
          const { smoothing } = seen;
          if (recipe.swiglu === 'plain') expect(smoothing).toBeUndefined();
          if (smoothing?.by === 'token') {
            const s = Array.from(source.rowScale, Math.log2);
            expect(smoothing.exponent).toBe(Math.min(...s));
            expect(smoothing.counts).toEqual(
              Array.from({ length: Math.max(...s) - Math.min(...s) + 1 }, (_, k) => {
                return s.filter((exponent) => exponent === Math.min(...s) + k).length;
              }),
            );
          }
          if (smoothing?.by === 'channel')
            expect(smoothing.exponents).toEqual(Array.from(channelInv!, (x) => Math.log2(1 / x)));
          expect(smoothing?.by ?? 'plain').toBe(recipe.swiglu.replace('smooth-', ''));
        }
      });
    },
  );

  it('the cosine of a gate row and an up row', () => {
    const a = [1, 2, 3];
    const row = random.normals(3);
    const matrix = Float32Array.from([...a, ...a, ...row, 0, 0, 0, ...a, ...a.map((x) => -2 * x), 1, 0, 0, ...a]);
    const [same, opposite, other, zero] = rowCosines(matrix, 3);
    expect([same, opposite, zero]).toEqual([1, -1, null]);
    expect(Math.abs(other! - row[0] / Math.hypot(...row))).toBeLessThanOrEqual(5e-5);
  });
});

const monitorsOf = (lines: readonly MetricsLine[]): MonitorLine[] => lines.filter((line) => line.type === 'monitor');
const run = (options: Partial<TrainOptions>) => events({ ...QUICK, ...options, engine: engine() });

describe('a run', () => {
  it.each(VARIANTS)('has the same bits looked into or not: %s', async (_, options) => {
    const without = await run(options);
    expect(monitorsOf(without)).toEqual([]);
    const looked = await run({ ...options, monitorInterval: 1 });
    expect(monitorsOf(looked).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(stepsOf(looked).map(({ digest }) => digest)).toEqual(stepsOf(without).map(({ digest }) => digest));
  });

  it('is looked into at its interval; the log holds the same', async () => {
    const outDir = memoryStore();
    const lines = await run({ outDir, monitorInterval: 3 });
    expect(monitorsOf(lines).map(({ step }) => step)).toEqual([3, 6]);
    for (const { step } of monitorsOf(lines)) {
      const at = lines.findIndex((line) => line.type === 'monitor' && line.step === step);
      expect(lines[at - 1]).toMatchObject({ type: 'step', step });
    }
    expect(logOf(outDir.files.get(METRICS_FILE))).toEqual(lines);
    await expect(run({ monitorInterval: -1 })).rejects.toThrow(/^monitorInterval: expected an integer of at least 0/);
  });

  it.each(VARIANTS)('every operand, activation and gradient is there: %s', async (_, options) => {
    const lines = await run({ ...options, steps: 3, monitorInterval: 1, healthInterval: 1 });
    const settings = trainSettings({ ...QUICK, ...options });
    const { intermediateSize, layers } = settings.config;
    const tokens = settings.batchSize * settings.blockSize;
    const linears = ['qkv', 'o', 'gate_up', 'down'];
    const keys = Array.from({ length: layers }, (_, i) => `layers.${i}`).flatMap((layer) =>
      linears.flatMap((linear) => ['input', 'weight', 'grad_output'].map((role) => `${layer}.${linear}.${role}`)),
    );
    for (const line of monitorsOf(lines)) {
      expect(Object.keys(line.tensors).sort()).toEqual(keys.sort());
      const { fp8, grad_norm } = stepsOf(lines)[line.step - 1];
      for (const [key, { dtype, amax, kurtosis, sqnr_db, codes, ...health }] of Object.entries(line.tensors)) {
        expect(amax).toBeGreaterThan(0);
        expect(kurtosis).toBeGreaterThanOrEqual(1);
        // The same cast seen by two kernels.
        if (fp8) expect({ amax, ...health }).toEqual(fp8[key]);
        else expect(health).toEqual({});
        expect(codes !== undefined).toBe(formatSpec(dtype).bits === 8);
        // An FP8 cast of numbers of one size loses 2^-4 to 2^-3 of them: 25 to 40 dB; with a wide spread less is kept.
        // What is clipped is lost too.
        if (fp8)
          expect(sqnr_db! > (settings.recipe.outlierClip ? 3 : 10) && sqnr_db! < 45, `${key}: ${sqnr_db}`).toBe(true);
      }
      const codes = line.tensors['layers.1.down.input'].codes;
      if (fp8) expect(codes!.reduce((a, b) => a + b)).toBe(tokens * intermediateSize);
      for (const { cosines, channel_amax, smoothing } of Object.values(line.swiglu)) {
        expect([cosines.length, channel_amax.length]).toEqual([intermediateSize, intermediateSize]);
        for (const cosine of cosines) expect(cosine! >= -1 && cosine! <= 1).toBe(true);
        if (smoothing?.by === 'token') expect(smoothing.counts.reduce((a, b) => a + b)).toBe(tokens);
      }
      const norms = Object.values(line.grad_norms);
      expect(Object.keys(line.grad_norms).length).toBe(6 * layers + (settings.config.tieWordEmbeddings ? 2 : 3));
      closeTo(Math.hypot(...norms), grad_norm, 'gradient norms');
    }
  });

  it('the weights of the first step are the initial ones, as the definition encodes them', async () => {
    const settings = trainSettings(QUICK);
    const [line] = monitorsOf(await run({ steps: 1, monitorInterval: 1 }));
    engine().scoped(() => {
      const { parameters } = initialState(engine(), settings);
      const masterOf = (name: string): Tensor => parameters.get(name)!.master;
      for (const name of ['layers.0.qkv', 'layers.1.down']) {
        const x = read(engine(), masterOf(name));
        const scale = powerOfTwoScale(amax(x), 448);
        const codes = encode(scaled(x, scale), 'float8_e4m3fn');
        const q = scaled(ofCodes(codes, [codes.length], 'float8_e4m3fn').values, 1 / scale);
        expectMonitor(line.tensors[`${name}.weight`], x, codes, q, name);
      }
      const { shape } = masterOf('layers.0.gate_up');
      const matrix = read(engine(), masterOf('layers.0.gate_up'));
      expect(line.swiglu['layers.0.down'].cosines).toEqual(rowCosines(matrix, shape[1]));
    });
  });
});
