/** Checks the kernels against the definition of the formats, in any runtime. Also available as the command `octavo verify`. */
export { CHUNKS, exhaustive } from './exhaustive.js';
export { QUICK_CHECKS, quick } from './quick.js';
export { type Finding, ROWS, type Row } from './rows.js';
