/**
 * Every exported kernel, in the order a tensor meets them. A parallel kernel takes (begin, end, scratch, ...): a range of units and
 * the thread's own scratch; what a unit is stands on its definition. Pointers are byte addresses in the one imported memory.
 */

export { adamwAmax, adamwUpdate } from './adamw';
export { attentionBackward, attentionForward, attentionScratch } from './attention';
export { embeddingBackward, embeddingForward } from './embedding';
export { gemm, gemmScratch, packB } from './gemm';
export { crossEntropy } from './loss';
export { normBackward, normForward } from './norm';
export { amax, dequantize, quantize, quantizeScratch } from './quantize';
export { digest, sumRows, sumSquares } from './reduce';
export { rope } from './rope';
export { swigluBackward, swigluForward } from './swiglu';
