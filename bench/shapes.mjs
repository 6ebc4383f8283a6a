/** Reads bench/shapes/*.txt: one product per line, `M N K [nt|nn|tn [name]]`; # begins a comment. */
import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('shapes/', import.meta.url);

export function parseShapes(text, from) {
  return text.split('\n').flatMap((line, number) => {
    const [m, n, k, layout = 'nt', ...name] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (!m) return [];
    const sizes = [m, n, k].map(Number);
    if (!sizes.every((size) => Number.isInteger(size) && size > 0) || !/^(nt|nn|tn)$/.test(layout)) {
      throw new RangeError(`${from}:${number + 1}: expected 'M N K [nt|nn|tn [name]]', got '${line}'`);
    }
    return [{ m: sizes[0], n: sizes[1], k: sizes[2], layout, name: [from, ...name].join(' ') }];
  });
}

export const readShapes = () =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.txt'))
    .sort()
    .flatMap((file) => parseShapes(readFileSync(new URL(file, FOLDER), 'utf8'), file.replace('.txt', '')));
