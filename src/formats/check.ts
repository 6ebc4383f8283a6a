/** Helpers for checking arguments: options without unknown names, and values described for messages. */

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
