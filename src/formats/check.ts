/** What every function that checks its arguments needs: options without unknown names, and values in words. */

/** A value as it should appear in an error message. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object';
  return String(value);
}

/** For options and other records that a caller may have left out. */
export function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`${name}: expected an object, got ${describe(value)}`);
  }
}

/** The names of a record of options, none forgotten. */
export const namesOf = <T>(options: Readonly<Record<keyof T, true>>): readonly string[] => Object.keys(options);

/** Options with these names and no others: one that is misspelt would do nothing, without a word. */
export function checkOptions(options: unknown, names: readonly string[]): void {
  checkObject('options', options);
  const unknown = Object.keys(options as object).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new TypeError(`options.${unknown}: expected one of the options ${names.join(', ')}`);
}
