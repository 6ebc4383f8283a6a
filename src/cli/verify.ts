/** `octavo verify`: checks the kernels against the definition of the formats. */
import cliProgress from 'cli-progress';
import { Command } from 'commander';
import { detectFeatures, runtimeName } from '../engine/features.js';
import { CHUNKS, exhaustive, type Finding, QUICK_CHECKS, quick, ROWS } from '../verify/index.js';
import { type EngineFlags, engineOptions, openEngine, printJson } from './options.js';

interface VerifyFlags extends EngineFlags {
  exhaustive?: boolean;
  json?: boolean;
}

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('check encoding from float32 and decoding to float32 against the definition of the formats')
    .option('--exhaustive', 'all 2^32 float32 inputs in every format and mode, on the kernels of each build')
    .option('--json', 'print one JSON line for each check');
  return engineOptions(command).action(run);
}

async function run(flags: VerifyFlags): Promise<void> {
  let mismatches = 0;
  for (const build of buildsFor(flags)) {
    const engine = await openEngine({ ...flags, build });
    const name = engine.info.build;
    const bar = progressBar(flags.exhaustive ? ROWS.length * CHUNKS : QUICK_CHECKS);
    try {
      if (!flags.json) process.stdout.write(`${name}, ${engine.info.threads} threads\n${HEADER}\n`);
      const report = (finding: Finding) => {
        mismatches += finding.mismatches;
        bar.clear();
        if (flags.json) printJson({ build: name, ...finding });
        else process.stdout.write(`${describe(finding)}\n`);
      };
      if (flags.exhaustive) for (const row of ROWS) report(exhaustive(engine, row, bar.step));
      else for (const finding of merged(quick(engine), bar.step)) report(finding);
    } finally {
      bar.stop();
      engine.dispose();
    }
  }
  if (!flags.json) process.stdout.write(`${mismatches} mismatches\n`);
  if (mismatches > 0) process.exitCode = 1;
}

/** The builds to verify: for an exhaustive run both, if this engine has both; otherwise the one requested, and with turbo the only one it has. */
function buildsFor({ exhaustive: all, build, turbo }: VerifyFlags): string[] {
  if (!all || build !== 'auto' || turbo) return [build];
  // Node 20 has relaxed SIMD behind a flag, which openEngine sets.
  return detectFeatures().relaxedSimd || runtimeName().startsWith('node') ? ['simd', 'relaxed'] : ['simd'];
}

const COLUMNS = [20, 26, 12, 9, 12, 10];
const line = (cells: readonly (string | number)[]) =>
  cells
    .map((cell, i) => String(cell).padEnd(COLUMNS[i] ?? 0))
    .join(' ')
    .trimEnd();
const HEADER = line(['format', 'source', 'rounding', 'saturate', 'inputs', 'mismatches', 'digest']);

function describe({ dtype, source, rounding, saturate, inputs, mismatches, digest, first }: Finding): string {
  const cells = [dtype, source, rounding, saturate ? 'yes' : 'no', inputs, mismatches, digest ?? ''];
  return first === undefined ? line(cells) : `${line(cells)}\n  first: ${first}`;
}

/** Passes findings on as they come, advancing the progress for each. */
function* merged(findings: Iterable<Finding>, step: () => void): Generator<Finding> {
  for (const finding of findings) {
    step();
    yield finding;
  }
}

/** A progress bar on a terminal; elsewhere the rows of the table show enough progress. */
function progressBar(total: number): { step: () => void; clear: () => void; stop: () => void } {
  if (!process.stderr.isTTY) return { step: () => {}, clear: () => {}, stop: () => {} };
  const bar = new cliProgress.SingleBar(
    {
      stream: process.stderr,
      format: '{bar} {percentage} %  {eta_formatted} left',
      clearOnComplete: true,
      hideCursor: true,
    },
    cliProgress.Presets.shades_classic,
  );
  bar.start(total, 0);
  return {
    // The loop never yields to timers, so the bar must be drawn here.
    step: () => {
      bar.increment();
      bar.render();
    },
    clear: () => process.stderr.write('\r\x1b[K'),
    stop: () => bar.stop(),
  };
}
