/**
 * Every exported kernel, in the order a tensor meets them. A parallel kernel takes (begin, end, scratch, ...): a range of units and the
 * thread's own scratch; its definition says what a unit is. Pointers are byte addresses in the one imported memory.
 */
export { version, fused } from './about';
export { quantize, quantizeScratch, dequantize, amax } from './quantize';
export { quantizeBlocks, quantizeBlocksScratch } from './quantize-blocks';
export { monitorCast, monitorScratch } from './monitor';
export { restrict, magnitudes } from './restrict';
export { packB, packBScratch, gemm, gemmScratch, tileRows } from './gemm';
export { gemv, gemvScratch } from './gemv';
export { prepack, prepackedBytes } from './weight-panel';
export { embeddingForward, embeddingBackward } from './embedding';
export { normForward, normBackward } from './norm';
export { rope } from './rope';
export { attentionForward, attentionBackward, attentionScratch } from './attention';
export { attentionCached, attentionCachedScratch } from './attention-cached';
export { swigluForward, swigluBackward } from './swiglu';
export { crossEntropy } from './loss';
export { adamwAmax, adamwUpdate } from './adamw';
export { encodeRange, differing } from './verify';
export { sumSquares, sumRows, digest } from './reduce';
