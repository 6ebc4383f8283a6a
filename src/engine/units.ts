/**
 * What kernels and host must agree on: integers read by both compilers (asc through assembly, tsc here). First the sizes of the units that
 * kernels split their work into. Partial sums per unit are part of the definition of a sum, so these are part of the numeric contract.
 */
export const QUANTIZE_ROWS = 8;
/** Bins of a histogram of magnitudes, indexed by the exponent and two bits of the mantissa. */
export const MAGNITUDE_BINS = 1024;
export const NORM_ROWS = 32;
export const SWIGLU_ROWS = 8;
export const EMBEDDING_CHANNELS = 16;
export const ADAMW_ELEMENTS = 1024;
export const REDUCE_ELEMENTS = 4096;
export const DIGEST_BYTES = 65536;
/** float32 inputs per unit of an exhaustive verification. */
export const VERIFY_ELEMENTS = 16384;
/** Rows and columns of C that the GEMM computes per tile. */
export const TILE_ROWS = 6;
export const TILE_COLUMNS = 8;
/** Positions in a block of cached keys; the positions and channels of a cache are multiples of it. */
export const KV_BLOCK = 8;
/** Rows of a weight, columns of its product, in a panel of `prepack`. */
export const WEIGHT_COLUMNS = 32;

// The records that kernels leave for the host, and what else both have to know.
/** Bytes of what a cast reports per unit: amax bits, saturated, underflowed, 0. */
export const STATS_BYTES = 16;
/** Words of amax per unit of AdamW: one for each state, and 0. */
export const ADAMW_AMAX_WORDS = 4;
/** Bytes of what a monitor reports per unit before its counts: three float64 sums, amax bits, 0. */
export const MONITOR_BYTES = 32;
/** Float32 numbers stored with each group of expanded moments: scale, k and c. */
export const EXPANDED_WORDS = 3;
/** Bits of 2^-100, the least amax that scales follow: below it MAX / amax could overflow. */
export const LEAST_AMAX_BITS = 0x0d800000;
/** Float32 numbers that exponentials and sigmoids take through their loops at a time. */
export const EXP_STEP = 64;
/** The package's version, major * 10000 + minor * 100 + patch: kernels of another version do not fit. */
export const VERSION = 100;
