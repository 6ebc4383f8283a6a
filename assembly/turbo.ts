/**
 * The exports of the builds `turbo`: what uses the tile of pair.ts or the loop of gemv-pair.ts, and the sizes that depend on them. All else
 * is as fast in the other builds.
 */
export { attentionBackward, attentionForward } from './attention';
export { gemm, gemmScratch } from './gemm';
export { gemv, gemvScratch } from './gemv';
