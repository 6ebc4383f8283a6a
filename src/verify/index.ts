/** Checks of the kernels against the definition of the formats, in any runtime. The command line is `octavo verify`. */
export { CHUNKS, exhaustive } from './exhaustive.js';
export { QUICK_CHECKS, quick } from './quick.js';
export { type Finding, ROWS, type Row } from './rows.js';
