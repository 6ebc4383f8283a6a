/** The cases that run wherever the library does, including in a page; the other ones in cases.mjs need other processes or a compiler. */
import { adamwCases } from './cases/adamw.mjs';
import { attentionCases } from './cases/attention.mjs';
import { codecCases } from './cases/codec.mjs';
import { gemmCases } from './cases/gemm.mjs';
import { modelCases } from './cases/model.mjs';
import { scaledCases } from './cases/scaled.mjs';
import { swigluCases } from './cases/swiglu.mjs';

const FAMILIES = [codecCases, gemmCases, scaledCases, swigluCases, attentionCases, adamwCases, modelCases];

/**
 * Cases are { name, detail, long, prepare(context) -> contenders }. The context is { engine, baseline, single, rivals, threads, build }, where
 * baseline is the strict build on one thread, and single, where the engine has several threads, the same engine with one. Long cases take
 * minutes each.
 */
export const casesAnywhere = (sizes) => FAMILIES.flatMap((family) => family(sizes));
