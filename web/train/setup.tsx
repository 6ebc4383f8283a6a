/** The form before a run: text, size, settings, and what they will need on this machine. */
import { useState } from 'preact/hooks';
import { ABOUT_RECIPES, type RecipeName } from '../../src/ops/recipe.js';
import { splitTokens } from '../../src/train/data.js';
import { mayFit } from '../../src/train/memory.js';
import { addressOf } from '../route.js';
import { begin, isActive, useRuns } from '../run/runs.js';
import { Choice } from '../ui/choice.js';
import { availableThreads } from '../ui/threads.js';
import { count } from '../ui/words.js';
import { DEFAULTS, type Draft, draftOf, keep } from './draft.js';
import { Estimate } from './estimate.js';
import { AllSettings, SettingField } from './fields.js';
import { type Checked, checked, queryOf, RECIPE, type Wrong } from './form.js';
import { chosen, isChosen, PRESETS } from './presets.js';
import { useProbe } from './probe.js';
import { bundled, filesOf, pastedText, type Source } from './source.js';
import { TextCard } from './text-card.js';

function sourceOf({ textId, pasted, own }: Draft): Source | undefined {
  if (textId === 'own') return own;
  return textId === 'pasted' ? pastedText(pasted) : bundled(textId);
}

async function readText(source: Source, { settings: { valFraction, blockSize } }: Checked): Promise<Uint8Array> {
  const text = await source.read();
  if (text.length === 0) throw new Error('The text is empty: paste some, or choose another.');
  try {
    splitTokens(text, valFraction, blockSize);
  } catch (error) {
    const [, details] = (error as Error).message.split('data: ');
    throw new Error(`The text is too short: ${details}. Take a longer one, or a smaller block size.`);
  }
  return text;
}

export function Setup({ query }: { query: URLSearchParams }) {
  const { session, left, entries = [], error: storage } = useRuns();
  const [draft, setDraft] = useState(() => draftOf(query));
  const [refusal, setRefusal] = useState('');
  const [starting, setStarting] = useState(false);
  const [threads, setThreads] = useState(availableThreads);
  const [shared, setShared] = useState('');
  const outcome = checked(draft.values);
  const run = 'input' in outcome ? outcome : undefined;
  const wrong = run ? undefined : (outcome as Wrong);
  // A link may have errors in a folded group. Afterwards the reader decides what to open and close.
  const [unfolded] = useState(wrong !== undefined && wrong.field !== RECIPE.name);
  const busy = session !== undefined && isActive(session);
  const possible = run !== undefined && mayFit(run.settings);
  const probe = useProbe(possible && !starting && !busy ? run.input : undefined, threads);
  const source = sourceOf(draft);

  const change = (changed: Draft) => {
    setDraft(changed);
    keep(changed);
    setRefusal('');
    setShared('');
  };
  const onValue = (name: string, value: string) => change({ ...draft, values: { ...draft.values, [name]: value } });
  const onFiles = async (files: File[]) => {
    if (files.length === 0) return;
    setRefusal('');
    try {
      change({ ...draft, textId: 'own', own: await filesOf(files) });
    } catch (problem) {
      setRefusal((problem as Error).message);
    }
  };

  const start = async () => {
    if (!run || !source) return;
    setStarting(true);
    setRefusal('');
    try {
      const text = await readText(source, run);
      const name = unused(
        `${source.name}, ${draft.values.recipe}`,
        entries.map((entry) => entry.name),
      );
      const { input: settings, intervals } = run;
      const created = Date.now();
      await begin({ id: crypto.randomUUID(), name, created, text: source.name, settings, intervals }, text, threads);
      // Makes Back lead to the page before the form, rather than to the form behind a run.
      location.replace(addressOf('train'));
    } catch (problem) {
      setStarting(false);
      setRefusal((problem as Error).message);
    }
  };

  const share = async () => {
    const id = bundled(draft.textId) && draft.textId;
    const url = new URL(addressOf('train', queryOf(draft.values, id, DEFAULTS)), location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      setShared(`A link to these settings is copied${id ? '' : '; the text itself is not in it'}.`);
    } catch {
      setShared(url);
    }
  };

  return (
    <form
      class="view"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
      onDrop={(event) => {
        void onFiles([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      <div class="stack">
        <h1>Train a language model in this tab</h1>
        <p class="lead">
          A Llama-style transformer learns to write from one text, byte by byte, with its matrix products in 8-bit
          floating point.
        </p>
      </div>
      {storage && (
        <p class="notice danger" role="alert">
          {storage}
        </p>
      )}
      {left && (
        <p class="notice ok">
          {left} is kept under <a href={addressOf('runs')}>Runs</a>.
        </p>
      )}
      {busy && (
        <p class="notice">
          <a href={addressOf('train')}>{session.record.name}</a> is training. Starting another run pauses and saves it.
        </p>
      )}
      <TextCard draft={draft} onDraft={change} onFiles={(files) => void onFiles(files)} />
      <fieldset class="card">
        <legend>Model</legend>
        <div class="choices">
          {PRESETS.map((preset) => (
            <Choice
              key={preset.name}
              name="preset"
              value={preset.name}
              title={preset.name}
              about={`${count(preset.parameters)} parameters: ${preset.about}`}
              chosen={isChosen(preset, draft.values)}
              onChoice={() => change({ ...draft, values: chosen(preset, draft.values) })}
            />
          ))}
        </div>
        <div class="fields wide">
          <SettingField
            field={{ ...RECIPE, about: ABOUT_RECIPES[draft.values.recipe as RecipeName] ?? '' }}
            values={draft.values}
            complete={run?.values}
            wrong={wrong}
            onValue={onValue}
          />
          <div class="field">
            <label for="threads">Threads</label>
            <select
              id="threads"
              value={String(threads)}
              aria-describedby="threads-help"
              onChange={(event) => setThreads(Number(event.currentTarget.value))}
            >
              {Array.from({ length: availableThreads() }, (_, i) => (
                <option key={i}>{i + 1}</option>
              ))}
            </select>
            <span class="help" id="threads-help">
              the result has the same bits with any number
            </span>
          </div>
        </div>
        <details open={unfolded}>
          <summary>All settings</summary>
          <AllSettings values={draft.values} complete={run?.values} wrong={wrong} onValue={onValue} />
        </details>
      </fieldset>
      <section class="card start" aria-label="Start">
        <p id="estimate" aria-live="polite">
          {run ? (
            <Estimate settings={run.settings} probe={probe} busy={busy} />
          ) : (
            <span class="wrong">{wrong?.message}</span>
          )}
        </p>
        {refusal && (
          <p class="notice danger" role="alert">
            {refusal}
          </p>
        )}
        <div class="row">
          <button type="submit" class="primary" disabled={!possible || !source || starting || Boolean(probe?.refused)}>
            {starting ? 'Starting …' : 'Start'}
          </button>
          <button type="button" onClick={() => void share()}>
            Share settings
          </button>
          <span role="status" class="small muted">
            {shared}
          </span>
        </div>
      </section>
    </form>
  );
}

/** The name, with a number added if another run has it. */
function unused(name: string, taken: readonly string[]): string {
  for (let number = 2, next = name; ; number++) {
    if (!taken.includes(next)) return next;
    next = `${name} ${number}`;
  }
}
