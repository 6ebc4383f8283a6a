/**
 * Number formats in plain TypeScript: what a code means, and how a number becomes one. No WebAssembly is loaded here.
 *
 * @example
 * const codes = encode([0.1, 1000], 'float8_e4m3fn');       // Uint8Array [0x1d, 0x7e]
 * const values = decode(codes, 'float8_e4m3fn');            // Float32Array [0.1015625, 448]
 */

export {
  BFLOAT16,
  FLOAT8_E4M3,
  FLOAT8_E4M3FN,
  FLOAT8_E5M2,
  FLOAT16,
  FLOAT32,
  STOCHASTIC,
  TIES_TO_AWAY,
  TIES_TO_EVEN,
  TOWARD_ZERO,
} from './constants.js';
export { philox4x32, philoxKey, philoxWord, type Words4 } from './philox.js';
export {
  type Codes,
  type CodesOf,
  decode,
  decodeValue,
  type EncodeOptions,
  type EncodeValueOptions,
  encode,
  encodeValue,
  ROUNDING_IDS,
  type Rounding,
  round,
  roundingId,
} from './reference.js';
export { DTYPES, type DType, dtypeOf, type FormatInfo, type FormatSpec, finfo, formatSpec } from './spec.js';
