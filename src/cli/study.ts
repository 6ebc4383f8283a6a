/** `octavo study`: runs an experiment's runs side by side and reports the results. */
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { openDirectory, type Store } from '../engine/store.js';
import { FileError } from '../interop/errors.js';
import { digestOfContent } from '../ops/reduce.js';
import {
  type Experiment,
  MAX_SEEDS,
  type PlannedRun,
  planOf,
  type RunRecord,
  type RunResult,
  resultIn,
  resultsCsv,
  resultsJson,
  resultsOf,
  runRecord,
  type Size,
  sideBySide,
  whole,
} from '../study/index.js';
import { METRICS_FILE, readLog } from '../train/log.js';
import { buildOptions, commandLine, type EngineFlags, number, openEngine, printJson, some } from './options.js';
import { renderStudy } from './report.js';
import { stopOnSignals } from './signals.js';
import { type TextSource, textName, textOf } from './study/corpus.js';
import { placeOf, RESULTS_FILE, RUNS } from './study/folder.js';
import { Jobs } from './study/jobs.js';
import { readExperiment, type Study, shippedStudies, studyOf } from './study/library.js';
import { createStudyProgress, type StudyProgress } from './study/progress.js';
import { summaryMarkdown } from './study/summary.js';

interface StudyFlags extends Omit<EngineFlags, 'threads'> {
  list?: boolean;
  quick?: boolean;
  outDir: string;
  jobs?: number;
  data?: string;
  seeds?: number;
  json?: boolean;
}

/** A run that has ended, with its result. */
interface Ended {
  readonly run: PlannedRun;
  readonly result: RunResult;
  readonly record: RunRecord;
}

const DEFAULT_OUT = 'runs/studies';

export function studyCommand(): Command {
  const command = new Command('study')
    .description('run an experiment: recipes, seeds and settings against each other')
    .argument('[name]', 'a study that comes with Octavo, or a file of your own ending in .json')
    .option('--list', 'list the studies there are, and what each would take')
    .option('--quick', 'the small size: minutes instead of hours')
    .option('--out-dir <dir>', 'where runs are kept and reports go', some, DEFAULT_OUT)
    .option('--jobs <n>', 'runs at once, each on one thread (default: one for each core)', number)
    .option('--data <file>', "text to train on, instead of the study's own", some)
    .option('--seeds <n>', "seeds 1 to n, instead of the study's own", number)
    .option('--json', 'print one JSON line for each event instead of progress')
    .action(study);
  return buildOptions(command);
}

async function study(name: string | undefined, flags: StudyFlags): Promise<void> {
  if (flags.list) return list(flags);
  if (name === undefined) throw new RangeError('study: expected a name or a file, got none; --list has the names');
  const jobs = whole('--jobs', flags.jobs ?? availableParallelism());
  const size: Size = flags.quick ? 'quick' : 'full';
  const chosen = studyOf(name);
  const experiment = withSeeds(await readExperiment(chosen, size), flags.seeds);
  const source: TextSource = { corpus: experiment.corpus, file: flags.data };
  const data = await textOf(source);
  const engine = await openEngine({ threads: 1, build: flags.build, turbo: flags.turbo });
  let plan: PlannedRun[];
  let digest: string;
  try {
    plan = planOf(engine, experiment, data);
    digest = digestOfContent(engine, data);
  } finally {
    engine.dispose();
  }
  const store = await openDirectory(flags.outDir);
  const unlock = await store.lock();
  try {
    const { folder, file } = await placeOf(chosen, size, flags.outDir);
    const ended = await runAll(experiment, plan, source, jobs, flags);
    if (!ended) {
      if (!flags.json) process.stdout.write(`Stopped. Go on with: ${commandOf(name, flags)}\n`);
      process.exitCode = 130;
      return;
    }
    const about = {
      study: chosen.name,
      file,
      size,
      text: { name: textName(source), bytes: data.length, digest },
      experiment,
    };
    const results = resultsOf(
      about,
      ended.map(({ record }) => record),
    );
    const circumstances = {
      command: commandOf(name, flags),
      machine: `${cpus()[0]?.model ?? 'an unknown processor'}, ${cpus().length} cores, Node ${process.versions.node}`,
      seconds: ended.reduce((sum, { result }) => sum + result.seconds, 0),
      jobs,
    };
    await writeAll(folder, {
      [RESULTS_FILE]: resultsJson(results),
      'results.csv': resultsCsv(results),
      'report.html': renderStudy(results),
      [`${chosen.name}.md`]: summaryMarkdown(results, circumstances),
    });
    if (flags.json) printJson({ type: 'done', report: `${folder.path}/report.html`, cells: results.cells });
    else
      process.stdout.write(
        `Report: ${folder.path}/report.html (${RESULTS_FILE}, results.csv, ${chosen.name}.md beside it)\n`,
      );
  } finally {
    await unlock();
  }
}

/** Runs everything and returns each run's result; undefined if a signal came before the last one ended. */
async function runAll(
  experiment: Experiment,
  plan: readonly PlannedRun[],
  source: TextSource,
  width: number,
  flags: StudyFlags,
): Promise<Ended[] | undefined> {
  const stop = stopOnSignals('Stopping after the steps under way; once more to stop at once.');
  const jobs = new Jobs({ type: 'open', source, build: flags.build, turbo: flags.turbo }, stop.signal);
  const lanes = Math.min(width, plan.length);
  const progress = createStudyProgress({ stream: process.stderr, json: flags.json, runs: plan, lanes });
  try {
    const known = new Map<string, Ended>();
    for (const run of plan) {
      const directory = await directoryOf(run, flags);
      const result = await resultIn(directory);
      if (result) known.set(run.digest, await endOf(experiment, run, result, directory, progress, 'cached'));
    }
    const open = plan.filter(({ digest }) => !known.has(digest));
    await sideBySide(open, width, stop.signal, async (run, lane) => {
      progress.begin(lane, run);
      const directory = await directoryOf(run, flags);
      const result = await jobs.run(lane, run, directory.path, (line) => progress.line(lane, run, line));
      if (!result) return progress.end(run, 'interrupted', undefined, lane);
      known.set(run.digest, await endOf(experiment, run, result, directory, progress, result.ended, lane));
    });
    const ended = plan.map(({ digest }) => known.get(digest)).filter((end) => end !== undefined);
    return ended.length === plan.length ? ended : undefined;
  } finally {
    progress.stop();
    jobs.dispose();
    stop.restore();
  }
}

const directoryOf = ({ digest }: PlannedRun, { outDir }: StudyFlags): Promise<Store> =>
  openDirectory(join(outDir, RUNS, digest));

async function endOf(
  experiment: Experiment,
  run: PlannedRun,
  result: RunResult,
  directory: Store,
  progress: StudyProgress,
  state: 'cached' | RunResult['ended'],
  lane?: number,
): Promise<Ended> {
  const lines = await readLog(directory);
  const last = lines.at(-1)?.type;
  if (last !== (result.ended === 'finished' ? 'done' : 'anomaly')) {
    throw new FileError(
      `${directory.path}/${METRICS_FILE}: expected the log of a run that ended, got one that breaks off; remove the directory to run it again`,
    );
  }
  const loss = lines.findLast((line) => line.type === 'eval')?.val_loss;
  progress.end(run, state, loss, lane);
  return { run, result, record: runRecord(experiment, run, lines) };
}

async function writeAll(folder: Store, files: Readonly<Record<string, string>>): Promise<void> {
  const unlock = await folder.lock();
  try {
    for (const [name, content] of Object.entries(files)) await folder.write(name, content);
  } finally {
    await unlock();
  }
}

function withSeeds(experiment: Experiment, seeds: number | undefined): Experiment {
  return seeds === undefined ? experiment : { ...experiment, seeds: whole('--seeds', seeds, MAX_SEEDS) };
}

/** The command that reproduces the results, without flags that do not affect them. */
function commandOf(name: string, { quick, data, seeds, outDir }: StudyFlags): string {
  return commandLine(['study', name], { quick, data, seeds, 'out-dir': outDir === DEFAULT_OUT ? undefined : outDir });
}

async function list({ json }: StudyFlags): Promise<void> {
  for (const shipped of shippedStudies()) {
    const sizes = await Promise.all((['full', 'quick'] as const).map((size) => costOf(shipped, size)));
    const { title, question } = await readExperiment(shipped, 'full');
    if (json) printJson({ name: shipped.name, title, question, full: sizes[0], quick: sizes[1] });
    else {
      const [full, quick] = sizes.map(({ runs, tokens }) => `${runs} runs, ${(tokens / 1e6).toFixed(1)} M tokens`);
      process.stdout.write(`${shipped.name}: ${title}\n  ${question}\n  full: ${full}; --quick: ${quick}\n`);
    }
  }
}

async function costOf(shipped: Study, size: Size): Promise<{ runs: number; tokens: number }> {
  const { axes, seeds, tokens } = await readExperiment(shipped, size);
  const runs = Object.values(axes).reduce((product, values) => product * values.length, seeds);
  return { runs, tokens: runs * tokens };
}
