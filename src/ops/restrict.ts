/** Numbers held to fewer bits or a smaller range, in float32 or BF16. Kernels: assembly/restrict.ts. */

import type { Runtime } from '../engine/runtime.js';
import { MAGNITUDE_BINS } from '../engine/units.js';
import { type Factors, rowScratch, rowsOf, sourceOf, tensorScale } from './quantize.js';
import { floatOfBits } from './scale.js';
import { empty, idOf, type Tensor } from './tensor.js';

/** A format without a code of its own: its numbers are float32 numbers, of up to 7 bits of mantissa BF16 numbers. */
export interface ReducedFormat {
  readonly expBits: number;
  readonly manBits: number;
}

export interface RestrictOptions extends Factors {
  readonly dtype: 'bfloat16' | 'float32';
  /** Largest magnitude of a finite number; of infinite ones none. */
  readonly clip?: number;
  readonly format?: ReducedFormat;
  /** Of `format`. */
  readonly rounding?: 'tiesToEven' | 'towardZero';
  /** Written instead of a new tensor; may be the source. */
  readonly out?: Tensor;
}

const real = new Float32Array(1);
const bits = new Uint32Array(real.buffer);

export function restrict(rt: Runtime, src: Tensor, options: RestrictOptions): Tensor {
  const { dtype, clip = 0, format, rounding = 'tiesToEven' } = options;
  const { columns, units, args } = sourceOf(src, options);
  const out = options.out ?? empty(rt, src.shape, dtype);
  real[0] = clip;
  // biome-ignore format: one line per group of the kernel's signature
  rt.parallel(
    'restrict', units, rowScratch(columns), ...args, out.ptr, idOf(dtype),
    bits[0], format?.expBits ?? 0, format?.manBits ?? 0, rounding === 'tiesToEven' ? 1 : 0,
  );
  return out;
}

/**
 * The smallest number with two bits of mantissa that at most `share` of a tensor's magnitudes exceed; 0, for none, where as many are not finite.
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
      // Counted in from the top: of this bin's upper edge at most the share before lies above.
      if (above > share * total) {
        const bound = floatOfBits((bin + 1) * 0x200000);
        return Number.isFinite(bound) ? bound : 0;
      }
    }
    return 0;
  });
}
