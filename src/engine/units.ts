/**
 * How kernels cut their work into units: integers both compilers read (asc through assembly, tsc here).
 * A unit's partial result is part of the definition of a sum, so these numbers are part of the numeric contract.
 */
export const QUANTIZE_ROWS = 8;
/** Bins of a histogram of magnitudes: exponent and two bits of mantissa. */
export const MAGNITUDE_BINS = 1024;
export const NORM_ROWS = 32;
export const SWIGLU_ROWS = 8;
export const EMBEDDING_CHANNELS = 16;
export const ADAMW_ELEMENTS = 4096;
export const REDUCE_ELEMENTS = 4096;
export const DIGEST_BYTES = 65536;
/** float32 inputs in a unit of an exhaustive verification. */
export const VERIFY_ELEMENTS = 16384;
/** A tile of the GEMM: rows and columns of C it computes at once. */
export const TILE_ROWS = 6;
export const TILE_COLUMNS = 8;
