/** `octavo verify` in the page: checks the kernels that this browser runs against the definition of the formats. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Table } from '../ui/table.js';
import { type Tally, tallied } from './tally.js';
import type { VerifyMessage } from './verify-worker.js';

interface Progress {
  readonly state: 'idle' | 'running' | 'done' | 'failed';
  readonly about: string;
  readonly checks: number;
  readonly done: number;
  readonly tallies: readonly Tally[];
}

const IDLE: Progress = { state: 'idle', about: '', checks: 1, done: 0, tallies: [] };
/** Milliseconds between two updates: findings come faster than they can be shown. */
const SHOWN_EVERY = 100;

function after(progress: Progress, message: VerifyMessage): Progress {
  if (message.type === 'start')
    return { ...progress, checks: message.checks, about: `${message.build}, ${message.runtime}` };
  if (message.type === 'failed') return { ...progress, state: 'failed', about: message.what };
  if (message.type === 'done') return { ...progress, state: 'done' };
  return { ...progress, done: progress.done + 1, tallies: tallied(progress.tallies, message.finding) };
}

function useVerification(): [Progress, () => void, () => void] {
  const [progress, setProgress] = useState(IDLE);
  const end = useRef<(() => void) | undefined>(undefined);
  const stop = () => {
    end.current?.();
    end.current = undefined;
    setProgress(IDLE);
  };
  const start = () => {
    end.current?.();
    let current: Progress = { ...IDLE, state: 'running' };
    const worker = new Worker(new URL('./verify-worker.ts', import.meta.url), { type: 'module' });
    const timer = setInterval(() => setProgress(current), SHOWN_EVERY);
    const finish = () => {
      clearInterval(timer);
      worker.terminate();
    };
    const take = (message: VerifyMessage) => {
      current = after(current, message);
      if (current.state === 'running') return;
      finish();
      setProgress(current);
    };
    worker.onmessage = ({ data }: MessageEvent<VerifyMessage>) => take(data);
    worker.onerror = ({ message }) => take({ type: 'failed', what: message || 'the worker could not be loaded' });
    end.current = finish;
    setProgress(current);
  };
  useEffect(() => () => end.current?.(), []);
  return [progress, start, stop];
}

function verdict({ state, about, checks, done, tallies }: Progress): string {
  const wrong = tallies.reduce((sum, { mismatches }) => sum + mismatches, 0);
  if (state === 'idle') return '';
  if (state === 'failed') return `The checks could not go on: ${about}`;
  if (state === 'running') return `${done} of ${checks} checks`;
  return `${wrong} mismatches in ${done} checks (${about})`;
}

export function Verify() {
  const [progress, start, stop] = useVerification();
  const { state, checks, done, tallies } = progress;
  const running = state === 'running';
  const wrong = tallies.some(({ mismatches }) => mismatches > 0);
  return (
    <section class="card" aria-labelledby="verify-heading">
      <h2 id="verify-heading">Verify this browser</h2>
      <p class="muted">
        The kernels this page runs, against the definition above: every code decoded; all BF16 and float16 numbers,
        every midpoint and its neighbours encoded, in every format and mode. It takes some seconds, beside the page.
      </p>
      <div class="row">
        {running ? (
          <button type="button" onClick={stop}>
            Stop
          </button>
        ) : (
          <button type="button" class="primary" onClick={start}>
            {state === 'idle' ? 'Run the checks' : 'Run again'}
          </button>
        )}
        <p role="status" class={state === 'failed' || wrong ? 'wrong' : ''}>
          {running ? '' : verdict(progress)}
        </p>
      </div>
      {running && (
        <>
          <progress aria-label="Checks done" max={checks} value={done} />
          <p class="muted small">{verdict(progress)}</p>
        </>
      )}
      {tallies.length > 0 && (
        <Table
          label="Results of the checks"
          columns={[
            { title: 'Format' },
            { title: 'Checks', number: true },
            { title: 'Inputs', number: true },
            { title: 'Mismatches', number: true },
          ]}
          rows={tallies.map(({ dtype, checks: count, inputs, mismatches, first }) => ({
            key: dtype,
            cells: [
              <>
                <code>{dtype}</code>
                {first && <p class="wrong small">First: {first}</p>}
              </>,
              count,
              inputs.toLocaleString('en'),
              mismatches,
            ],
          }))}
        />
      )}
    </section>
  );
}
