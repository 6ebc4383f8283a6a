/** The page's worker: checks and times the cases of a job as main.mjs does. */
import { init } from '../../dist/index.js';
import { casesAnywhere } from '../families.mjs';
import { placeLodash } from './lodash.mjs';

async function run({ sizes, text, filter, build, threads, ceilings, timing }) {
  placeLodash();
  const { runCases } = await import('../run.mjs');
  const bytes = (encoded) => Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const engine = await init({ build, threads });
  const ceiling = await init({ build: engine.info.build, threads, wasm: bytes(ceilings[engine.info.build]) });
  const baseline = await init({ build: 'simd', threads: 1 });
  const context = { engine, baseline, rivals: [], threads, build: engine.info.build };
  const cases = casesAnywhere({ ...sizes, text: bytes(text) }).filter(({ name }) => new RegExp(filter, 'i').test(name));
  const results = [];
  for await (const result of runCases(cases, context, ceiling, timing)) results.push(result);
  return { info: engine.info, results };
}

addEventListener('message', ({ data }) =>
  run(data).then(postMessage, (error) => postMessage({ error: String(error?.stack ?? error) })),
);
