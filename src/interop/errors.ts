/**
 * The error for a file or message from outside that does not contain what it should. Its message is one line: the source, what was expected, what
 * was got. The class distinguishes such errors from bugs: the command line prints only the message and exits with code 2.
 */
export class FileError extends Error {
  override readonly name = 'FileError';
}

/** Maximum length in characters of foreign text quoted in a message. */
const QUOTE_LIMIT = 96;

/**
 * Makes foreign text safe to print inside a one-line message: quoted, truncated, and with control, bidirectional, separator and unpaired
 * surrogate characters escaped, so that a file can neither break the line nor control the terminal.
 */
export const quote = (text: string): string =>
  `"${printable(text.length > QUOTE_LIMIT ? `${text.slice(0, QUOTE_LIMIT)}...` : text)}"`;

/** Like `quote`, but neither truncated nor quoted: for tables. */
export function printable(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16).padStart(4, '0')}}`);
}
