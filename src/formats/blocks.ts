/**
 * Block formats: a matrix is cut into blocks, each with its own scale. In plain TypeScript; each code is rounded once from float64.
 *
 *   MXFP8, MXFP6, MXFP4  block [1, 32], scale 'float8_e8m0fnu' (OCP Microscaling v1.0, sections 5.2 and 6.3)
 *   NVFP4                block [1, 16], scale 'float8_e4m3fn' and one float32 for the tensor (Transformer Engine, NVFP4BlockScaling)
 *   1x128, 128x128       scale 'float32', or 'power-of-two' in float32 (DeepSeek-V3, section 3.3; Transformer Engine, Float8BlockScaling)
 *
 * Power-of-two scales follow from amax, the largest magnitude of a block, in one of four modes (named as in torchao). Here max is the
 * largest value of the code format and emax its exponent:
 *
 *   floor  2^(floor(log2 amax) - emax): OCP v1.0. The top of a block may saturate.
 *   ceil   2^(ceil(log2 amax) - emax)
 *   rceil  the smallest power of two not below amax * (1 / max), with 1 / max and the product in float32: nothing saturates (MXFP8
 *          training recipe, arXiv 2506.08027; Transformer Engine's float_to_e8m0)
 *   even   floor applied to amax rounded to the codes' mantissa bits, halves up
 *
 * A block of zeros gets the smallest scale. With E8M0 scales, a block that contains NaN gets the scale NaN, and infinity counts as the largest
 * exponent; with other scales, values that are not finite are refused.
 */

import { checkOptions, describe, namesOf } from './check.js';
import { checkArray, decodeValue, encodeValue } from './reference.js';
import { type DType, exponentOf, type FormatSpec, formatSpec, powerOfTwo } from './spec.js';

/** How a power-of-two scale follows from amax; defined at the top of this file. */
export const SCALE_MODES = Object.freeze(['floor', 'ceil', 'rceil', 'even'] as const);
export type ScaleMode = (typeof SCALE_MODES)[number];

/** Formats of block scales. */
export const BLOCK_SCALES = Object.freeze(['float8_e8m0fnu', 'float8_e4m3fn', 'float32', 'power-of-two'] as const);
export type BlockScale = (typeof BLOCK_SCALES)[number];

/** Options of {@link encodeBlocks}. */
export interface BlockOptions {
  /** Format of the codes: at most 8 bits. */
  readonly dtype: string;
  /**
   * Rows and columns of a block. With float32 scales, powers of two or not, blocks at the lower and right edges may be smaller, as in
   * DeepSeek-V3; MX and NVFP4 allow whole blocks only.
   */
  readonly block: readonly [rows: number, columns: number];
  readonly scale: BlockScale;
  /** For 'float8_e8m0fnu' and 'power-of-two'. Default 'rceil'. */
  readonly mode?: ScaleMode;
}

const BLOCK_OPTIONS = namesOf<BlockOptions>({ dtype: true, block: true, scale: true, mode: true });

/** A quantised matrix: element (i, j) is codes[i, j] x scales[floor(i / block rows), floor(j / block columns)] x tensorScale. */
export interface BlockTensor {
  readonly dtype: DType;
  readonly shape: readonly [rows: number, columns: number];
  readonly block: readonly [rows: number, columns: number];
  readonly scale: BlockScale;
  /** One code per byte, row by row. */
  readonly codes: Uint8Array<ArrayBuffer>;
  /** One scale per block, row by row: codes of the scale format, or float32 values. */
  readonly scales: Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
  /** A float32; differs from 1 only with 'float8_e4m3fn' scales (NVFP4). */
  readonly tensorScale: number;
}

/** Options of the OCP and NVIDIA block formats, by their usual names. */
export const BLOCK_FORMATS = /* @__PURE__ */ Object.freeze({
  mxfp8_e4m3: mx('float8_e4m3fn'),
  mxfp8_e5m2: mx('float8_e5m2'),
  mxfp6_e2m3: mx('float6_e2m3fn'),
  mxfp6_e3m2: mx('float6_e3m2fn'),
  mxfp4: mx('float4_e2m1fn'),
  nvfp4: Object.freeze({ dtype: 'float4_e2m1fn', block: Object.freeze([1, 16] as const), scale: 'float8_e4m3fn' }),
} satisfies Record<string, BlockOptions>);

function mx(dtype: DType): BlockOptions {
  return Object.freeze({ dtype, block: Object.freeze([1, 32] as const), scale: 'float8_e8m0fnu' });
}

/**
 * Quantises a matrix by blocks: derives a scale from each block's largest magnitude, then encodes with ties to even, saturating.
 *
 * @param values rows x columns numbers, row by row.
 * @throws {TypeError} for the wrong kind of argument or element.
 * @throws {RangeError} for an unknown format, scale or mode; sizes that are not positive integers; a number of values other than rows x columns;
 *   a matrix that does not consist of whole blocks where it must; and, without E8M0 scales, numbers that are not finite or beyond the reach of
 *   the largest scale.
 */
export function encodeBlocks(
  values: ArrayLike<number>,
  shape: readonly [rows: number, columns: number],
  options: BlockOptions,
): BlockTensor {
  checkArray('shape', shape);
  checkOptions(options, BLOCK_OPTIONS);
  checkArray('block', options.block);
  const { dtype, scale, mode = 'rceil' } = options;
  const [[rows, columns], [blockRows, blockColumns]] = [shape, options.block];
  const spec = formatSpec(dtype);
  if (spec.bits > 8 || spec.signCode === 0) {
    throw new RangeError(`dtype: expected a signed format of at most 8 bits, got ${spec.name}`);
  }
  checkOneOf('scale', scale, BLOCK_SCALES);
  checkOneOf('mode', mode, SCALE_MODES);
  for (const size of [rows, columns, blockRows, blockColumns]) {
    if (!(Number.isSafeInteger(size) && size > 0)) {
      throw new RangeError(`shape and block: expected positive integers, got ${describe(size)}`);
    }
  }
  checkArray('values', values);
  if (values.length !== rows * columns) {
    throw new RangeError(
      `values: expected ${rows * columns} numbers for shape [${rows}, ${columns}], got ${values.length}`,
    );
  }
  const scaleSpec = scaleFormat(scale);
  if (scaleSpec) checkWhole([rows, columns], [blockRows, blockColumns]);
  const { count, blockOf } = blocksOf([rows, columns], [blockRows, blockColumns]);
  const largest = new Float64Array(count);
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    if (typeof x !== 'number') throw new TypeError(`values[${i}]: expected a number, got ${describe(x)}`);
    // E8M0 can mark such a block with NaN; the other scales cannot.
    if (scale !== 'float8_e8m0fnu' && !Number.isFinite(x)) {
      throw new RangeError(`values[${i}]: expected a finite number for ${scale} scales, got ${x}`);
    }
    const at = blockOf(i);
    // NaN persists, because Math.max propagates it.
    largest[at] = Math.max(largest[at], Math.abs(x));
  }

  // NVFP4: the tensor's largest value gets the largest scale, so that block scales use the whole range of E4M3.
  const tensorLargest = largest.reduce((a, b) => Math.max(a, b), 0);
  const tensorScale = scale === 'float8_e4m3fn' ? Math.fround(tensorLargest / (spec.max * scaleSpec!.max)) || 1 : 1;
  const chosen = Float64Array.from(largest, (amax) => {
    if (scale === 'float32') return Math.fround(amax / spec.max) || 1;
    if (scale === 'float8_e4m3fn') return amax / spec.max / tensorScale;
    return blockScale(amax, spec, mode);
  });
  // A power of two is clamped, and so never infinite.
  const isReached = scale !== 'power-of-two' || tensorLargest <= powerOfTwo(127) * spec.max;
  if (scale !== 'float8_e8m0fnu' && !(isReached && tensorScale < Infinity && chosen.every((s) => s < Infinity))) {
    const most = spec.max * (scaleSpec?.max ?? 1);
    throw new RangeError(`values: expected magnitudes that a float32 times ${most} reaches, got ${tensorLargest}`);
  }
  const scales = scaleSpec ? Uint8Array.from(chosen, (s) => encodeValue(s, scaleSpec)) : Float32Array.from(chosen);
  const stored = scaleSpec ? Float64Array.from(scales, (code) => decodeValue(code, scaleSpec) * tensorScale) : chosen;
  const codes = Uint8Array.from({ length: values.length }, (_, i) => {
    const factor = stored[blockOf(i)];
    // A scale of 0 (NVFP4, a block far below the tensor's largest value) makes every code of the block zero.
    return encodeValue(factor === 0 ? 0 * Math.sign(values[i]) : values[i] / factor, spec, { saturate: true });
  });
  return {
    dtype: spec.name,
    shape: [rows, columns],
    block: [blockRows, blockColumns],
    scale,
    codes,
    scales,
    tensorScale,
  };
}

/**
 * Decodes a quantised matrix, row by row, rounding each value once to float32.
 *
 * @throws {RangeError} for an unknown format or scale, a number of codes or scales that does not fit the shape, or float32 scales that are not
 *   finite (a power of two may be NaN, for a block that contains NaN, as in E8M0).
 */
export function decodeBlocks({
  dtype,
  shape,
  block,
  scale,
  codes,
  scales,
  tensorScale,
}: BlockTensor): Float32Array<ArrayBuffer> {
  const spec = formatSpec(dtype);
  checkOneOf('scale', scale, BLOCK_SCALES);
  const scaleSpec = scaleFormat(scale);
  if (scaleSpec) checkWhole(shape, block);
  const [rows, columns] = shape;
  const { count, blockOf } = blocksOf(shape, block);
  if (codes.length !== rows * columns || scales.length !== count) {
    throw new RangeError(
      `blocks: expected ${rows * columns} codes and ${count} scales for shape [${shape}], got ${codes.length} and ${scales.length}`,
    );
  }
  const bad = scaleSpec
    ? -1
    : scales.findIndex((s) => !(Number.isFinite(s) || (Number.isNaN(s) && scale === 'power-of-two')));
  if (bad >= 0) throw new RangeError(`scales[${bad}]: expected a finite number, got ${scales[bad]}`);
  if (!Number.isFinite(tensorScale)) throw new RangeError(`tensorScale: expected a finite number, got ${tensorScale}`);
  return Float32Array.from(codes, (code, i) => {
    const stored = scales[blockOf(i)];
    const factor = scaleSpec ? decodeValue(stored, scaleSpec) : stored;
    return decodeValue(code, spec) * factor * tensorScale;
  });
}

/** The number of blocks, in row-major order, and the one that element i of the matrix belongs to. */
function blocksOf([rows, columns]: readonly [number, number], [blockRows, blockColumns]: readonly [number, number]) {
  const across = Math.ceil(columns / blockColumns);
  const count = Math.ceil(rows / blockRows) * across;
  const blockOf = (i: number) =>
    Math.floor(Math.floor(i / columns) / blockRows) * across + Math.floor((i % columns) / blockColumns);
  return { count, blockOf };
}

/** The power-of-two scale of a block, from 2^-127 to 2^127; NaN if amax is NaN. */
export function blockScale(amax: number, spec: FormatSpec, mode: ScaleMode): number {
  if (Number.isNaN(amax)) return amax;
  return powerOfTwo(Math.max(-127, Math.min(127, scaleExponent(amax, spec, mode))));
}

function scaleExponent(amax: number, spec: FormatSpec, mode: ScaleMode): number {
  if (amax === Number.POSITIVE_INFINITY) return 127;
  const x = mode === 'rceil' ? Math.fround(amax * Math.fround(1 / spec.max)) : amax;
  // Below float32's normal numbers every mode gives the smallest scale.
  if (x < powerOfTwo(-127)) return -127;
  const exponent = exponentOf(x);
  const significand = x * powerOfTwo(-exponent);
  if (mode === 'rceil') return significand > 1 ? exponent + 1 : exponent;
  const emax = exponentOf(spec.max);
  if (mode === 'ceil') return (significand > 1 ? exponent + 1 : exponent) - emax;
  // Rounding carries into the next power of two from half a unit of the last mantissa bit below it.
  const carries = mode === 'even' && significand >= 2 - powerOfTwo(-spec.manBits - 1);
  return (carries ? exponent + 1 : exponent) - emax;
}

/** The format of the scales if they are stored as codes; otherwise undefined. */
function scaleFormat(scale: BlockScale): FormatSpec | undefined {
  return scale === 'float8_e8m0fnu' || scale === 'float8_e4m3fn' ? formatSpec(scale) : undefined;
}

function checkWhole(shape: readonly [number, number], block: readonly [number, number]): void {
  if (shape[0] % block[0] === 0 && shape[1] % block[1] === 0) return;
  throw new RangeError(`shape: expected whole blocks of [${block}], got [${shape}]`);
}

function checkOneOf(name: string, value: unknown, known: readonly string[]): void {
  if (!known.includes(value as string)) {
    throw new RangeError(`${name}: expected one of ${known.join(', ')}, got ${describe(value)}`);
  }
}
