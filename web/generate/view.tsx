/** Generate: text from a trained model as it is drawn, with the chances of each token. */
import { useEffect, useState } from 'preact/hooks';
import { desk, stopDesk } from '../run/desk.js';
import { refresh, useRuns } from '../run/runs.js';
import type { GeneratedPiece } from '../worker/protocol.js';

const NUMBERS = [
  ['maxNewTokens', 'Length', '300', 'bytes to write'],
  ['temperature', 'Temperature', '0.8', '0 always takes the likeliest'],
  ['topK', 'Top k', '', 'only so many likeliest; empty for all'],
  ['topP', 'Top p', '', 'only the likeliest up to this share; empty for all'],
  ['seed', 'Seed', '1337', 'the same seed gives the same text everywhere'],
] as const;

const percent = (share: number) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const shown = (text: string) => (text === ' ' ? 'space' : text === '\n' ? 'new line' : text);

export function GenerateView() {
  const { entries, current } = useRuns();
  const [chosen, setChosen] = useState('');
  const [prompt, setPrompt] = useState('The ');
  const [values, setValues] = useState<Record<string, string>>(() =>
    Object.fromEntries(NUMBERS.map(([name, , value]) => [name, value])),
  );
  const [pieces, setPieces] = useState<readonly GeneratedPiece[]>([]);
  const [begin, setBegin] = useState('');
  const [picked, setPicked] = useState<number>();
  const [state, setState] = useState<'idle' | 'writing' | 'written'>('idle');
  const [message, setMessage] = useState('');
  useEffect(() => void refresh(), []);
  const models = entries?.filter(({ hasModel }) => hasModel) ?? [];
  const id = models.find((entry) => entry.id === (chosen || current?.id))?.id ?? models[0]?.id;

  const write = async () => {
    if (!id) return;
    setMessage('');
    setState('writing');
    setPicked(undefined);
    setPieces([]);
    setBegin(prompt);
    const got: GeneratedPiece[] = [];
    let due = false;
    const draw = () => {
      due = false;
      setPieces([...got]);
    };
    const numbers = Object.entries(values).filter(([, value]) => value.trim() !== '');
    const options = Object.fromEntries(numbers.map(([name, value]) => [name, Number(value)]));
    try {
      if (prompt === '') throw new Error('Prompt: expected at least one character, got none');
      await desk('generate', [id, prompt, { maxNewTokens: 300, ...options }], (piece) => {
        got.push(piece);
        if (due) return;
        due = true;
        requestAnimationFrame(draw);
      });
      draw();
      setState('written');
    } catch (problem) {
      setState('idle');
      setMessage((problem as Error).message);
    }
  };

  const detail = picked === undefined ? undefined : pieces[picked];
  return (
    <div class="view">
      <h1>Generate</h1>
      {entries && models.length === 0 && (
        <p class="notice">No model yet: train one until its first pause or its end, or upload one under Runs.</p>
      )}
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
          <button type="button" disabled={state !== 'writing'} onClick={() => stopDesk('Stopped.')}>
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
              <span key={i} class="token" title={percent(probability)} onMouseEnter={() => setPicked(i)}>
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
              value={picked ?? 0}
              onInput={(event) => setPicked(Number(event.currentTarget.value))}
            />
          </div>
          {detail && (
            <table>
              <caption class="small muted">
                Token {picked! + 1}: “{shown(detail.text)}” had {percent(detail.probability)}
              </caption>
              <thead>
                <tr>
                  <th scope="col">Likeliest there</th>
                  <th scope="col">Probability</th>
                </tr>
              </thead>
              <tbody>
                {detail.likeliest.map(({ text, probability }, i) => (
                  <tr key={i}>
                    <td class="mono">{shown(text)}</td>
                    <td>{percent(probability)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </section>
      )}
    </div>
  );
}
