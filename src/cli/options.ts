/** Flags shared by several commands, and parsers for their values. */
import { setFlagsFromString } from 'node:v8';
import { type Command, InvalidArgumentError } from 'commander';
import { detectFeatures } from '../engine/features.js';
import type { Build } from '../engine/load.js';
import { readWhole } from '../engine/store.js';
import { Engine } from '../ops/engine.js';

/** Quotes a word for a shell if necessary. */
function quoted(word: string | number): string {
  const text = String(word);
  if (/^[\w./:@%+=,-]+$/.test(text)) return text;
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", "'\\''")}'` : `"${text}"`;
}

/** Formats a command line for the reader to repeat: words and flags, omitting flags that are undefined or false. */
export function commandLine(
  words: readonly string[],
  flags: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const given = Object.entries(flags).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? `--${name}` : `--${name} ${quoted(value)}`;
  });
  return ['npx octavo', ...words.map(quoted), ...given].join(' ');
}

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError(`expected a number, got '${text}'.`);
  return value;
}

/** A path or text. An empty one is most likely an unset shell variable. */
export function some(text: string): string {
  if (text === '') throw new InvalidArgumentError('expected at least one character, got none.');
  return text;
}

export interface EngineFlags {
  threads?: number;
  build: string;
  turbo?: boolean;
}

export const engineOptions = (command: Command): Command =>
  buildOptions(
    command.option('--threads <n>', 'threads in all; 1 starts no workers (default: one for each core)', number),
  );

export const buildOptions = (command: Command): Command =>
  command
    .option('--build <name>', "kernels: 'simd', 'relaxed' or 'auto'; the results have the same bits", 'auto')
    .option('--turbo', '256-bit vectors in Node 24 and newer, relaxed SIMD in Node 20; the results have the same bits');

/**
 * Opens an engine for a command. Requesting 'relaxed' turns on the V8 flag that Node 20 still needs for it, which is fine because the process is
 * ours.
 */
export async function openEngine({ threads, build, turbo }: EngineFlags): Promise<Engine> {
  if (build === 'relaxed' && !detectFeatures().relaxedSimd) setFlagsFromString('--experimental-wasm-relaxed-simd');
  const engine = await Engine.create({ threads, build: build as Build | 'auto', turbo });
  if (engine.info.turboRefusal) process.stderr.write(`turbo is off: ${engine.info.turboRefusal}\n`);
  return engine;
}

/** Reads a text file's bytes; errors name the path. */
export async function readText(path: string): Promise<Uint8Array> {
  let content: Uint8Array;
  try {
    content = await readWhole(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new RangeError(`--data: expected a readable text file, got ${path} (${code ?? message})`);
  }
  if (content.length === 0)
    throw new RangeError(`--data: expected a text file with bytes in it, got ${path}, which is empty`);
  return content;
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
