/** What a training run says: its events, which are its log, and its summary. */
import { describe, expect, it } from 'vitest';
import type { Tensor } from '../src/ops/tensor.js';
import { DataOrder } from '../src/train/data.js';
import { METRICS_FILE, readLog } from '../src/train/log.js';
import { train } from '../src/train/loop.js';
import { trainSettings } from '../src/train/options.js';
import { SUMMARY_FILE } from '../src/train/output.js';
import type { TrainOptions } from '../src/train/run-options.js';
import { learningRateAt } from '../src/train/schedule.js';
import { initialState } from '../src/train/state.js';
import { trainStep } from '../src/train/step.js';
import {
  digestOf,
  doneOf,
  evalsOf,
  events,
  logOf,
  mean,
  memoryStore,
  QUICK,
  stepsOf,
  useEngine,
} from './helpers/training.js';

const engine = useEngine();

describe('events', () => {
  const options = {
    ...QUICK,
    gradientAccumulation: 2,
    batchSize: 2,
    evalInterval: 3,
    evalWindows: 2,
    sampleInterval: 4,
    checkpointInterval: 5,
    healthInterval: 3,
    samplePrompt: 'Call',
  };

  it('come in order, and the log holds the same', async () => {
    const store = memoryStore();
    const run = await events({ ...options, engine: engine(), outDir: store });
    const step = ['step'];
    // biome-ignore format: one step a line
    expect(run.map(({ type }) => type)).toEqual([
      ...step, ...step, ...step, 'eval', ...step, 'sample', ...step, 'checkpoint', ...step, 'eval', ...step, ...step,
      'eval', 'sample', 'checkpoint', 'done',
    ]);
    expect(logOf(store.files.get(METRICS_FILE))).toEqual(run);
    expect(run.find(({ type }) => type === 'checkpoint')).toEqual({ type: 'checkpoint', step: 5, path: 'memory' });
    expect(run.find(({ type }) => type === 'sample')).toMatchObject({
      step: 4,
      prompt: 'Call',
      text: expect.any(String),
    });
  });

  it('a step has its fields', async () => {
    const settings = trainSettings(options);
    const steps = stepsOf(await events({ ...options, engine: engine() }));
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const line of steps) {
      expect(line.tokens).toBe(line.step * 2 * 2 * 32);
      expect(line.lr).toBe(learningRateAt(line.step, settings));
      expect(line.grad_norm).toBeGreaterThan(0);
      expect(line.tokens_per_sec).toBeGreaterThan(0);
      expect(line.elapsed_s).toBeGreaterThan(0);
      expect(line.digest).toMatch(/^[0-9a-f]{16}$/);
      expect(line.parameters?.length).toBe(14);
      for (const digest of line.parameters!) expect(digest).toMatch(/^[0-9a-f]{8}$/);
    }
    expect(steps.filter(({ fp8 }) => fp8).map(({ step }) => step)).toEqual([1, 3, 6, 8]);
  });

  it('FP8 health covers every operand of every linear', async () => {
    const run = stepsOf(await events({ ...options, steps: 3, engine: engine() }));
    const keys = [0, 1].flatMap((layer) =>
      ['qkv', 'o', 'gate_up', 'down'].flatMap((linear) =>
        ['input', 'weight', 'grad_output'].map((role) => `layers.${layer}.${linear}.${role}`),
      ),
    );
    for (const { fp8 } of run.filter((line) => line.fp8)) {
      expect(Object.keys(fp8!).sort()).toEqual(keys.sort());
      for (const [key, { amax, scale, saturated, underflowed }] of Object.entries(fp8!)) {
        expect(amax, key).toBeGreaterThan(0);
        expect(Number.isInteger(Math.log2(scale)), key).toBe(true);
        for (const share of [saturated, underflowed]) expect(share >= 0 && share <= 1, key).toBe(true);
      }
    }
    const other = await events({ ...options, recipe: 'bf16', steps: 3, engine: engine() });
    expect(stepsOf(other).some((line) => 'fp8' in line)).toBe(false);
  });

  it('FP8 health is that of all passes of a step', () => {
    const own = engine();
    /** What the casts of the first step see, from sequence number `offset` on. */
    const seen = (gradientAccumulation: number, offset: number) =>
      own.scoped(() => {
        const settings = trainSettings({ ...QUICK, batchSize: 1, gradientAccumulation });
        const state = { ...initialState(own, settings), offset };
        return trainStep(own, settings, state, new DataOrder(QUICK.data, 32, 7)).health;
      });
    const [both, first, second] = [seen(2, 0), seen(1, 0), seen(1, 1)];
    // Gradients are those of a mean over twice as many tokens.
    const inputs = [...both.keys()].filter((key) => key.endsWith('.input'));
    expect(inputs.length).toBe(8);
    for (const key of inputs) {
      const passes = [first.get(key)!, second.get(key)!];
      const larger = passes[0].amax >= passes[1].amax ? passes[0] : passes[1];
      expect(both.get(key), key).toEqual({
        amax: larger.amax,
        scale: larger.scale,
        saturated: mean(passes.map(({ saturated }) => saturated)),
        underflowed: mean(passes.map(({ underflowed }) => underflowed)),
      });
    }
    expect(inputs.some((key) => first.get(key)!.amax > second.get(key)!.amax)).toBe(true);
  });

  it('are read from a log that is longer than a string can be', async () => {
    const lines = new Uint8Array(540 << 20).fill(32);
    for (let at = (1 << 20) - 1; at < lines.length; at += 1 << 20) lines[at] = 10;
    lines.set(new TextEncoder().encode('{"type":"step","step":1}\n'), 0);
    lines.set(new TextEncoder().encode('{"type":"step","step":2}\n'), lines.length - 25);
    const store = memoryStore([[METRICS_FILE, lines]]);
    expect(await readLog({ ...store, read: async () => lines })).toEqual([
      { type: 'step', step: 1 },
      { type: 'step', step: 2 },
    ]);
  });

  it('done is the summary', async () => {
    const store = memoryStore();
    const run = await events({ ...options, engine: engine(), outDir: store });
    const { type, step, ...summary } = doneOf(run);
    expect(step).toBe(8);
    expect(JSON.parse(new TextDecoder().decode(store.files.get(SUMMARY_FILE)))).toEqual(summary);
    const losses = stepsOf(run).map(({ loss }) => loss);
    const { val_loss, val_bits_per_byte } = evalsOf(run).at(-1)!;
    expect(summary).toMatchObject({
      recipe: 'fp8',
      parameters: 26784,
      steps: 8,
      tokens: 8 * 128,
      val_loss,
      val_bits_per_byte,
    });
    expect(summary).toMatchObject({
      digest: digestOf(run),
      train_loss: mean(losses),
      threads: 1,
      build: engine().info.build,
    });
    expect(val_bits_per_byte).toBe(val_loss / Math.LN2);
    expect(summary.tokens_per_second).toBeGreaterThan(0);
    expect(summary.peak_memory_bytes).toBeGreaterThan(1e6);
    // 4 bytes of state in matrices, 12 in the few norm gains, which stay in float32.
    expect(summary.state_bytes_per_parameter).toBeGreaterThan(4);
    expect(summary.state_bytes_per_parameter).toBeLessThanOrEqual(4.1);
  });

  it('a run that was stopped ends with its checkpoint, and without a directory there is none', async () => {
    const types = async (more: Partial<TrainOptions>) =>
      (await events({ ...QUICK, ...more, engine: engine() })).map(({ type }) => type);
    expect(await types({ stopAt: 2, outDir: memoryStore() })).toEqual(['step', 'step', 'checkpoint']);
    expect(await types({ stopAt: 2 })).toEqual(['step', 'step']);
    const signal = AbortSignal.abort();
    expect(await types({ signal, outDir: memoryStore() })).toEqual(['checkpoint']);
  });

  it('gives the memory back, also when its reader leaves early', async () => {
    const own = engine();
    await events({ ...QUICK, steps: 1, engine: own });
    const before = own.arena.bytesInUse;
    await events({ ...QUICK, engine: own });
    expect(own.arena.bytesInUse).toBe(before);
    for await (const { step } of train({ ...QUICK, engine: own })) if (step === 2) break;
    expect(own.arena.bytesInUse).toBe(before);
  });

  it('leaves alone what its reader puts into the engine between two events', async () => {
    const own = engine();
    const kept: Tensor[] = [];
    for await (const { step } of train({ ...QUICK, steps: 2, engine: own })) {
      kept.push(own.tensor([step, 2, 3], [3], 'float32'));
    }
    for (const t of kept) {
      expect([...own.read(t)].slice(1)).toEqual([2, 3]);
      own.free(t);
    }
  });
});
