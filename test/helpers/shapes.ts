/** Shapes that meet every edge of the kernels' blocking. */
import type { AttentionShape } from '../../src/ops/attention.js';
import { Random } from './rng.js';

export interface GemmShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** Sizes around the tile (6 x 8), vectors of 4, blocks (96 rows, 512 columns, 24 x 64 when split over threads) and slices of K (1024). */
const M = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 23, 24, 25, 31, 48, 53, 95, 96, 97, 101];
const N = [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 37, 61, 63, 64, 65, 71, 127];
const K = [1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 31, 32, 33, 61, 64, 97, 127, 128, 131];

/** What must not be left to chance: slices of K, more than one block of columns, and of rows. */
const EDGES: readonly GemmShape[] = [
  { m: 1, n: 1, k: 1 },
  { m: 1, n: 1, k: 1031 },
  { m: 7, n: 9, k: 1023 },
  { m: 7, n: 9, k: 1024 },
  { m: 7, n: 9, k: 1025 },
  { m: 13, n: 17, k: 2047 },
  { m: 13, n: 17, k: 2049 },
  { m: 5, n: 11, k: 513 },
  { m: 6, n: 8, k: 3077 },
  { m: 3, n: 511, k: 19 },
  { m: 3, n: 512, k: 19 },
  { m: 3, n: 513, k: 19 },
  { m: 1, n: 521, k: 300 },
  { m: 2, n: 1031, k: 37 },
  { m: 97, n: 519, k: 5 },
  { m: 193, n: 7, k: 260 },
  { m: 211, n: 523, k: 3 },
  { m: 96, n: 512, k: 9 },
  { m: 192, n: 64, k: 33 },
  { m: 289, n: 3, k: 17 },
  { m: 1, n: 64, k: 8 },
  { m: 1, n: 65, k: 9 },
  { m: 1, n: 127, k: 23 },
  { m: 2, n: 129, k: 1040 },
  { m: 13, n: 1033, k: 21 },
  { m: 7, n: 521, k: 1031 },
];

/** `count` shapes: the edges first, then sizes of the lists above, paired at random. */
export function gemmShapes(count: number, seed: number): GemmShape[] {
  const random = new Random(seed);
  const more = Array.from({ length: count - EDGES.length }, () => ({
    m: random.pick(M),
    n: random.pick(N),
    k: random.pick(K),
  }));
  return [...EDGES, ...more];
}

/** Times around a block of queries (48), heads in groups, and head sizes with and without a tail of 4, of 8 and of 16. */
export const ATTENTION_SHAPES: readonly AttentionShape[] = [
  { batch: 1, time: 1, heads: 1, kvHeads: 1, headDim: 2 },
  { batch: 2, time: 5, heads: 2, kvHeads: 1, headDim: 6 },
  { batch: 1, time: 47, heads: 2, kvHeads: 2, headDim: 8 },
  { batch: 1, time: 48, heads: 4, kvHeads: 2, headDim: 20 },
  { batch: 2, time: 49, heads: 3, kvHeads: 1, headDim: 32 },
  { batch: 3, time: 5, heads: 6, kvHeads: 3, headDim: 20 },
  { batch: 1, time: 100, heads: 2, kvHeads: 1, headDim: 8 },
  { batch: 1, time: 100, heads: 1, kvHeads: 1, headDim: 2 },
  { batch: 2, time: 13, heads: 4, kvHeads: 4, headDim: 6 },
  { batch: 1, time: 53, heads: 4, kvHeads: 2, headDim: 48 },
  { batch: 3, time: 1, heads: 4, kvHeads: 2, headDim: 16 },
];

export const attentionName = ({ batch, time, heads, kvHeads, headDim }: AttentionShape): string =>
  `B ${batch}, T ${time}, H ${heads}/${kvHeads}, D ${headDim}`;
