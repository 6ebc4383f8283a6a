/**
 * Number formats in plain TypeScript: encoding, decoding and rounding. Loads no WebAssembly.
 *
 * @example
 * const codes = encode([0.1, 1000], 'float8_e4m3fn');       // Uint8Array [0x1d, 0x7e]
 * const values = decode(codes, 'float8_e4m3fn');            // Float32Array [0.1015625, 448]
 */

export {
  type ArrayDType,
  BFloat16Array,
  Float8E3M4Array,
  Float8E4M3Array,
  Float8E4M3B11FNUZArray,
  Float8E4M3FNArray,
  Float8E4M3FNUZArray,
  Float8E5M2Array,
  Float8E5M2FNUZArray,
  Float8E8M0FNUArray,
  f8round,
  getFloat8,
  isFloat8Array,
  isSmallFloatArray,
  type SmallFloatArray,
  type SmallFloatArrayConstructor,
  setFloat8,
} from './arrays.js';
export {
  BLOCK_FORMATS,
  BLOCK_SCALES,
  type BlockOptions,
  type BlockScale,
  type BlockTensor,
  decodeBlocks,
  encodeBlocks,
  SCALE_MODES,
  type ScaleMode,
} from './blocks.js';
export {
  STOCHASTIC,
  TIES_TO_AWAY,
  TIES_TO_EVEN,
  TOWARD_ZERO,
} from './constants.js';
export { pack, unpack } from './packing.js';
export { philox4x32, philoxHalf, philoxKey, philoxWord, type Words4 } from './philox.js';
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
