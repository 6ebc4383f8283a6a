/** `octavo <command>`: wires up the commands, and turns every error into one line and an exit code. */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { FileError } from '../interop/errors.js';
import { TrainingError } from '../train/index.js';
import { diffCommand } from './diff.js';
import { evalCommand } from './eval.js';
import { inFlags, withDashes } from './flag-names.js';
import { generateCommand } from './generate.js';
import { inspectCommand } from './inspect.js';
import { serveCommand } from './serve.js';
import { studyCommand } from './study.js';
import { trainCommand } from './train.js';
import { verifyCommand } from './verify.js';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** Exit code 1 for a failed run, 2 for errors that the caller can fix. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof TrainingError) return 1;
  const refused = error instanceof RangeError || error instanceof TypeError || error instanceof FileError;
  const fromSystem = error instanceof Error && 'syscall' in error;
  return refused || fromSystem ? 2 : 1;
}

/** Creates every command with the shared settings: errors are thrown, help is complete. */
function program(): Command {
  const octavo = new Command('octavo')
    .description('FP8 numerics and transformer training, the same bits everywhere')
    .version(version, '--version')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'octavo: ')) })
    .showSuggestionAfterError();
  const commands = [
    trainCommand,
    generateCommand,
    evalCommand,
    inspectCommand,
    diffCommand,
    verifyCommand,
    studyCommand,
    serveCommand,
  ];
  for (const make of commands) {
    const command = make();
    command.copyInheritedSettings(octavo);
    octavo.addCommand(command);
  }
  return octavo;
}

/** Runs a command line, given without the program's name; sets `process.exitCode`. */
export async function octavo(args: readonly string[]): Promise<void> {
  const all = program();
  const name = args.find((word) => !word.startsWith('-'));
  const options = all.commands.find((command) => command.name() === name)?.options ?? [];
  try {
    await all.parseAsync(withDashes(args, options), { from: 'user' });
  } catch (error) {
    const code = exitCodeOf(error);
    process.exitCode = code;
    // Commander has already printed the error.
    if (error instanceof CommanderError) return;
    process.stderr.write(`octavo: ${error instanceof Error ? inFlags(error, options) : String(error)}\n`);
    if (code === 1 && !(error instanceof TrainingError) && error instanceof Error) {
      process.stderr.write(`${error.stack}\n`);
    }
  }
}
