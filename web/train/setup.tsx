/** The form before a run: text, size, settings, and what they will take on this machine. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { RECIPES } from '../../src/ops/recipe.js';
import { trainingBytes } from '../../src/train/memory.js';
import { type TrainSettingsInput, trainSettings } from '../../src/train/options.js';
import { addressOf } from '../route.js';
import { desk } from '../run/desk.js';
import { begin, useRuns } from '../run/runs.js';
import { fetchText, TEXTS } from '../run/texts.js';
import { availableThreads } from '../ui/threads.js';
import { duration, size } from '../ui/words.js';
import type { TrainerEvent, TrainerRequest } from '../worker/protocol.js';
import { GROUPS, queryOf, settingsOf, valuesFrom, valuesOf } from './form.js';
import { PRESETS } from './presets.js';

/** What 32-bit addresses reach. */
const MEMORY_BYTES = 2 ** 32;
const PROBE_DELAY_MS = 600;

const RECIPES_ABOUT: Readonly<Record<string, string>> = {
  fp8: 'matrix products and optimizer state in 8 bits, with Smooth-SwiGLU',
  'fp8-plain': 'the same without smoothing: what goes wrong in long runs',
  bf16: '16 bits, the usual way',
  f32: '32 bits, the reference',
};

/** The text of a run: named, and fetched or read when the run begins. */
interface Source {
  readonly name: string;
  readonly bytes: number;
  read(): Promise<Uint8Array>;
}

interface Probe {
  readonly secondsPerStep?: number;
  readonly refused?: string;
}

/** Runs a few real steps in a worker of their own, a moment after the last change. */
function useProbe(input: TrainSettingsInput | undefined, threads: number): Probe | undefined {
  const [probe, setProbe] = useState<Probe>();
  const key = JSON.stringify(input);
  useEffect(() => {
    setProbe(undefined);
    if (!key) return;
    let worker: Worker | undefined;
    const timer = setTimeout(() => {
      worker = new Worker(new URL('../worker/trainer.ts', import.meta.url), { type: 'module' });
      worker.onmessage = ({ data }: MessageEvent<TrainerEvent>) => {
        if (data.type === 'probed') setProbe(data);
        if (data.type === 'failed') setProbe({ refused: data.message });
        if (data.type === 'probed' || data.type === 'failed') worker?.terminate();
      };
      const settings = JSON.parse(key) as TrainSettingsInput;
      worker.postMessage({ type: 'probe', settings, threads } satisfies TrainerRequest);
    }, PROBE_DELAY_MS);
    return () => {
      clearTimeout(timer);
      worker?.terminate();
    };
  }, [key, threads]);
  return probe;
}

function estimate(bytes: number, steps: number, probe: Probe | undefined): string {
  const memory = `${size(bytes)} of ${size(MEMORY_BYTES)}`;
  if (bytes > MEMORY_BYTES) return `Does not fit: ${memory}. Choose a smaller model, batch or block.`;
  if (!probe) return `Fits: ${memory}. Trying a few steps on this machine …`;
  if (probe.refused) return `Does not run here: ${probe.refused}.`;
  const { secondsPerStep = 0 } = probe;
  return `Fits: ${memory}; about ${duration(100 * secondsPerStep)} per 100 steps on this machine, ${duration(secondsPerStep * steps)} for all ${steps}.`;
}

const bundled = (id: string): Source | undefined => {
  const text = TEXTS.find((each) => each.id === id);
  return text && { name: text.title, bytes: text.bytes, read: () => fetchText(text) };
};

export function Setup({ query }: { query: URLSearchParams }) {
  const { error: storage } = useRuns();
  const [values, setValues] = useState(() => valuesFrom(query, valuesOf(PRESETS[0].settings)));
  const [textId, setTextId] = useState(() => query.get('text') ?? TEXTS[0].id);
  const [own, setOwn] = useState<Source>();
  const [pasted, setPasted] = useState('');
  const [refusal, setRefusal] = useState('');
  const [starting, setStarting] = useState(false);
  const [threads, setThreads] = useState(availableThreads);
  const [shared, setShared] = useState('');
  const picker = useRef<HTMLInputElement>(null);
  const { input, error } = settingsOf(values);
  const settings = input && trainSettings(input);
  const bytes = settings ? trainingBytes(settings) : 0;
  const fits = bytes <= MEMORY_BYTES;
  const probe = useProbe(starting || !fits ? undefined : input, threads);

  const source: Source | undefined =
    textId === 'own'
      ? own
      : textId === 'pasted'
        ? { name: 'Pasted text', bytes: pasted.length, read: async () => new TextEncoder().encode(pasted) }
        : bundled(textId);

  const take = async (files: File[]) => {
    if (files.length === 0) return;
    setRefusal('');
    try {
      const bytes = await desk('readText', [files]);
      const name = files.length === 1 ? files[0].name : `${files.length} files`;
      setOwn({ name, bytes: bytes.length, read: async () => bytes });
      setTextId('own');
    } catch (problem) {
      setRefusal((problem as Error).message);
    }
  };

  const start = async () => {
    if (!input || !source) return;
    setStarting(true);
    setRefusal('');
    try {
      const text = await source.read();
      if (text.length === 0) throw new Error('The text is empty: paste some, or choose another');
      const { steps } = trainSettings(input);
      const now = new Date();
      const name = `${source.name}, ${values.recipe}`;
      const sampleInterval = Math.max(50, Math.round(steps / 10));
      const id = crypto.randomUUID();
      await begin(
        { id, name, created: now.getTime(), text: source.name, settings: input, sampleInterval },
        text,
        threads,
      );
      location.hash = addressOf('train');
    } catch (problem) {
      setStarting(false);
      setRefusal((problem as Error).message);
    }
  };

  const share = async () => {
    const url = new URL(addressOf('train', queryOf(values, bundled(textId) && textId)), location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      setShared('The link with these settings is copied.');
    } catch {
      setShared(url);
    }
  };

  const set = (name: string) => (event: { currentTarget: { value: string } }) =>
    setValues({ ...values, [name]: event.currentTarget.value });

  return (
    <form
      class="view"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        void take([...(event.dataTransfer?.files ?? [])]);
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
      <fieldset class="card">
        <legend>Text</legend>
        <div class="choices">
          {TEXTS.map(({ id, title, about, bytes }) => (
            <label class="choice" key={id}>
              <input type="radio" name="text" value={id} checked={textId === id} onChange={() => setTextId(id)} />
              <span>{title}</span>
              <span class="about">
                {about}; {size(bytes)}
              </span>
            </label>
          ))}
          <label class="choice">
            <input
              type="radio"
              name="text"
              value="pasted"
              checked={textId === 'pasted'}
              onChange={() => setTextId('pasted')}
            />
            <span>Pasted text</span>
            <span class="about">at least some thousand letters</span>
          </label>
          {own && (
            <label class="choice">
              <input
                type="radio"
                name="text"
                value="own"
                checked={textId === 'own'}
                onChange={() => setTextId('own')}
              />
              <span>{own.name}</span>
              <span class="about">{size(own.bytes)}</span>
            </label>
          )}
        </div>
        {textId === 'pasted' && (
          <div class="field">
            <label for="pasted">Text to learn from</label>
            <textarea id="pasted" rows={6} value={pasted} onInput={(event) => setPasted(event.currentTarget.value)} />
          </div>
        )}
        <div class="row">
          <input
            ref={picker}
            id="files"
            class="visually-hidden"
            type="file"
            multiple
            tabIndex={-1}
            aria-label="Text files"
            onChange={(event) => void take([...(event.currentTarget.files ?? [])])}
          />
          <button type="button" onClick={() => picker.current?.click()}>
            Choose files …
          </button>
          <span class="muted small">or drop text files anywhere on this page</span>
        </div>
      </fieldset>
      <fieldset class="card">
        <legend>Size</legend>
        <div class="choices">
          {PRESETS.map(({ name, about, settings }) => {
            const preset = valuesOf(settings);
            const chosen = Object.keys(preset).every((key) => key === 'recipe' || preset[key] === values[key]);
            return (
              <label class="choice" key={name}>
                <input
                  type="radio"
                  name="preset"
                  value={name}
                  checked={chosen}
                  onChange={() => setValues({ ...preset, recipe: values.recipe })}
                />
                <span>{name}</span>
                <span class="about">{about}</span>
              </label>
            );
          })}
        </div>
        <div class="fields">
          <div class="field">
            <label for="recipe">Recipe</label>
            <select id="recipe" value={values.recipe} onChange={set('recipe')} aria-describedby="recipe-help">
              {Object.keys(RECIPES).map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
            <span class="help" id="recipe-help">
              {RECIPES_ABOUT[values.recipe] ?? ''}
            </span>
          </div>
          <div class="field">
            <label for="threads">Threads</label>
            <select
              id="threads"
              value={String(threads)}
              onChange={(event) => setThreads(Number(event.currentTarget.value))}
            >
              {Array.from({ length: availableThreads() }, (_, i) => (
                <option key={i}>{i + 1}</option>
              ))}
            </select>
            <span class="help">The result has the same bits with any number.</span>
          </div>
        </div>
        <details>
          <summary>All settings</summary>
          <div class="view">
            {GROUPS.map(({ title, fields }) => (
              <fieldset key={title}>
                <legend>{title}</legend>
                <div class="fields">
                  {fields.map(({ name, label, help }) => (
                    <div class="field" key={name}>
                      <label for={name}>{label}</label>
                      <input
                        id={name}
                        inputMode="decimal"
                        value={values[name]}
                        onInput={set(name)}
                        aria-describedby={`${name}-help`}
                      />
                      <span class="help" id={`${name}-help`}>
                        {help}
                      </span>
                    </div>
                  ))}
                </div>
              </fieldset>
            ))}
          </div>
        </details>
        <p id="estimate" aria-live="polite">
          {error ?? (settings && estimate(bytes, settings.steps, probe))}
        </p>
      </fieldset>
      {refusal && (
        <p class="notice danger" role="alert">
          {refusal}
        </p>
      )}
      <div class="row">
        <button
          type="submit"
          class="primary"
          disabled={!input || !source || !fits || starting || Boolean(probe?.refused)}
        >
          {starting ? 'Starting …' : 'Start'}
        </button>
        <button type="button" onClick={() => void share()}>
          Share settings
        </button>
        <span role="status" class="small muted">
          {shared}
        </span>
      </div>
    </form>
  );
}
