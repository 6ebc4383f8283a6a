/** Restricts numbers to fewer bits or a smaller range, in float32 or BF16. Kernels: assembly/restrict.ts. */

import type { Runtime } from '../engine/runtime.js';
import { MAGNITUDE_BINS } from '../engine/units.js';
import { bitsOfFloat, floatOfBits } from '../formats/spec.js';
import { type Factors, rowScratch, rowsOf, sourceOf, tensorScale } from './quantize.js';
import { empty, idOf, type Tensor } from './tensor.js';

/** A format without codes of its own: its numbers are float32 numbers, or BF16 numbers for up to 7 bits of mantissa. */
export interface ReducedFormat {
  readonly expBits: number;
  readonly manBits: number;
}

export interface RestrictOptions extends Factors {
  readonly dtype: 'bfloat16' | 'float32';
  /** Finite numbers are clipped to this magnitude; infinities are not. */
  readonly clip?: number;
  readonly format?: ReducedFormat;
  /** Rounding to `format`. */
  readonly rounding?: 'tiesToEven' | 'towardZero';
  /** Destination instead of a new tensor; may be the source. */
  readonly out?: Tensor;
}

export function restrict(rt: Runtime, src: Tensor, options: RestrictOptions): Tensor {
  const { dtype, clip = 0, format, rounding = 'tiesToEven' } = options;
  const { columns, units, args } = sourceOf(src, options);
  const out = options.out ?? empty(rt, src.shape, dtype);
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'restrict', units, rowScratch(columns), ...args, out.ptr, idOf(dtype),
    bitsOfFloat(clip), format?.expBits ?? 0, format?.manBits ?? 0, rounding === 'tiesToEven' ? 1 : 0,
  );
  return out;
}

/**
 * The smallest number with two bits of mantissa that at most `share` of a tensor's magnitudes exceed; 0 (no bound) if more than that are not
 * finite.
 */
export function outlierBound(rt: Runtime, src: Tensor, share: number, rowFactor = 0): number {
  const { columns, total, units } = rowsOf(src, rowFactor !== 0);
  return rt.scoped(() => {
    const out = rt.arena.alloc(units * MAGNITUDE_BINS * 4);
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'magnitudes', units, rowScratch(columns),
      src.ptr, idOf(src.dtype), tensorScale(src), rowFactor, columns, total, out,
    );
    const counts = new Uint32Array(rt.arena.buffer, out, units * MAGNITUDE_BINS);
    let above = 0;
    for (let bin = MAGNITUDE_BINS - 1; bin >= 0; bin--) {
      for (let unit = 0; unit < units; unit++) above += counts[unit * MAGNITUDE_BINS + bin];
      // Counting down from the largest: at most `share` of the magnitudes lie above the upper edge of this bin.
      if (above > share * total) {
        const bound = floatOfBits((bin + 1) * 0x200000);
        return Number.isFinite(bound) ? bound : 0;
      }
    }
    return 0;
  });
}
