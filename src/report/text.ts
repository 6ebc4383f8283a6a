/** Converts text to HTML: escaping, and numbers in readable form. */

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Escapes text for element content and quoted attributes. Control characters, which HTML forbids, become U+FFFD. */
export function escapeHtml(text: string): string {
  return (
    text
      .replace(/[&<>"']/g, (char) => ENTITIES[char])
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a young model's sample may hold any byte
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '\ufffd')
  );
}

/** JSON for a script element: without `<`, no `</script` or `<!--` can end or hide it. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

/** Escapes our own source text for a script element; in JavaScript strings and regular expressions `<\/` equals `</`. */
export function scriptSource(code: string): string {
  return code.replace(/<\/(?=script)/gi, '<\\/').replaceAll('<!--', '<\\!--');
}

/** `1234567` -> `1,234,567`. */
export function count(value: number | null | undefined): string {
  return typeof value !== 'number' ? '–' : value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

/** `1234567` -> `1.23M`. */
export function compact(value: number): string {
  return value.toLocaleString('en-US', { notation: 'compact', maximumSignificantDigits: 3 });
}

export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${seconds < 10 ? seconds.toFixed(1) : s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${count(Math.floor(s / 3600))} h ${Math.floor((s % 3600) / 60)} min`;
}

/**
 * Formatters that the page uses too: each is embedded as source text, so each must be self-contained. All accept null, for a value that is
 * missing or not finite.
 */
export const formatters = {
  loss: (x: number | null): string => (x === null ? 'n/a' : x.toFixed(4)),
  rate: (x: number | null): string => (x === null ? 'n/a' : x === 0 ? '0' : x.toExponential(2).replace('-', '−')),
  /** An axis tick, where all values may be small. */
  tick: (x: number): string =>
    x !== 0 && Math.abs(x) < 0.01 ? x.toExponential().replace('-', '−') : String(Number(x.toPrecision(6))),
  plain: (x: number | null): string =>
    x === null ? 'n/a' : Math.abs(x) >= 1000 ? Math.round(x).toLocaleString('en-US') : String(Number(x.toPrecision(3))),
  /** A fraction in per cent, with enough digits to tell "none" from "a few". */
  percent: (x: number | null): string => {
    if (x === null) return 'n/a';
    if (x === 0) return '0 %';
    const p = 100 * x;
    return p < 0.001 ? '<0.001 %' : `${p < 0.1 ? p.toFixed(3) : p < 10 ? p.toFixed(2) : p.toFixed(1)} %`;
  },
  percentTick: (x: number): string => `${Number((100 * x).toPrecision(3))} %`,
  /** A magnitude: three significant digits, with powers of ten outside the readable range. */
  magnitude: (x: number | null): string => {
    if (x === null || x === 0) return x === null ? 'n/a' : '0';
    if (x < 0.001 || x >= 100_000) return x.toExponential(2).replace('-', '−');
    return x < 1000 ? x.toPrecision(3) : Math.round(x).toLocaleString('en-US');
  },
  /** 2 to the power n, for integer n. */
  powerOfTwo: (n: number): string =>
    `2${[...String(n)].map((digit) => ('0123456789'.includes(digit) ? '⁰¹²³⁴⁵⁶⁷⁸⁹'['0123456789'.indexOf(digit)] : '⁻')).join('')}`,
};

export type Formatters = typeof formatters;
