/** Runs the cases of families.mjs in a browser, for main.mjs --browser. */
import { fileURLToPath } from 'node:url';
import { outcomeInBrowser } from '../scripts/browser.mjs';
import { sizesOf } from './cases.mjs';
import { compileLoops } from './ceiling.mjs';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const TIMEOUT = 60 * 60_000;
const base64 = (bytes) => Buffer.from(bytes).toString('base64');

/** In the browser, the bundler strips the types of the mirrors and resolves src/ to dist/, as mirror.mjs does here. */
const ALIAS = [
  { find: /^(\.\.?\/)+mirror\.mjs$/, replacement: at('page/mirror.mjs') },
  { find: /^(\.\.\/)+src\/(.*)$/, replacement: `${at('../dist')}/$2` },
];

/** Returns { info, results }: info from the engine, results as in main.mjs. */
export async function runInBrowser(browser, { quick, filter, build, threads, timing }) {
  const { text, ...sizes } = sizesOf({ quick });
  const job = {
    ...{ sizes, filter: filter?.source ?? '', build, threads, timing },
    text: base64(text),
    ceilings: {
      simd: base64(await compileLoops('simd', threads)),
      relaxed: base64(await compileLoops('relaxed', threads)),
    },
  };
  const signal = AbortSignal.timeout(TIMEOUT);
  return outcomeInBrowser(browser, { root: at('page'), alias: ALIAS, isolated: true, job, signal });
}
