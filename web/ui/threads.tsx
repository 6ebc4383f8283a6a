/** Shows how many threads the page may use, and how to get more. */
import { useEffect, useState } from 'preact/hooks';
import { MAX_THREADS } from '../../src/engine/features.js';

/** Threads for training: all cores, as far as the engine takes them, if the page may share memory between them; otherwise one. */
export const availableThreads = (): number =>
  globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, Math.max(1, navigator.hardwareConcurrency || 1)) : 1;

const RELOADED = 'octavo-isolation';

/**
 * For hosts that send no isolation headers: a service worker adds them from the next load on, so the page reloads once, before anything has
 * begun. If that does not help (private windows, old browsers), the page continues with one thread.
 */
async function isolate(): Promise<void> {
  if (!isSecureContext || !('serviceWorker' in navigator) || sessionStorage.getItem(RELOADED)) return;
  await navigator.serviceWorker.register('./isolation.js');
  await navigator.serviceWorker.ready;
  sessionStorage.setItem(RELOADED, 'yes');
  location.reload();
}

export function Threads() {
  const [failed, setFailed] = useState('');
  useEffect(() => {
    if (!crossOriginIsolated) isolate().catch((error) => setFailed(String(error)));
  }, []);
  const threads = availableThreads();
  if (crossOriginIsolated) return <p>{threads === 1 ? 'One core' : `${threads} threads`} to train on.</p>;
  return (
    <p>
      This page runs on one thread, because it is not cross-origin isolated{failed && ` (${failed})`}. For all cores:
      serve it with <code>npx octavo serve</code>, or with the headers{' '}
      <code>Cross-Origin-Opener-Policy: same-origin</code> and <code>Cross-Origin-Embedder-Policy: require-corp</code>,
      over https or from localhost.
    </p>
  );
}
