/** Token embedding and its gradient, bit for bit against their mirror on every build. */
import { describe, it } from 'vitest';
import type { DType } from '../src/formats/index.js';
import { embeddingBackward, embeddingForward } from '../src/ops/embedding.js';
import { floats, upload } from '../src/ops/tensor.js';
import { useBuilds } from './helpers/builds.js';
import { floatTensor, normals, place, tokens } from './helpers/cases.js';
import { expectSame, expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { store } from './reference/codes.js';
import * as mirror from './reference/reduce.js';

const onEveryBuild = useBuilds();
/** Channels around a unit of the backward pass (16). Few tokens, so that rows meet in the gradient. */
const SHAPES = [
  [1, 1, 4],
  [3, 5, 12],
  [50, 7, 16],
  [20, 300, 20],
  [64, 3, 100],
] as const;

describe.each([
  ['float32', 'float32'],
  ['float32', 'bfloat16'],
  ['bfloat16', 'bfloat16'],
  ['bfloat16', 'float32'],
] as [DType, DType][])('from %s to %s', (tableType, dtype) => {
  it.each(SHAPES)('%i rows from a table of %i x %i', (rows, vocabulary, channels) => {
    const random = new Random(rows);
    const table = normals(random, [vocabulary, channels], tableType);
    const ids = tokens(random, rows, vocabulary);
    ids[rows - 1] = vocabulary - 1;
    const dy = normals(random, [rows, channels], dtype);
    const before = random.normals(vocabulary * channels);
    const values = Float32Array.from({ length: rows * channels }, (_, i) => {
      return table.values[ids[Math.floor(i / channels)] * channels + (i % channels)];
    });
    const dTable = mirror.embeddingBackward(dy.values, channels, ids, before);
    onEveryBuild((engine, name) => {
      const at = upload(engine, ids);
      const out = embeddingForward(engine, place(engine, table), at, rows, dtype);
      expectSameBytes(engine.codes(out), store(values, dtype), `${name}: rows`);
      const sums = floatTensor(engine, before, [vocabulary, channels]);
      embeddingBackward(engine, place(engine, dy), at, sums);
      expectSame(floats(engine, sums), dTable, `${name}: dTable`);
    });
  });
});
