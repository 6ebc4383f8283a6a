/** The page: asks its server what to measure, and sends back the outcome. */
const send = (outcome) => fetch('outcome', { method: 'POST', body: JSON.stringify(outcome) });

const worker = new Worker(new URL('./worker.mjs', import.meta.url), { type: 'module' });
worker.onmessage = ({ data }) => send(data);
worker.onerror = ({ message }) => send({ error: message });
worker.postMessage(await (await fetch('job')).json());
