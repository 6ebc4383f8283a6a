/** Train: choose a text and a model, start, watch. */
import { useEffect } from 'preact/hooks';
import { useRoute } from '../route.js';
import { restore, useRuns } from '../run/runs.js';
import { Live } from './live.js';
import { Setup } from './setup.js';

export function TrainView() {
  const { session, entries } = useRuns();
  const { query } = useRoute();
  useEffect(() => {
    void restore();
  }, []);
  // A link with settings asks for another run.
  if (session && query.size === 0) return <Live session={session} />;
  if (!entries) return <p class="muted">Looking for saved runs …</p>;
  return <Setup key={query.toString()} query={query} />;
}
