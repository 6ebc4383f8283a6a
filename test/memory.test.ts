/**
 * The state really is one byte a moment and two a master weight, and the operands of linears one byte: nothing in float32 stands beside
 * them from one step to the next, in wasm memory or in JavaScript's.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { DTYPES, formatSpec } from '../src/formats/index.js';
import { type Engine, init } from '../src/index.js';
import { TrainingCasts } from '../src/model/casts.js';
import type { LlamaConfigInput } from '../src/model/config.js';
import { parameterCount } from '../src/model/params.js';
import { RECIPES, type Recipe } from '../src/ops/recipe.js';
import { bytesOf, empty, sizeOf } from '../src/ops/tensor.js';
import { DataOrder } from '../src/train/data.js';
import { type TrainSettings, trainSettings } from '../src/train/options.js';
import { initialState, stateBytesPerParameter, type TrainingState, trainingModel } from '../src/train/state.js';
import { evaluate, trainStep } from '../src/train/step.js';
import { withGuardedScratch } from './helpers/scratch.js';
import { QUICK, SMOOTH_CHANNEL, TINY } from './helpers/training.js';

/** Large enough that a float32 copy of anything in it shows against what an engine needs anyway: 0.7 million parameters. */
const MIDDLE = { ...TINY, hiddenSize: 128, intermediateSize: 512, layers: 3 };
const VALIDATION = QUICK.data.subarray(0, 500);
const settingsOf = (recipe: Recipe | string, config: LlamaConfigInput) =>
  trainSettings({ ...QUICK, recipe, config, batchSize: 2, gradientAccumulation: 2 });

interface Run {
  engine: Engine;
  settings: TrainSettings;
  state: TrainingState;
  step(): void;
  /** Bytes in use before there was any state, on an engine that has its scratch memory and its full size already. */
  before: Bytes;
}

interface Bytes {
  /** Allocated in wasm memory. */
  arena: number;
  /** Of wasm memory, allocated or not: while it stays the same, growth elsewhere is JavaScript's. */
  memory: number;
  /** Of typed arrays in JavaScript. Whether that counts wasm memory differs between versions of V8. */
  arrays: number;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function bytesOfEngine({ arena }: Engine): Bytes {
  collectGarbage();
  return {
    arena: arena.bytesInUse,
    memory: arena.buffer.byteLength,
    arrays: process.memoryUsage().arrayBuffers,
  };
}

async function withRun(settings: TrainSettings, body: (run: Run) => void): Promise<void> {
  const engine = await init({ threads: 1 });
  const data = new DataOrder(QUICK.data, settings.blockSize, settings.seed);
  engine.scoped(() => {
    const warm = initialState(engine, settings);
    trainStep(engine, settings, warm, data);
    evaluate(engine, settings, warm, VALIDATION);
  });
  const before = bytesOfEngine(engine);
  const state = initialState(engine, settings);
  const step = () => trainStep(engine, settings, state, data);
  body({ engine, settings, state, step, before });
  engine.dispose();
}

it.each(['fp8', 'fp8-plain', SMOOTH_CHANNEL])(
  'between two steps there is the state and nothing more: %o',
  async (recipe) => {
    await withRun(settingsOf(recipe, MIDDLE), ({ engine, settings, state, step, before }) => {
      const initialised = bytesOfEngine(engine);
      for (let i = 0; i < 2; i++) {
        step();
        expect(engine.arena.bytesInUse).toBe(initialised.arena);
      }
      evaluate(engine, settings, state, VALIDATION);
      const after = bytesOfEngine(engine);
      expect(after.arena).toBe(initialised.arena);

      // 4 bytes a parameter of a matrix, 12 a norm gain; two rotary tables of (positions, D / 2); and at most 127 bytes of rounding each.
      const tensors = state.table.length * 3 + 2;
      const gains = state.table
        .filter(({ role }) => role === 'norm')
        .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
      const matrices = parameterCount(settings.config) - gains;
      const rope = 2 * settings.config.maxPositions * (settings.config.headDim / 2) * 4;
      const bound = 4 * matrices + 12 * gains + rope + 127 * tensors;
      expect(after.arena - before.arena).toBeLessThanOrEqual(bound);
      expect(after.arena - before.arena).toBeGreaterThan(4 * matrices);
      expect(stateBytesPerParameter(state)).toBeLessThanOrEqual(4.1);
      expect(stateBytesPerParameter(state)).toBeGreaterThan(4);

      // A quarter of what one copy of the matrices in FP8 would be, and many times what histories are.
      expect(after.memory).toBe(before.memory);
      expect(after.arrays - before.arrays).toBeLessThan(matrices / 4);
    });
  },
);

describe('the state', () => {
  it('is FP16 masters, E4M3 and E5M2 moments, each with one scale; norm gains in float32', async () => {
    await withRun(settingsOf('fp8', TINY), ({ state, step }) => {
      for (const when of ['initialised', 'after a step']) {
        for (const { name, role, shape } of state.table) {
          const { master, firstMoment, secondMoment } = state.parameters.get(name)!;
          const tensors = [master, firstMoment, secondMoment];
          const dtypes =
            role === 'norm' ? ['float32', 'float32', 'float32'] : ['float16', 'float8_e4m3fn', 'float8_e5m2'];
          expect(
            tensors.map(({ dtype }) => dtype),
            `${name}, ${when}`,
          ).toEqual(dtypes);
          const bytes = tensors.reduce((sum, t) => sum + bytesOf(t), 0);
          expect(bytes, name).toBe(sizeOf(shape) * (role === 'norm' ? 12 : 4));
          for (const { scaleInv } of tensors) expect(typeof scaleInv).toBe('number');
        }
        step();
      }
    });
  });
});

describe('inside a step', () => {
  it('the operands of linears are one byte an element', async () => {
    await withRun(settingsOf('fp8', TINY), ({ engine, settings, state }) => {
      engine.scoped(() => {
        const casts = new TrainingCasts(engine, settings.recipe, state.scales, 1, 1);
        const model = trainingModel(engine, settings, state, casts);
        for (const { name, role } of state.table) {
          const { forward, backward } = model.weights.get(name)!;
          const dtypes = { linear: ['float8_e4m3fn', 'float8_e5m2'], norm: ['float32', 'float32'] };
          const expected = role === 'linear' || role === 'norm' ? dtypes[role] : ['bfloat16', 'bfloat16'];
          expect([forward.dtype, backward.dtype], name).toEqual(expected);
        }
        const x = empty(engine, [6, 32], 'bfloat16');
        const both = empty(engine, [6, 64], 'bfloat16');
        const { forward, backward } = casts.input('x', x);
        const y = casts.swiglu('y', both);
        const { forInput } = casts.gradOutput('x', x);
        const dtypes = [forward, backward, y.forward, y.backward, forInput].map(({ dtype }) => dtype);
        expect(dtypes).toEqual(['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3fn', 'float8_e5m2', 'float8_e5m2']);
      });
    });
  });

  it('every product of a linear reads FP8, and only the head reads BF16', async () => {
    await withRun(settingsOf('fp8', TINY), ({ engine, step }) => {
      const products = new Map<string, number>();
      const { parallel } = engine;
      let b = '';
      // The operands as the kernels get them: packB's first argument and gemm's fourth are formats.
      engine.parallel = ((name: string, units: number, scratch: number, ...args: number[]) => {
        if (name === 'packB') b = DTYPES[args[0]];
        if (name === 'gemm') {
          const key = `${DTYPES[args[3]]} x ${b}`;
          products.set(key, (products.get(key) ?? 0) + 1);
        }
        return parallel.call(engine, name as never, units, scratch, ...(args as never));
      }) as typeof engine.parallel;
      step();
      // Per pass (two of them), per layer and linear: one forward, two backward; the head likewise in BF16.
      const linears = 2 * TINY.layers * 4;
      expect(Object.fromEntries(products)).toEqual({
        'float8_e4m3fn x float8_e4m3fn': linears,
        'float8_e5m2 x float8_e5m2': 2 * linears,
        'bfloat16 x bfloat16': 2 * 3,
      });
      for (const key of ['float8_e4m3fn', 'float8_e5m2']) expect(formatSpec(key).bytes).toBe(1);
    });
  });
});

it.each(Object.keys(RECIPES))(
  'no kernel of a step or an evaluation in %s writes beyond its scratch',
  async (recipe) => {
    await withRun(settingsOf(recipe, TINY), ({ engine, settings, state, step }) => {
      const names = withGuardedScratch(engine, () => {
        step();
        evaluate(engine, settings, state, VALIDATION);
      });
      expect(names.size).toBeGreaterThan(10);
    });
  },
);
