/** The page: asks its server what to check, and sends it the outcome. The library waits for its threads, which a page may not: so it runs in a worker. */
const send = (outcome) => fetch('outcome', { method: 'POST', body: JSON.stringify(outcome) });

const worker = new Worker(new URL('./page-worker.mjs', import.meta.url), { type: 'module' });
worker.onmessage = ({ data }) => send(data);
worker.onerror = ({ message }) => send({ error: message });
worker.postMessage(await (await fetch('job')).json());
