/**
 * A file (or message) from outside that does not hold what it should. One line: what it is, what was expected, what was got.
 * Callers tell it from a bug by its class: the command line prints the message alone and exits with code 2.
 */
export class FileError extends Error {
  override readonly name = 'FileError';
}

/** Longest piece of a foreign file that a message repeats, in characters. */
const QUOTE_LIMIT = 96;

/**
 * Foreign text made safe to print inside a one-line message: quoted, cut, and with control, bidirectional, separator and
 * unpaired surrogate characters escaped, so that a file can neither break the line nor drive the terminal.
 */
export const quote = (text: string): string =>
  `"${printable(text.length > QUOTE_LIMIT ? `${text.slice(0, QUOTE_LIMIT)}...` : text)}"`;

/** The same whole, and without the quotes: for tables. */
export function printable(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16).padStart(4, '0')}}`);
}
