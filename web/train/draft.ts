/** The form as it was left: views come and go, and a run has settings that the next one may start from. */
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
  /** From files or from an earlier run. */
  readonly own?: Source;
}

export const DEFAULTS = PRESETS[0].values;
const FIRST_TEXT = TEXTS[0].id;

let draft: Draft = { values: DEFAULTS, textId: FIRST_TEXT, pasted: '' };

/** As it was left, or as a link has it. */
export function draftOf(query: URLSearchParams): Draft {
  const id = query.get('text') ?? FIRST_TEXT;
  if (query.size > 0) return { ...draft, values: valuesFrom(query, DEFAULTS), textId: bundled(id) ? id : FIRST_TEXT };
  return draft;
}

export function keep(changed: Draft): void {
  draft = changed;
}

/** The next run begins with the settings and the text of this one. */
export async function keepRun(entry: RunEntry): Promise<void> {
  if (!entry.settings) return;
  const text = await textOfRun(entry);
  const values = { ...DEFAULTS, ...valuesOf(entry.settings) };
  keep(typeof text === 'string' ? { ...draft, values, textId: text } : { ...draft, values, textId: 'own', own: text });
}
