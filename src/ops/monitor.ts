/** Measures afterwards what a cast did to a tensor. Kernel: assembly/monitor.ts. */
import type { Runtime } from '../engine/runtime.js';
import { MONITOR_BYTES } from '../engine/units.js';
import { type DType, formatSpec } from '../formats/index.js';
import { floatOfBits } from '../formats/spec.js';
import { log } from './math.js';
import { dequantize, type Factors, sourceOf, tensorScale } from './quantize.js';
import { idOf, type Tensor } from './tensor.js';

export interface CastMonitor {
  /** Format the tensor was cast to. */
  dtype: DType;
  /** Largest magnitude before the scale. */
  amax: number;
  /** mean(x^4) / mean(x^2)^2 of the source, not centred: 3 for normal numbers, the number of elements for a single spike; null for zeros. */
  kurtosis: number | null;
  /** 10 log10(sum x^2 / sum (x - q)^2), with q the decoded values; null if nothing was lost, or there was nothing to lose. */
  sqnr_db: number | null;
  /** Number of occurrences of each of the 256 codes, if codes have one byte. */
  codes?: number[];
}

const CODES = 256;

/**
 * Measures a cast.
 *
 * @param src the source of the cast, read with the same factors as by {@link quantize}
 * @param codes its result
 */
export function monitorCast(rt: Runtime, src: Tensor, codes: Tensor, factors: Factors = {}): CastMonitor {
  const { columns, total, units, args } = sourceOf(src, factors);
  const oneByte = formatSpec(codes.dtype).bytes === 1;
  const size = MONITOR_BYTES + (oneByte ? 4 * CODES : 0);
  return rt.scoped(() => {
    const out = rt.arena.alloc(units * size);
    const scaled = typeof codes.scaleInv === 'number';
    // biome-ignore format: one line per group of the kernel's signature
    rt.parallel(
      'monitorCast', units, rt.kernels.monitorScratch(columns), ...args,
      codes.ptr, idOf(codes.dtype), scaled ? tensorScale(codes) : 1, scaled ? 0 : dequantize(rt, codes).ptr, out,
    );
    const words = new Uint32Array(rt.arena.buffer, out, (units * size) / 4);
    const reals = new Float64Array(rt.arena.buffer, out, (units * size) / 8);
    const counts: number[] = new Array(oneByte ? CODES : 0).fill(0);
    let [squares, fourths, errors, largest] = [0, 0, 0, 0];
    for (let unit = 0; unit < units; unit++) {
      const real = (unit * size) / 8;
      const word = (unit * size) / 4;
      squares += reals[real];
      fourths += reals[real + 1];
      errors += reals[real + 2];
      largest = Math.max(largest, words[word + 6]);
      for (let code = 0; code < counts.length; code++) counts[code] += words[word + MONITOR_BYTES / 4 + code];
    }
    return {
      dtype: codes.dtype,
      amax: floatOfBits(largest),
      kurtosis: finite((total * fourths) / (squares * squares)),
      sqnr_db: finite((10 / Math.LN10) * log(squares / errors)),
      ...(oneByte && { codes: counts }),
    };
  });
}

const finite = (x: number): number | null => (Number.isFinite(x) ? x : null);
