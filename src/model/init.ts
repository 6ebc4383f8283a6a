/** Initial values: normal, from Philox by position, with our own log and cosine (Box-Muller), so they are the same on every engine. */
import { philox4x32, philoxKey } from '../formats/index.js';
import { TWO_32 } from '../formats/philox.js';
import { cos, log, sin } from '../ops/math.js';
import { sizeOf } from '../ops/tensor.js';
import type { Parameter } from './params.js';

/** Philox streams of everything random except roundings; from here on, each parameter's initial values have a stream of their own. */
export const DATA_STREAM = 0xffff0000;
export const SAMPLE_STREAM = 0xffff0001;
const INIT_STREAM = 0xfff00000;
/** Streams of the optimizer's roundings: ADAMW_STREAMS for each parameter of the table, from here on. */
export const OPTIMIZER_STREAM = 0xffe00000;

/** Float32 initial values of parameter number `index` of the table. */
export function initialValues(parameter: Parameter, index: number, seed: number): Float32Array {
  const values = new Float32Array(sizeOf(parameter.shape));
  if (parameter.role === 'norm') return values.fill(1);
  const key = philoxKey(seed);
  for (let i = 0; i < values.length; i += 4) {
    const words = philox4x32([i >>> 2, INIT_STREAM + index, 0, 0], key);
    for (let j = 0; j < 4; j += 2) {
      // (0, 1], so that the logarithm is finite.
      const radius = Math.sqrt(-2 * log((words[j] + 1) / TWO_32)) * parameter.std;
      const angle = (2 * Math.PI * words[j + 1]) / TWO_32;
      // Writes beyond the end of a typed array are ignored.
      values[i + j] = radius * cos(angle);
      values[i + j + 1] = radius * sin(angle);
    }
  }
  return values;
}
