/** Replaces a generated part of a document, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. */
export function replaceMarked(path, text, name, part) {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (!(from >= 0 && to > from)) throw new Error(`${path}: expected ${begin} and ${end}, got no such pair`);
  return `${text.slice(0, from + begin.length)}\n\n${part}\n\n${text.slice(to)}`;
}
