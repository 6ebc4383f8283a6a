/** Initial values: normal, from Philox by position, through our own log and cosine (Box-Muller), so the same on every engine. */
import { philoxWord } from '../formats/index.js';
import { cos, log, sin } from '../ops/math.js';
import { countOf, type Parameter } from './params.js';

/** Stream numbers of everything random that is not a rounding; each parameter's initial values have a stream of their own from here on. */
export const DATA_STREAM = 0xffff0000;
export const SAMPLE_STREAM = 0xffff0001;
const INIT_STREAM = 0xfff00000;

const TWO_32 = 4294967296;

/** Float32 initial values of parameter number `index` of the table. */
export function initialValues(parameter: Parameter, index: number, seed: number): Float32Array {
  const values = new Float32Array(countOf(parameter));
  if (parameter.role === 'norm') return values.fill(1);
  const word = (i: number) => philoxWord(i, INIT_STREAM + index, 0, seed);
  for (let i = 0; i < values.length; i += 2) {
    // (0, 1], so that the logarithm is finite.
    const radius = Math.sqrt(-2 * log((word(i) + 1) / TWO_32)) * parameter.std;
    const angle = (2 * Math.PI * word(i + 1)) / TWO_32;
    values[i] = radius * cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * sin(angle);
  }
  return values;
}
