/** The text of a run: chosen, pasted, or from files. */
import { useRef } from 'preact/hooks';
import { TEXTS } from '../run/texts.js';
import { Choice } from '../ui/choice.js';
import { count, size } from '../ui/words.js';
import type { Draft } from './draft.js';

interface Props {
  readonly draft: Draft;
  readonly onDraft: (draft: Draft) => void;
  readonly onFiles: (files: File[]) => void;
}

export function TextCard({ draft, onDraft, onFiles }: Props) {
  const picker = useRef<HTMLInputElement>(null);
  const { textId, pasted, own } = draft;
  const choose = (textId: string) => onDraft({ ...draft, textId });
  const choices = [
    ...TEXTS.map(({ id, title, about, bytes }) => ({ id, title, about: `${about}, ${size(bytes)}` })),
    { id: 'pasted', title: 'Pasted text', about: 'anything, some thousand letters or more' },
    ...(own ? [{ id: 'own', title: own.name, about: `your own, ${size(own.bytes)}` }] : []),
  ];
  return (
    <fieldset class="card">
      <legend>Text</legend>
      <div class="choices">
        {choices.map(({ id, title, about }) => (
          <Choice
            key={id}
            name="text"
            value={id}
            title={title}
            about={about}
            chosen={id === textId}
            onChoice={choose}
          />
        ))}
      </div>
      {textId === 'pasted' && (
        <div class="field">
          <label for="pasted">Text to learn from</label>
          <textarea
            id="pasted"
            rows={6}
            value={pasted}
            aria-describedby="pasted-help"
            onInput={(event) => onDraft({ ...draft, pasted: event.currentTarget.value })}
          />
          <span class="help" id="pasted-help">
            {count(new TextEncoder().encode(pasted).length)} bytes
          </span>
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
          onChange={(event) => {
            onFiles([...(event.currentTarget.files ?? [])]);
            // Allows choosing the same file again after it was corrected.
            event.currentTarget.value = '';
          }}
        />
        <button type="button" onClick={() => picker.current?.click()}>
          Choose files …
        </button>
        <span class="muted small">or drop text files anywhere on this page</span>
      </div>
    </fieldset>
  );
}
