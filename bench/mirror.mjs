/**
 * Makes the mirrors and sample data of test/ available in any runtime: contenders must equal what the tests compare the kernels with.
 * The files are stripped of types into build/test, with src/ replaced by dist/, where the code under test is.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';

/** The other helpers need vitest. */
const FILES = {
  reference: readdirSync(at('test/reference')).filter((file) => file.endsWith('.ts')),
  helpers: ['cases.ts', 'rng.ts'],
};

function at(path) {
  return new URL(`../${path}`, import.meta.url);
}

const changed = (url) => statSync(url, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Strips only what is out of date: the compiler takes longer to load than everything else here, and another run may be reading. */
async function strip(folder, file) {
  const target = at(`build/test/${folder}/${file.replace(/ts$/, 'js')}`);
  const source = at(`test/${folder}/${file}`);
  if (changed(target) > Math.max(changed(source), changed(new URL(import.meta.url)))) return;
  const { default: ts } = await import('typescript');
  const { ScriptTarget, ModuleKind } = ts;
  const compilerOptions = { target: ScriptTarget.ES2022, module: ModuleKind.ES2022, verbatimModuleSyntax: true };
  const text = readFileSync(source, 'utf8').replaceAll("'../../src/", "'../../../dist/");
  mkdirSync(new URL('.', target), { recursive: true });
  writeFileSync(target, ts.transpileModule(text, { compilerOptions }).outputText);
}

for (const [folder, files] of Object.entries(FILES)) for (const file of files) await strip(folder, file);

const load = (path) => import(at(`build/test/${path}.js`).href);

export const { Random } = await load('helpers/rng');
export const { finiteCodes, floatTensor, normals, ofCodes, place } = await load('helpers/cases');
export const { load: decoded, operands, store } = await load('reference/codes');
export const { fullRangeScale, scaled } = await load('reference/quantize');
export const { amax } = await load('reference/lanes');
export const { adamw } = await load('reference/adamw');
export const attention = await load('reference/attention');
export const float64 = await load('reference/float64');
export const gemm = await load('reference/gemm');
export const swiglu = await load('reference/swiglu');
