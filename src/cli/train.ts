/** `octavo train`: trains with progress on the terminal, and writes report.html at the end. */
import { join } from 'node:path';
import { Command } from 'commander';
import { openDirectory, type Store } from '../engine/store.js';
import type { Engine } from '../ops/engine.js';
import { savedSettings } from '../train/checkpoint.js';
import type { DoneLine, MetricsLine, Summary } from '../train/events.js';
import type { AnomalyPolicy } from '../train/guard.js';
import { RECIPES, type TrainOptions, train, trainSettings } from '../train/index.js';
import { readLog } from '../train/log.js';
import { runIntervals, type TrainSettingsInput } from '../train/options.js';
import { REPORT_FILE } from '../train/output.js';
import { INTERVALS, POLICY, type Rule, SETTINGS, SIZES, type Words } from '../train/settings.js';
import { FLAG_OF, LOOKS, MODEL, NUMBERS } from './flag-names.js';
import {
  commandLine,
  type EngineFlags,
  engineOptions,
  number,
  openEngine,
  printJson,
  readText,
  some,
} from './options.js';
import { createProgress } from './progress.js';
import { renderReport } from './report.js';
import { stopOnSignals } from './signals.js';

/** Flags that take a number have their names, types and meanings in the tables of flag-names.ts. */
interface TrainFlags extends EngineFlags {
  data: string;
  outDir: string;
  resume?: boolean;
  json?: boolean;
  recipe?: string;
  tie?: boolean;
  prompt?: string;
  onAnomaly?: AnomalyPolicy;
}

/** The default model: about 1.3 million parameters over bytes. */
const DEFAULT_MODEL = { vocabSize: 256, hiddenSize: 160, layers: 4, heads: 5, tieWordEmbeddings: true } as const;

export function trainCommand(): Command {
  const command = new Command('train')
    .description('train a Llama-style transformer on the bytes of a text file')
    .requiredOption('--data <file>', 'text to train on', some)
    .option('--out-dir <dir>', 'where the model, checkpoints, log and report go', some, 'runs/train')
    .option('--resume', 'continue the run in the output directory, bit for bit')
    .option('--recipe <name>', `one of ${Object.keys(RECIPES).join(', ')} (default: fp8)`);
  numberOptions(command, NUMBERS, SETTINGS);
  numberOptions(command, MODEL, SIZES, DEFAULT_MODEL);
  command
    .option('--no-tie', 'give the head a matrix of its own')
    .option('--on-anomaly <policy>', `${POLICY.about} (default: ${POLICY.fallback})`);
  numberOptions(command, LOOKS, INTERVALS);
  command
    .option('--prompt <text>', 'what samples begin with', some)
    .option('--json', 'print one JSON line for each event instead of progress')
    .action(run);
  return engineOptions(command);
}

/** Adds the flags of a table with their descriptions; `defaults` are this command's own. */
function numberOptions<Name extends string>(
  command: Command,
  flags: Readonly<Partial<Record<Name, string>>>,
  table: Readonly<Record<Name, Words & Partial<Rule>>>,
  defaults?: Readonly<Partial<Record<Name, unknown>>>,
): void {
  for (const [name, flag] of Object.entries(flags) as [Name, string][]) {
    const { about, otherwise, fallback, integer } = table[name];
    const unless = defaults?.[name] ?? otherwise ?? fallback;
    command.option(`${flag} <${integer ? 'n' : 'x'}>`, `${about} (default: ${unless})`, number);
  }
}

async function run(flags: TrainFlags): Promise<void> {
  const data = await readText(flags.data);
  const store = await openDirectory(flags.outDir);
  const engine = await openEngine(flags);
  const stop = stopOnSignals('Stopping after this step; once more to stop at once.');
  try {
    const input = await settingsFrom(flags, engine, store);
    const settings = trainSettings(input, FLAG_OF);
    const intervals = runIntervals(given(flags, LOOKS), FLAG_OF);
    const options: TrainOptions = {
      ...input,
      ...intervals,
      data,
      engine,
      outDir: store,
      resume: flags.resume,
      signal: stop.signal,
      samplePrompt: flags.prompt,
    };
    const last = await follow(train(options), settings.steps, flags);
    if (last?.type === 'done') await finish(last, flags, engine, store);
    else if (!flags.json) {
      process.stdout.write(
        `Stopped at step ${last?.step ?? 0} of ${settings.steps}; the state is in ${flags.outDir}.\n`,
      );
      process.stdout.write(`Resume with: ${commandToResume(flags)}\n`);
    }
    if (stop.signal.aborted && last?.type !== 'done') process.exitCode = 130;
  } finally {
    stop.restore();
    engine.dispose();
  }
}

/** The command that resumes the run. The saved state contains the settings, but not how the run is observed or on what it is computed. */
function commandToResume(flags: TrainFlags): string {
  const { stopAt: _, ...looks } = given(flags, LOOKS);
  const repeated = Object.entries(looks).map(([name, value]) => [LOOKS[name as keyof typeof LOOKS].slice(2), value]);
  const { data, outDir, prompt, threads, build, turbo } = flags;
  return commandLine(['train'], {
    resume: true,
    data,
    'out-dir': outDir,
    ...Object.fromEntries(repeated),
    prompt,
    threads,
    build: build === 'auto' ? undefined : build,
    turbo,
  });
}

/** The values given by the flags of one table, by setting. */
function given(flags: TrainFlags, table: Readonly<Record<string, string>>): Record<string, number> {
  const values = flags as unknown as Readonly<Record<string, number | undefined>>;
  const camel = (flag: string) => flag.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  const entries = Object.entries(table).map(([setting, flag]) => [setting, values[camel(flag)]] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, number] => entry[1] !== undefined));
}

/** Turns the flags into settings. A resumed run takes settings that no flag names from its own state; those that a flag names must agree with it. */
async function settingsFrom(flags: TrainFlags, engine: Engine, store: Store): Promise<TrainSettingsInput> {
  const saved = flags.resume ? await savedSettings(store, { engine }) : undefined;
  // The head size is derived from two flags.
  const { headDim: _, ...model } = saved?.config ?? { ...DEFAULT_MODEL, headDim: undefined };
  const untied = flags.tie === false ? { tieWordEmbeddings: false } : {};
  return {
    ...saved,
    ...given(flags, NUMBERS),
    ...(flags.recipe !== undefined && { recipe: flags.recipe }),
    onAnomaly: flags.onAnomaly ?? saved?.onAnomaly,
    config: { ...model, ...given(flags, MODEL), ...untied },
  };
}

/** Displays the events as they come; returns the last one that ends a run. */
async function follow(
  events: AsyncGenerator<MetricsLine, void>,
  totalSteps: number,
  { json }: TrainFlags,
): Promise<MetricsLine | undefined> {
  let last: MetricsLine | undefined;
  let progress: ReturnType<typeof createProgress> | undefined;
  try {
    for await (const event of events) {
      last = event;
      if (json) {
        printJson(event);
        continue;
      }
      const startStep = event.type === 'step' ? event.step - 1 : 0;
      progress ??= createProgress({ stream: process.stderr, totalSteps, startStep });
      show(event, progress);
    }
  } finally {
    progress?.stop();
  }
  return last;
}

function show(event: MetricsLine, progress: ReturnType<typeof createProgress>): void {
  if (event.type === 'step') progress.step(event);
  if (event.type === 'eval') {
    const bits = event.val_bits_per_byte.toFixed(4);
    progress.note(`step ${event.step}: validation loss ${event.val_loss.toFixed(4)}, ${bits} bits per byte`);
  }
  if (event.type === 'anomaly' && event.action !== 'stop') {
    progress.note(`${event.what}; ${event.action}: on from step ${event.next}`);
  }
  if (event.type === 'sample') progress.note(`step ${event.step}: ${JSON.stringify(event.prompt + event.text)}`);
}

/** Prints the outcome of the run and writes the report. */
async function finish(done: DoneLine, flags: TrainFlags, engine: Engine, store: Store): Promise<void> {
  const { type: _, step: __, ...summary } = done;
  const metrics = await readLog(store);
  const config = (await savedSettings(store, { engine })) ?? {};
  if (!flags.json) say(summary, metrics, flags);
  await store.write(REPORT_FILE, renderReport({ config, summary, metrics }));
  if (!flags.json) process.stdout.write(`Report: ${join(flags.outDir, REPORT_FILE)}\n`);
}

function say(summary: Summary, metrics: readonly MetricsLine[], flags: TrainFlags): void {
  const sample = metrics.findLast((line) => line.type === 'sample');
  const lines = [
    '',
    `Validation loss ${summary.val_loss.toFixed(4)} nats a byte, ${summary.val_bits_per_byte.toFixed(4)} bits per byte`,
    `${summary.parameters} parameters, ${summary.tokens} tokens in ${summary.steps} steps, ${Math.round(summary.tokens_per_second)} tokens/s`,
    `${summary.state_bytes_per_parameter.toFixed(3)} bytes of optimizer state a parameter, digest ${summary.digest}`,
    '',
    `Sample: ${sample ? JSON.stringify(sample.prompt + sample.text) : 'none'}`,
    '',
    `Files:  ${flags.outDir} (model.safetensors, training_state.safetensors, metrics.jsonl, summary.json)`,
    `Next:   ${commandLine(['generate'], { model: flags.outDir, prompt: 'Call me' })}`,
    '',
  ];
  process.stdout.write(lines.join('\n'));
}
