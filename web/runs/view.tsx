/** Runs: what this browser stores, and models to download and upload. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { trainSettings } from '../../src/train/options.js';
import { addressOf } from '../route.js';
import { desk } from '../run/desk.js';
import type { RunEntry } from '../run/record.js';
import { refresh, remove, rename, show, useRuns } from '../run/runs.js';
import { Dialog } from '../ui/dialog.js';
import { count, size } from '../ui/words.js';
import { ReportLink } from './report-link.js';

function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // By then the download has begun.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** An action that needs confirmation. */
type Question = { readonly what: 'delete' | 'rename'; readonly entry: RunEntry };

export function RunsView() {
  const { entries, error } = useRuns();
  const [message, setMessage] = useState('');
  const [question, setQuestion] = useState<Question>();
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
  const actions = {
    open: async (entry: RunEntry) => {
      await show(entry);
      location.hash = addressOf(entry.settings ? 'train' : 'generate');
    },
    model: async ({ id, name }: RunEntry) => save(await desk('download', [id]), `${name}.zip`),
    report: async ({ id, name }: RunEntry) => {
      const { reportOf } = await import('./report.js');
      save(new Blob([reportOf(await desk('reportInput', [id]))], { type: 'text/html' }), `${name}.html`);
    },
  };
  return (
    <div class="view">
      <div class="stack">
        <h1>Runs</h1>
        <p class="lead">
          Kept in this browser, for this address. A model comes and goes as a Hugging Face folder in a zip archive.
        </p>
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
          onChange={(event) => {
            void upload(event.currentTarget.files?.[0]);
            event.currentTarget.value = '';
          }}
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
      {entries?.length === 0 && (
        <p class="muted">
          No runs yet: <a href={addressOf('train')}>train one</a>.
        </p>
      )}
      {entries?.map((entry) => (
        <RunCard key={entry.id} entry={entry}>
          {[
            ['Open', () => attempt(() => actions.open(entry))],
            ['Download model', entry.hasModel && (() => attempt(() => actions.model(entry)))],
            ['Download report', hasReport(entry) && (() => attempt(() => actions.report(entry)))],
            ['Rename', () => setQuestion({ what: 'rename', entry })],
            ['Delete', () => setQuestion({ what: 'delete', entry })],
          ]}
        </RunCard>
      ))}
      {question && (
        <Asked
          question={question}
          onClose={() => setQuestion(undefined)}
          onDelete={(id) => attempt(() => remove(id))}
          onRename={(id, name) => attempt(() => rename(id, name))}
        />
      )}
    </div>
  );
}

const hasReport = ({ settings, step }: RunEntry): boolean => settings !== undefined && step > 0;

/** `children`: buttons by name; without an action they are disabled. */
function RunCard({
  entry,
  children,
}: {
  entry: RunEntry;
  children: readonly (readonly [string, false | (() => void)])[];
}) {
  const { id, name, created, text, settings, step, done, loss, bytes } = entry;
  const facts = [
    new Date(created).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' }),
    text,
    settings && `step ${count(step)} of ${count(trainSettings(settings).steps)}${done ? ', finished' : ''}`,
    loss !== undefined && `loss ${loss.toFixed(3)}`,
    size(bytes),
  ];
  const [open, ...others] = children.map(([action, act]) => (
    <button
      key={action}
      type="button"
      class={action === 'Delete' ? 'danger' : ''}
      disabled={!act}
      aria-label={`${action}: ${name}`}
      onClick={act || undefined}
    >
      {action}
    </button>
  ));
  return (
    <section class="card" aria-label={name}>
      <h2>{name}</h2>
      <p class="muted small">{facts.filter(Boolean).join(' · ')}</p>
      <div class="row">
        {open}
        {hasReport(entry) && (
          <ReportLink id={id} label={`View report: ${name}`}>
            View report
          </ReportLink>
        )}
        {others}
      </div>
    </section>
  );
}

interface AskedProps {
  readonly question: Question;
  readonly onClose: () => void;
  readonly onDelete: (id: string) => void;
  readonly onRename: (id: string, name: string) => void;
}

function Asked({ question: { what, entry }, onClose, onDelete, onRename }: AskedProps) {
  const { id, name } = entry;
  const [next, setNext] = useState(name);
  if (what === 'delete') {
    return (
      <Dialog title={`Delete ${name}?`} action="Delete it" danger onAction={() => onDelete(id)} onClose={onClose}>
        <p>Its text, log, checkpoints and model go. There is no way back.</p>
      </Dialog>
    );
  }
  return (
    <Dialog
      title={`Rename ${name}`}
      action="Rename it"
      onAction={() => next.trim() && onRename(id, next.trim())}
      onClose={onClose}
    >
      <div class="field">
        <label for="new-name">Name</label>
        <input id="new-name" value={next} onInput={(event) => setNext(event.currentTarget.value)} />
      </div>
    </Dialog>
  );
}
