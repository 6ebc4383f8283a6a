/** Runs the quick checks of `octavo verify` in a worker: posts one message per finding, then one that says it is done. */
import { init } from '../../src/index.js';
import { type Finding, QUICK_CHECKS, quick } from '../../src/verify/index.js';

export type VerifyMessage =
  | { readonly type: 'start'; readonly checks: number; readonly build: string; readonly runtime: string }
  | { readonly type: 'finding'; readonly finding: Finding }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly what: string };

const post = (message: VerifyMessage) => postMessage(message);

async function main(): Promise<void> {
  const engine = await init({ threads: 1 });
  post({ type: 'start', checks: QUICK_CHECKS, build: engine.info.build, runtime: engine.info.runtime });
  for (const finding of quick(engine)) post({ type: 'finding', finding });
  engine.dispose();
  post({ type: 'done' });
}

main().catch((error) => post({ type: 'failed', what: String(error?.message ?? error) }));
