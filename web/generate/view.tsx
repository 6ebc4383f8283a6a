/** Generate: text from a trained model as it is drawn, with the probabilities of each token. */
import { useEffect, useState } from 'preact/hooks';
import type { SampleOptions } from '../../src/train/index.js';
import { addressOf } from '../route.js';
import { generate, stopGenerating } from '../run/desk.js';
import { refresh, useRuns } from '../run/runs.js';
import { Table } from '../ui/table.js';
import type { GeneratedPiece } from '../worker/protocol.js';

const NUMBERS = [
  ['maxNewTokens', 'Length', '300', 'bytes to write'],
  ['temperature', 'Temperature', '0.8', '0 always takes the likeliest'],
  ['topK', 'Top k', '', 'only so many likeliest; empty for all'],
  ['topP', 'Top p', '', 'only the likeliest up to this share; empty for all'],
  ['seed', 'Seed', '1337', 'the same seed gives the same text everywhere'],
] as const;
/** Limited because each piece can be inspected and so is an element of the page. */
const MAX_LENGTH = 5000;
const DRAWN_EVERY_MS = 60;

const percent = (share: number) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const shown = (text: string) => (text === ' ' ? 'space' : text === '\n' ? 'new line' : text);

/** Reads the options from the fields; errors name the fields by their labels. */
function optionsOf(values: Readonly<Record<string, string>>): SampleOptions {
  const options: Record<string, number> = { maxNewTokens: MAX_LENGTH };
  for (const [name, label] of NUMBERS) {
    const text = values[name].trim();
    if (text) options[name] = Number(text);
    if (Number.isNaN(options[name])) throw new RangeError(`${label}: expected a number, got “${text}”`);
  }
  if (options.maxNewTokens > MAX_LENGTH) {
    throw new RangeError(`Length: expected at most ${MAX_LENGTH} bytes, got ${options.maxNewTokens}`);
  }
  return options as unknown as SampleOptions;
}

function labelled(message: string): string {
  const [name, label] = NUMBERS.find(([name]) => message.startsWith(`${name}: `)) ?? ['', ''];
  return label + message.slice(name.length);
}

/** The state of the view, kept while other views are shown. */
let kept = {
  chosen: '',
  prompt: 'The ',
  values: Object.fromEntries(NUMBERS.map(([name, , value]) => [name, value])) as Record<string, string>,
  begin: '',
  pieces: [] as readonly GeneratedPiece[],
};

export function GenerateView() {
  const { entries, current } = useRuns();
  const [chosen, setChosen] = useState(kept.chosen);
  const [prompt, setPrompt] = useState(kept.prompt);
  const [values, setValues] = useState(kept.values);
  const [pieces, setPieces] = useState(kept.pieces);
  const [begin, setBegin] = useState(kept.begin);
  const [picked, setPicked] = useState(0);
  const [state, setState] = useState<'idle' | 'writing' | 'written'>('idle');
  const [message, setMessage] = useState('');
  useEffect(() => {
    void refresh();
    return stopGenerating;
  }, []);
  kept = { chosen, prompt, values, begin, pieces };
  const models = entries?.filter(({ hasModel }) => hasModel) ?? [];
  const id = models.find((entry) => entry.id === (chosen || current?.id))?.id ?? models[0]?.id;

  const write = async () => {
    if (!id) return;
    setMessage('');
    setPicked(0);
    setPieces([]);
    setBegin(prompt);
    const got: GeneratedPiece[] = [];
    let due = false;
    const draw = () => {
      due = false;
      setPieces([...got]);
    };
    try {
      const options = optionsOf(values);
      if (prompt === '') throw new Error('Prompt: expected at least one character, got none');
      setState('writing');
      await generate([id, prompt, options], (piece) => {
        got.push(piece);
        if (due) return;
        due = true;
        setTimeout(draw, DRAWN_EVERY_MS);
      });
      draw();
      setState('written');
    } catch (problem) {
      setState('idle');
      setMessage(labelled((problem as Error).message));
    }
  };

  const detail = pieces[picked];
  if (entries && models.length === 0) {
    return (
      <div class="view">
        <h1>Generate</h1>
        <p class="notice">
          There is no model yet. A run has one from its first save on: <a href={addressOf('train')}>train one</a>, or
          upload one under <a href={addressOf('runs')}>Runs</a>.
        </p>
      </div>
    );
  }
  return (
    <div class="view">
      <h1>Generate</h1>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void write();
        }}
      >
        <div class="field">
          <label for="model">Model</label>
          <select id="model" value={id} onChange={(event) => setChosen(event.currentTarget.value)}>
            {models.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="prompt">Prompt</label>
          <textarea id="prompt" rows={2} value={prompt} onInput={(event) => setPrompt(event.currentTarget.value)} />
        </div>
        <div class="fields">
          {NUMBERS.map(([name, label, , help]) => (
            <div class="field" key={name}>
              <label for={name}>{label}</label>
              <input
                id={name}
                inputMode="decimal"
                value={values[name]}
                aria-describedby={`${name}-help`}
                onInput={(event) => setValues({ ...values, [name]: event.currentTarget.value })}
              />
              <span class="help" id={`${name}-help`}>
                {help}
              </span>
            </div>
          ))}
        </div>
        <div class="row">
          <button type="submit" class="primary" disabled={!id || state === 'writing'}>
            Write
          </button>
          <button type="button" disabled={state !== 'writing'} onClick={stopGenerating}>
            Stop
          </button>
        </div>
      </form>
      {message && (
        <p class="notice danger" role="alert">
          {message}
        </p>
      )}
      <p role="status" class="visually-hidden" id="written">
        {state === 'writing' ? 'Writing' : state === 'written' ? 'Written' : ''}
      </p>
      {pieces.length > 0 && (
        <section class="card" aria-label="Text">
          <pre class="sample" id="output">
            <b>{begin}</b>
            {pieces.map(({ text, probability }, i) => (
              // biome-ignore lint/a11y/noStaticElementInteractions: the slider below does the same from the keyboard
              <span
                key={i}
                class={i === picked ? 'token picked' : 'token'}
                title={percent(probability)}
                onMouseEnter={() => setPicked(i)}
              >
                {text}
              </span>
            ))}
          </pre>
          <div class="field">
            <label for="token">Token to look at</label>
            <input
              id="token"
              type="range"
              min={0}
              max={pieces.length - 1}
              value={picked}
              onInput={(event) => setPicked(Number(event.currentTarget.value))}
            />
          </div>
          {detail && (
            <>
              <p class="small">
                Token {picked + 1}: “{shown(detail.text)}” had {percent(detail.probability)}. The likeliest there:
              </p>
              <Table
                label="The likeliest tokens there"
                columns={[{ title: 'Token' }, { title: 'Probability', number: true }]}
                rows={detail.likeliest.map(({ text, probability }, i) => ({
                  key: i,
                  chosen: text === detail.text,
                  cells: [<code key="token">{shown(text)}</code>, percent(probability)],
                }))}
              />
            </>
          )}
        </section>
      )}
    </div>
  );
}
