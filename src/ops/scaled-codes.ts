/** Codes and scales from outside as tensors, and a tensor's scales for use outside. */
import type { Runtime } from '../engine/runtime.js';
import { describe } from '../formats/check.js';
import { type Codes, type DType, formatSpec } from '../formats/index.js';
import { checkArray, checkCodes } from '../formats/reference.js';
import { exponentOf, powerOfTwo } from '../formats/spec.js';
import { checkBlock } from './quantize-blocks.js';
import { bytes, empty, floatsAt, type ScaleInv, scaleCount, scalesAt, sizeOf, type Tensor } from './tensor.js';

/** Factors from codes to values: one for the tensor, one for each row, or, with `block`, one for each block in row-major order. */
export interface CodeScales {
  /**
   * Positive and finite in float32; those of blocks are powers of two, or NaN. Default 1. A product reads a number code * scale of a block as
   * BF16, and as zero below 2^-60.
   */
  readonly scales?: number | ArrayLike<number>;
  /** Rows and columns of a block: [1, 32], [1, 128] or [128, 128], of a format of 8 bits with a sign. */
  readonly block?: readonly [rows: number, columns: number];
}

/** Checks codes of a format, and returns their bytes. */
export function codeBytes(codes: Codes, dtype: DType): Uint8Array {
  const spec = formatSpec(dtype);
  checkCodes(codes, spec);
  if (!ArrayBuffer.isView(codes)) throw new TypeError(`codes: expected a typed array, got ${describe(codes)}`);
  // The kernels only look at the bits that a format has.
  const wrong = spec.bits < 8 ? codes.findIndex((code) => code >>> spec.bits !== 0) : -1;
  if (wrong >= 0) {
    throw new RangeError(`codes[${wrong}]: expected a code below ${1 << spec.bits} (${dtype}), got ${codes[wrong]}`);
  }
  return new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength);
}

/** A tensor of the codes in these bytes. */
export function tensorOfCodes(
  rt: Runtime,
  codes: Uint8Array,
  shape: readonly number[],
  dtype: DType,
  { scales = 1, block }: CodeScales,
): Tensor {
  return rt.wholeOrNothing(() => {
    const t = empty(rt, shape, dtype);
    const count = codes.length / formatSpec(dtype).bytes;
    if (count !== sizeOf(shape)) {
      throw new RangeError(`codes: expected ${sizeOf(shape)} for shape [${shape}], got ${count}`);
    }
    bytes(rt, t).set(codes);
    if (block) checkBlock(block, dtype);
    const single = typeof scales === 'number' ? scales : scales.length === 1 ? scales[0] : undefined;
    if (single !== undefined && !block) return { ...t, scaleInv: checked(single, 'scales', false) };
    if (typeof scales === 'number') throw new TypeError('scales: expected one for each block, got a number');
    checkArray('scales', scales);
    const expected = scaleCount({ ...t, scaleInv: block ? { blocks: 0, block } : { rows: 0 } });
    if (scales.length !== expected) {
      const each = `one for each ${block ? 'block' : 'row'}`;
      throw new RangeError(`scales: expected ${expected}, ${each}, got ${scales.length}`);
    }
    const at = rt.arena.alloc(4 * expected);
    const to = floatsAt(rt, at, expected);
    for (let i = 0; i < expected; i++) to[i] = checked(scales[i], `scales[${i}]`, block !== undefined);
    const scaleInv: ScaleInv = block ? { blocks: at, block: [...block] } : { rows: at };
    return { ...t, scaleInv };
  });
}

function checked(value: number, name: string, isOfBlock: boolean): number {
  if (isOfBlock && Number.isNaN(value)) return value;
  const scale = Math.fround(value);
  if (typeof value !== 'number' || !(scale > 0 && scale < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`${name}: expected a positive float32, got ${describe(value)}`);
  }
  if (isOfBlock && powerOfTwo(exponentOf(value)) !== value) {
    throw new RangeError(`${name}: expected a power of two for a block, got ${value}`);
  }
  return scale;
}

/** A copy of a tensor's factors from codes to values, as {@link CodeScales} has them. */
export function scalesOf(rt: Runtime, t: Tensor): Float32Array<ArrayBuffer> {
  if (typeof t.scaleInv === 'number') return Float32Array.of(t.scaleInv);
  return new Float32Array(floatsAt(rt, scalesAt(t), scaleCount(t)));
}
