/** An option whose name no function knows is refused, wherever options are taken: a misspelt one would do nothing, without a word. */
import { describe, expect, it } from 'vitest';
import { encode, encodeBlocks, round } from '../src/formats/index.js';
import { init } from '../src/index.js';
import { generate, loadModel, train } from '../src/train/index.js';
import { QUICK, useEngine } from './helpers/training.js';

const engine = useEngine();
const misspelt = (options: object): never => options as never;
const tensor = () => engine().tensor([1, 2, 3, 4], [2, 2], 'float32');

const CASES: readonly [what: string, option: string, first: string, call: () => unknown][] = [
  ['init', 'thread', 'threads', () => init(misspelt({ thread: 1 }))],
  ['engine.quantize', 'scale', 'dtype', () => engine().quantize([1], [1], misspelt({ dtype: 'float16', scale: 2 }))],
  ['engine.encode', 'scaling', 'dtype', () => engine().encode([1], misspelt({ dtype: 'float16', scaling: 'row' }))],
  [
    'engine.matmul',
    'transposeb',
    'transposeA',
    () => engine().matmul(tensor(), tensor(), misspelt({ transposeb: true })),
  ],
  ['encode', 'dtype', 'rounding', () => encode([1], 'float16', misspelt({ dtype: 'float16' }))],
  ['round', 'roundings', 'rounding', () => round([1], 'float16', misspelt({ roundings: 'tiesToAway' }))],
  [
    'encodeBlocks',
    'scales',
    'dtype',
    () => encodeBlocks([1], [1, 1], misspelt({ dtype: 'float8_e5m2', block: [1, 1], scales: 'float32' })),
  ],
  ['train', 'learninRate', 'data', () => train(misspelt({ ...QUICK, learninRate: 1 })).next()],
  ['loadModel', 'engines', 'engine', () => loadModel('.', misspelt({ engines: engine() }))],
  [
    'generate',
    'topk',
    'maxNewTokens',
    () => generate(misspelt({}), 'x', misspelt({ maxNewTokens: 1, topk: 1 })).next(),
  ],
];

describe('an option that there is not', () => {
  it.each(CASES)('%s refuses %s', async (_, option, first, call) => {
    const error = await Promise.resolve()
      .then(call)
      .then(
        () => new Error('nothing was refused'),
        (thrown: Error) => thrown,
      );
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message.startsWith(`options.${option}: expected one of the options ${first}`), error.message).toBe(
      true,
    );
  });

  it('is told from one that is there and undefined', () => {
    expect(() => encode([1], 'float16', { seed: undefined, saturate: undefined })).not.toThrow();
  });
});
