/** Helpers for checks: options without unknown names, values described for messages, equal bytes. */

/** A value as it should appear in an error message. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object';
  return String(value);
}

/** Throws TypeError unless the value is an object: for options and other records that a caller may have left out. */
export function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`${name}: expected an object, got ${describe(value)}`);
  }
}

/** The names of an options type; the compiler rejects the record if one is missing. */
export const namesOf = <T>(options: Readonly<Record<keyof T, true>>): readonly string[] => Object.keys(options);

/** Refuses options with any other name: a misspelt option would otherwise be ignored silently. */
export function checkOptions(options: unknown, names: readonly string[]): void {
  checkObject('options', options);
  const unknown = Object.keys(options as object).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new TypeError(`options.${unknown}: expected one of the options ${names.join(', ')}`);
}

/** Whether two arrays hold the same bytes. A loop, because `every` calls a function for each byte of files that can be large. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Whether a value is a Uint8Array, also a Buffer or one of another realm (an iframe, a vm context), which instanceof would deny. */
export const isUint8Array = (value: unknown): value is Uint8Array =>
  (value as { [Symbol.toStringTag]?: unknown } | null | undefined)?.[Symbol.toStringTag] === 'Uint8Array';
