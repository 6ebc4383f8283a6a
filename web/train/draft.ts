/** The form's state, kept because views come and go, and because the next run may start from the settings of a previous one. */
import type { RunEntry } from '../run/record.js';
import { TEXTS } from '../run/texts.js';
import { type Values, valuesFrom, valuesOf } from './form.js';
import { PRESETS } from './presets.js';
import { bundled, type Source, textOfRun } from './source.js';

export interface Draft {
  readonly values: Values;
  /** The id of a bundled text, `pasted` or `own`. */
  readonly textId: string;
  readonly pasted: string;
  /** A text from files or an earlier run. */
  readonly own?: Source;
}

export const DEFAULTS = PRESETS[0].values;
const FIRST_TEXT = TEXTS[0].id;

let draft: Draft = { values: DEFAULTS, textId: FIRST_TEXT, pasted: '' };

/** The draft as it was left, or as given by a link. */
export function draftOf(query: URLSearchParams): Draft {
  const id = query.get('text') ?? FIRST_TEXT;
  if (query.size > 0) return { ...draft, values: valuesFrom(query, DEFAULTS), textId: bundled(id) ? id : FIRST_TEXT };
  return draft;
}

export function keep(changed: Draft): void {
  draft = changed;
}

/** Makes the next run start from the settings and the text of this one. */
export async function keepRun(entry: RunEntry): Promise<void> {
  if (!entry.settings) return;
  const text = await textOfRun(entry);
  const values = { ...DEFAULTS, ...valuesOf(entry.settings) };
  keep(typeof text === 'string' ? { ...draft, values, textId: text } : { ...draft, values, textId: 'own', own: text });
}
