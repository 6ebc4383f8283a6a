/** Runs: what this browser keeps, and models that come and go. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { addressOf } from '../route.js';
import { desk } from '../run/desk.js';
import type { RunEntry } from '../run/record.js';
import { refresh, remove, rename, show, useRuns } from '../run/runs.js';
import { count, size } from '../ui/words.js';

function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The download has begun by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function RunsView() {
  const { entries, error } = useRuns();
  const [message, setMessage] = useState('');
  const picker = useRef<HTMLInputElement>(null);
  useEffect(() => void refresh(), []);
  const attempt = async (what: () => Promise<void>) => {
    setMessage('');
    try {
      await what();
    } catch (problem) {
      setMessage((problem as Error).message);
    }
  };
  const upload = (file: File | undefined) =>
    file &&
    attempt(async () => {
      await desk('upload', [file.name, file]);
      await refresh();
    });
  const actions: readonly [string, (entry: RunEntry) => Promise<void>][] = [
    [
      'Open',
      async (entry) => {
        await show(entry);
        location.hash = addressOf(entry.settings ? 'train' : 'generate');
      },
    ],
    ['Download model', async ({ id, name }) => save(await desk('download', [id]), `${name}.zip`)],
    [
      'Download report',
      async ({ id, name }) => {
        const { reportOf } = await import('./report.js');
        save(new Blob([reportOf(await desk('reportInput', [id]))], { type: 'text/html' }), `${name}.html`);
      },
    ],
    [
      'Rename',
      async ({ id, name }) => {
        const next = prompt('Name', name)?.trim();
        if (next) await rename(id, next);
      },
    ],
    [
      'Delete',
      async ({ id, name }) => {
        if (confirm(`Delete ${name} and its model?`)) await remove(id);
      },
    ],
  ];
  return (
    <div class="view">
      <div class="stack">
        <h1>Runs</h1>
        <p class="lead">Kept in this browser, for this address. A model is a Hugging Face folder in a zip archive.</p>
      </div>
      <div class="row">
        <input
          ref={picker}
          id="upload"
          class="visually-hidden"
          type="file"
          accept=".zip"
          tabIndex={-1}
          aria-label="Model archive"
          onChange={(event) => void upload(event.currentTarget.files?.[0])}
        />
        <button type="button" onClick={() => picker.current?.click()}>
          Upload a model …
        </button>
      </div>
      {(error || message) && (
        <p class="notice danger" role="alert">
          {error ?? message}
        </p>
      )}
      {entries?.length === 0 && <p class="muted">No runs yet.</p>}
      {entries?.map((entry) => (
        <section class="card" key={entry.id} aria-label={entry.name}>
          <h2>{entry.name}</h2>
          <p class="muted small">
            {new Date(entry.created).toLocaleString()}; {entry.text};{' '}
            {entry.settings &&
              `step ${count(entry.step)} of ${count(entry.settings.steps ?? 1000)}${entry.done ? ', finished' : ''}; `}
            {entry.loss !== undefined && `loss ${entry.loss.toFixed(3)}; `}
            {size(entry.bytes)}
          </p>
          <div class="row">
            {actions.map(([name, act]) => (
              <button
                key={name}
                type="button"
                class={name === 'Delete' ? 'danger' : ''}
                disabled={
                  (name === 'Download model' && !entry.hasModel) || (name === 'Download report' && !entry.settings)
                }
                aria-label={`${name}: ${entry.name}`}
                onClick={() => void attempt(() => act(entry))}
              >
                {name}
              </button>
            ))}
          </div>
        </section>
      ))}
    </div>
  );
}
