/** The page's worker: runs the checks when it is told which. */
import { conform } from './conform.mjs';

addEventListener('message', ({ data }) =>
  conform(data).then(
    (rows) => postMessage({ rows }),
    (error) => postMessage({ error: String(error?.stack ?? error) }),
  ),
);
