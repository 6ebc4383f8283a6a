/** The exports of the builds `turbo`: the product, and what sizes its scratch. The rest is as fast in the other builds. */
export { gemm, gemmScratch } from './gemm';
