/**
 * The exports of the builds `turbo`: what uses the tile of pair.ts, and the sizes that depend on it. All else is as fast in the other
 * builds.
 */
export { attentionBackward, attentionForward } from './attention';
export { gemm, gemmScratch } from './gemm';
