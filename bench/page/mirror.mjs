/** Replaces ../mirror.mjs in a page, where the bundler reads the TypeScript directly. */
export { finiteCodes, floatTensor, normals, ofCodes, place } from '../../test/helpers/cases.ts';
export { Random } from '../../test/helpers/rng.ts';
export { adamw } from '../../test/reference/adamw.ts';
export * as attention from '../../test/reference/attention.ts';
export { load as decoded, operands, store } from '../../test/reference/codes.ts';
export * as float64 from '../../test/reference/float64.ts';
export * as gemm from '../../test/reference/gemm.ts';
export { amax } from '../../test/reference/lanes.ts';
export { fullRangeScale, scaled } from '../../test/reference/quantize.ts';
export * as swiglu from '../../test/reference/swiglu.ts';
