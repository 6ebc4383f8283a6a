/** The page's worker: runs the conformance checks when it is told which engines. */
import { conform } from './conform.mjs';

addEventListener('message', ({ data }) =>
  conform(data).then(postMessage, (error) => postMessage({ error: String(error?.stack ?? error) })),
);
