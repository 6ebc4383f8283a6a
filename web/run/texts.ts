/** Texts to train on: those bundled with the page, and the user's own. */
import { type BundledText, TEXTS } from 'virtual:texts';

export { TEXTS };

export async function fetchText({ url, title }: BundledText): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${title} could not be loaded (HTTP status ${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}
