/**
 * The mirrors and sample data of test/, for any runtime: what the tests hold the kernels against is what a contender has to equal here.
 * Their types are stripped into build/test, and src/ read as dist/, where the code under test is.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import ts from 'typescript';

const FOLDERS = ['reference', 'helpers'];
/** Compiled for the benchmarks; the other helpers belong to vitest. */
const HELPERS = ['cases.ts', 'rng.ts'];
const OPTIONS = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, verbatimModuleSyntax: true };

const at = (path) => new URL(`../${path}`, import.meta.url);

for (const folder of FOLDERS) {
  mkdirSync(at(`build/test/${folder}`), { recursive: true });
  for (const file of readdirSync(at(`test/${folder}`))) {
    if (!file.endsWith('.ts') || (folder === 'helpers' && !HELPERS.includes(file))) continue;
    const source = readFileSync(at(`test/${folder}/${file}`), 'utf8').replaceAll("'../../src/", "'../../../dist/");
    const { outputText } = ts.transpileModule(source, { compilerOptions: OPTIONS });
    const target = at(`build/test/${folder}/${file.replace(/ts$/, 'js')}`);
    // Only what has changed: another run may be reading.
    if (!existsSync(target) || readFileSync(target, 'utf8') !== outputText) writeFileSync(target, outputText);
  }
}

const load = (path) => import(at(`build/test/${path}.js`).href);

export const { Random } = await load('helpers/rng');
export const { finiteCodes, floatTensor, normals, ofCodes, place, sample } = await load('helpers/cases');
export const { load: decoded, operands, store } = await load('reference/codes');
export const { fullRangeScale, scaled } = await load('reference/quantize');
export const { amax } = await load('reference/lanes');
export const adamw = (await load('reference/adamw')).adamw;
export const attention = await load('reference/attention');
export const gemm = await load('reference/gemm');
export const swiglu = await load('reference/swiglu');
