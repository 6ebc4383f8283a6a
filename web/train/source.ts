/** Where the text of a run comes from: bundled with the page, pasted, from files, or from an earlier run. */
import { desk } from '../run/desk.js';
import type { RunEntry } from '../run/record.js';
import { fetchText, TEXTS } from '../run/texts.js';

export interface Source {
  readonly name: string;
  readonly bytes: number;
  /** Called when the run starts. */
  read(): Promise<Uint8Array>;
}

export function bundled(id: string): Source | undefined {
  const text = TEXTS.find((each) => each.id === id);
  return text && { name: text.title, bytes: text.bytes, read: () => fetchText(text) };
}

export function pastedText(text: string): Source {
  const content = new TextEncoder().encode(text);
  return { name: 'Pasted text', bytes: content.length, read: async () => content };
}

export async function filesOf(files: File[]): Promise<Source> {
  const content = await desk('readText', [files]);
  const name = files.length === 1 ? files[0].name : `${files.length} files`;
  return { name, bytes: content.length, read: async () => content };
}

/** The text of a run: the id of a bundled one, or its own. */
export async function textOfRun({ id, text }: RunEntry): Promise<string | Source> {
  const known = TEXTS.find(({ title }) => title === text);
  if (known) return known.id;
  const content = await desk('text', [id]);
  return { name: text, bytes: content.length, read: async () => content };
}
