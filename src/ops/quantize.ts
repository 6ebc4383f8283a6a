/** Quantizes tensors to codes and back. Kernels: assembly/quantize.ts. */

import type { Runtime } from '../engine/runtime.js';
import { QUANTIZE_ROWS, STATS_BYTES } from '../engine/units.js';
import { type DType, formatSpec, philoxKey, type Rounding, roundingId } from '../formats/index.js';
import { floatOfBits } from '../formats/spec.js';
import { largestAmax, powerOfTwoScale } from './scale.js';
import { type BlockScales, empty, floats, floatsAt, idOf, matrixShape, sizeOf, type Tensor } from './tensor.js';

/** Where random words come from: a position in the counter space of Philox, so that saving it means saving plain numbers. */
export interface RandomPosition {
  readonly seed: number;
  readonly stream: number;
  readonly step: number;
}

/**
 * Statistics of an encoder: the largest magnitude before the scale, and the shares of elements beyond either end of the format; NaN if not
 * measured.
 */
export interface Health {
  amax: number;
  /** Share of elements clipped at the format's maximum, 0 to 1. */
  saturated: number;
  /** Share of non-zero elements that became zero, 0 to 1. */
  underflowed: number;
}

/** Addresses of float32 factors per row and per column, applied to the source values first; 0 for none. */
export interface Factors {
  readonly rowFactor?: number;
  readonly columnFactor?: number;
}

export interface QuantizeOptions extends Factors {
  readonly dtype: DType;
  /** Factor applied before the cast. 'row' chooses a power of two per row. Default: a power of two from the tensor's own amax. */
  readonly scale?: number | 'row';
  readonly rounding?: Rounding;
  readonly saturate?: boolean;
  readonly random?: RandomPosition;
  /** A second copy, rounded to nearest even, in another format with another scale. */
  readonly second?: { readonly dtype: DType; readonly scale: number };
  /** Whether to measure `health`; without it, casts from float32 are 1.16 (stochastic) to 1.65 times as fast. Default true. */
  readonly measured?: boolean;
}

export interface Quantized {
  readonly codes: Tensor;
  readonly second?: Tensor;
  readonly health: Health;
}

/** Row length that a tensor without per-row factors is split into for the kernels; it does not affect results. */
const FLAT_ROW = 4096;
export const UNKNOWN: Health = Object.freeze({ amax: Number.NaN, saturated: Number.NaN, underflowed: Number.NaN });

/** The shape in which kernels see a tensor. */
export function rowsOf(src: Tensor, byRow: boolean): { columns: number; total: number; units: number } {
  const total = sizeOf(src.shape);
  const columns = byRow ? src.shape[src.shape.length - 1] : Math.min(FLAT_ROW, Math.ceil(total / 4) * 4);
  return { columns, total, units: Math.ceil(Math.ceil(total / columns) / QUANTIZE_ROWS) };
}

/** Arguments for kernels that read a source with its factors row by row; `byRow` if they must see its own rows. */
export function sourceOf(src: Tensor, { rowFactor = 0, columnFactor = 0 }: Factors, byRow = false) {
  const { columns, total, units } = rowsOf(src, byRow || rowFactor !== 0 || columnFactor !== 0);
  const args = [src.ptr, idOf(src.dtype), tensorScale(src), rowFactor, columnFactor, columns, total] as const;
  return { columns, total, units, args };
}

/** Scratch bytes of a kernel that decodes row by row, `columns` numbers at a time. */
export const rowScratch = (columns: number): number => 4 * (columns + 16);

/** The random-word arguments of a cast's kernel, which uses four words at a time. */
export function randomArgs(
  rounding: Rounding,
  random: RandomPosition | undefined,
  columns: number,
): readonly [stream: number, step: number, low: number, high: number] {
  if (rounding === 'stochastic') {
    if (!random) throw new TypeError("quantize: expected a random position for 'stochastic' rounding, got none");
    if (columns % 4 !== 0) {
      throw new RangeError(`quantize: expected rows of a multiple of 4 for stochastic rounding, got ${columns}`);
    }
  }
  const { seed, stream, step } = random ?? { seed: 0, stream: 0, step: 0 };
  return [stream, step, ...philoxKey(seed)];
}

export function tensorScale(src: Tensor): number {
  if (typeof src.scaleInv !== 'number') {
    throw new RangeError('quantize: expected a source with one scale, got one with several');
  }
  return src.scaleInv;
}

/** Largest |value| of a tensor after its factors; infinity and NaN are returned as such. */
export function amaxOf(rt: Runtime, src: Tensor, rowFactor = 0, columnFactor = 0): number {
  const { columns, units, args } = sourceOf(src, { rowFactor, columnFactor });
  return rt.scoped(() => {
    const out = rt.arena.alloc(units * 4);
    rt.parallel('amax', units, rowScratch(columns), ...args, out);
    return largestAmax(new Uint32Array(rt.arena.buffer, out, units));
  });
}

export function quantize(rt: Runtime, src: Tensor, options: QuantizeOptions): Quantized {
  const { dtype, rounding = 'tiesToEven', random, second, measured = true, rowFactor = 0, columnFactor = 0 } = options;
  const spec = formatSpec(dtype);
  const mode = roundingId(rounding);
  const perRow = options.scale === 'row';
  const scale =
    typeof options.scale === 'number'
      ? options.scale
      : perRow
        ? 1
        : powerOfTwoScale(amaxOf(rt, src, rowFactor, columnFactor), spec.max);
  const { columns, total, units, args } = sourceOf(src, { rowFactor, columnFactor }, perRow);
  const position = randomArgs(rounding, random, columns);
  const rows = total / columns;
  const rowInv = perRow ? rt.arena.alloc(rows * 4) : 0;
  const codes: Tensor = { ...empty(rt, src.shape, dtype), scaleInv: perRow ? { rows: rowInv } : 1 / scale };
  const copy: Tensor | undefined = second && { ...empty(rt, src.shape, second.dtype), scaleInv: 1 / second.scale };
  const health = rt.scoped(() => {
    const stats = measured ? rt.arena.alloc(units * STATS_BYTES) : 0;
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'quantize', units, rt.kernels.quantizeScratch(columns), ...args,
      codes.ptr, spec.id, scale, mode, (options.saturate ?? spec.saturates) ? 1 : 0,
      copy?.ptr ?? 0, copy ? idOf(copy.dtype) : 0, second?.scale ?? 1,
      rowInv, spec.max, stats, ...position,
    );
    return measured ? readHealth(rt, stats, units, total) : UNKNOWN;
  });
  return { codes, second: copy, health };
}

/** Sums the statistics that encoding kernels record per unit. */
export function readHealth(rt: Runtime, stats: number, units: number, total: number): Health {
  const words = new Uint32Array(rt.arena.buffer, stats, units * 4);
  let amax = 0;
  let saturated = 0;
  let underflowed = 0;
  for (let i = 0; i < words.length; i += 4) {
    if (words[i] > amax) amax = words[i];
    saturated += words[i + 1];
    underflowed += words[i + 2];
  }
  return { amax: floatOfBits(amax), saturated: saturated / total, underflowed: underflowed / total };
}

/** Decodes a tensor to a new float32 tensor. */
export function dequantize(rt: Runtime, src: Tensor): Tensor {
  const { scaleInv } = src;
  const factor = typeof scaleInv === 'number' ? scaleInv : 1;
  const rowFactor = typeof scaleInv !== 'number' && 'rows' in scaleInv ? scaleInv.rows : 0;
  const { columns, total, units } = rowsOf(src, rowFactor !== 0);
  const out = empty(rt, src.shape, 'float32');
  rt.parallel('dequantize', units, 0, src.ptr, idOf(src.dtype), columns, total, factor, rowFactor, out.ptr);
  if (typeof scaleInv !== 'number' && 'blocks' in scaleInv) multiplyBlocks(rt, out, scaleInv);
  return out;
}

/** Multiplies each number of a float32 matrix by the scale of its block: powers of two, so that values are rounded once at most. */
function multiplyBlocks(rt: Runtime, t: Tensor, { blocks, block: [blockRows, blockColumns] }: BlockScales): void {
  const [rows, columns] = matrixShape(t);
  const across = Math.ceil(columns / blockColumns);
  const scales = floatsAt(rt, blocks, Math.ceil(rows / blockRows) * across);
  const values = floats(rt, t);
  for (let row = 0; row < rows; row++) {
    const first = Math.floor(row / blockRows) * across;
    for (let column = 0; column < columns; column++) {
      values[row * columns + column] *= scales[first + Math.floor(column / blockColumns)];
    }
  }
}

/** A float32 copy of a tensor's values. */
export function read(rt: Runtime, src: Tensor): Float32Array<ArrayBuffer> {
  return rt.scoped(() => floatsAt(rt, dequantize(rt, src).ptr, sizeOf(src.shape)).slice());
}
