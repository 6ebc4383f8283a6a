/**
 * Sizes of the units that kernels split their work into: integers read by both compilers (asc through assembly, tsc here). Partial sums per unit
 * are part of the definition of a sum, so these numbers are part of the numeric contract.
 */
export const QUANTIZE_ROWS = 8;
/** Bins of a histogram of magnitudes, indexed by the exponent and two bits of the mantissa. */
export const MAGNITUDE_BINS = 1024;
export const NORM_ROWS = 32;
export const SWIGLU_ROWS = 8;
export const EMBEDDING_CHANNELS = 16;
export const ADAMW_ELEMENTS = 4096;
export const REDUCE_ELEMENTS = 4096;
export const DIGEST_BYTES = 65536;
/** float32 inputs per unit of an exhaustive verification. */
export const VERIFY_ELEMENTS = 16384;
/** Rows and columns of C that the GEMM computes per tile. */
export const TILE_ROWS = 6;
export const TILE_COLUMNS = 8;
