/** Quantizes tensors with one power-of-two scale per block: MX (1 x 32), 1 x 128, 128 x 128, a row, a column. Kernel: assembly/quantize-blocks.ts. */

import type { Runtime } from '../engine/runtime.js';
import { QUANTIZE_ROWS, STATS_BYTES } from '../engine/units.js';
import { type DType, formatSpec, type Rounding, roundingId } from '../formats/index.js';
import {
  type Factors,
  type Quantized,
  type RandomPosition,
  randomArgs,
  readHealth,
  tensorScale,
  UNKNOWN,
} from './quantize.js';
import { empty, floats, idOf, matrixShape, type Tensor } from './tensor.js';

/** The block scalings that `Engine.quantize` accepts. */
export type BlockScaling = 'mx' | { readonly block: readonly [rows: number, columns: number] };

/** How a block's scale is derived from its largest magnitude; see formats/blocks.ts. */
export type BlockScaleMode = 'rceil' | 'floor';

export interface QuantizeBlocksOptions extends Factors {
  /** A signed format of 8 bits. Codes saturate. */
  readonly dtype: DType;
  /** Rows and columns of a block; blocks at the lower and right edges may be smaller. */
  readonly block: readonly [rows: number, columns: number];
  /** Default 'rceil': nothing saturates. */
  readonly mode?: BlockScaleMode;
  readonly rounding?: Rounding;
  readonly random?: RandomPosition;
  /** Whether to measure `health`. Default true. */
  readonly measured?: boolean;
}

/** Columns per unit when blocks span several rows: many cache lines, and still enough units for the threads. */
const STRIP = 128;
/** The same when they do not, to bound scratch, unless a block is a whole row. */
const LONG_STRIP = 1 << 16;

/** Quantizes a tensor with one scale by blocks. Values should be finite: a block with a NaN becomes all NaN, and infinity saturates. */
export function quantizeBlocks(rt: Runtime, src: Tensor, options: QuantizeBlocksOptions): Quantized {
  const { dtype, block, mode = 'rceil', rounding = 'tiesToEven', random, measured = true } = options;
  const { rowFactor = 0, columnFactor = 0 } = options;
  checkBlockFormat(dtype);
  const scaleInv = tensorScale(src);
  const [rows, columns] = matrixShape(src);
  const position = randomArgs(rounding, random, columns);
  const [blockRows, blockColumns] = block;
  const long = LONG_STRIP % blockColumns === 0 ? LONG_STRIP : columns;
  const strip = Math.min(columns, blockRows === 1 ? long : Math.max(blockColumns, STRIP));
  const units = Math.ceil(rows / (blockRows === 1 ? QUANTIZE_ROWS : blockRows)) * Math.ceil(columns / strip);
  const codes = empty(rt, src.shape, dtype);
  const scales = rt.arena.alloc(4 * Math.ceil(rows / blockRows) * Math.ceil(columns / blockColumns));
  const health = rt.scoped(() => {
    const stats = measured ? rt.arena.alloc(units * STATS_BYTES) : 0;
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'quantizeBlocks', units, rt.kernels.quantizeBlocksScratch(strip),
      src.ptr, idOf(src.dtype), scaleInv, rowFactor, columnFactor, rows, columns, strip,
      codes.ptr, idOf(dtype), roundingId(rounding), mode === 'floor' ? 1 : 0, blockRows, blockColumns, scales,
      stats, ...position,
    );
    return measured ? readHealth(rt, stats, units, rows * columns) : UNKNOWN;
  });
  return { codes: { ...codes, scaleInv: { blocks: scales, block } }, health };
}

const BLOCKS: readonly (readonly [number, number])[] = [
  [1, 128],
  [128, 128],
];
const MX = [1, 32] as const;

/** Quantizes the caller's numbers by blocks. 'mx' requires whole blocks; the other scalings require finite numbers. */
export function quantizeValues(
  rt: Runtime,
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: DType,
  scaling: BlockScaling,
): Tensor {
  const block = blockOf(scaling);
  const source = empty(rt, shape, 'float32');
  floats(rt, source).set(values);
  const [rows, columns] = matrixShape(source);
  if (scaling === 'mx' && columns % block[1] !== 0) {
    throw new RangeError(`shape: expected whole blocks of [${block}], got [${rows},${columns}]`);
  }
  const { codes, health } = quantizeBlocks(rt, source, { dtype, block });
  if (scaling !== 'mx' && !Number.isFinite(health.amax)) {
    throw new RangeError(`values: expected finite numbers for blocks of [${block}], got ${health.amax}`);
  }
  return codes;
}

/** Refuses blocks that tensors of the engine do not have. */
export function checkBlock(block: readonly number[], dtype: DType): void {
  if (![MX, ...BLOCKS].some(([rows, columns]) => block.length === 2 && rows === block[0] && columns === block[1])) {
    throw new RangeError(`block: expected [1, 32], [1, 128] or [128, 128], got ${JSON.stringify(block)}`);
  }
  checkBlockFormat(dtype);
}

function checkBlockFormat(dtype: DType): void {
  const { bits, signCode } = formatSpec(dtype);
  if (bits === 8 && signCode !== 0) return;
  throw new RangeError(`dtype: expected a format of 8 bits with a sign for blocks, got ${dtype}`);
}

function blockOf(scaling: BlockScaling): readonly [number, number] {
  if (scaling === 'mx') return MX;
  const known = BLOCKS.find(([rows, columns]) => rows === scaling.block[0] && columns === scaling.block[1]);
  if (known) return known;
  throw new RangeError(`scaling: expected a block of [1, 128] or [128, 128], got ${JSON.stringify(scaling.block)}`);
}
