/** `octavo diff`: finds where two runs diverge or two checkpoints differ. Like diff, it exits with code 1 if they do. */
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Command } from 'commander';
import { openDirectory } from '../engine/store.js';
import { FileError, printable } from '../interop/errors.js';
import { Engine } from '../ops/engine.js';
import { type Difference, difference, isDifferent, type TensorDifference } from '../train/diff.js';
import { type Recorded, recorded } from '../train/recorded.js';
import { printJson, some } from './options.js';

/** Maximum number of tensors listed; the rest are counted. */
const SHOWN = 10;

export function diffCommand(): Command {
  return new Command('diff')
    .description('name the first step and tensor in which two runs or checkpoints differ, and how far')
    .argument('<a>', 'directory of a run or model, or a .safetensors file of one', some)
    .argument('<b>', 'another', some)
    .option('--json', 'print one JSON line')
    .action(run);
}

async function run(a: string, b: string, { json }: { json?: boolean }): Promise<void> {
  const engine = await Engine.create({ threads: 1 });
  try {
    const [one, other] = [await open(engine, a), await open(engine, b)];
    const found = difference(one, other);
    if (found.steps === 0 && !found.compared) {
      const steps = ({ states }: Recorded) => states.map(({ step }) => step).join(' and ') || 'none';
      throw new FileError(
        `${b}: expected a step, a state or a model that ${a} has as well, got states of steps ${steps(other)}, not ${steps(one)}`,
      );
    }
    if (json) printJson({ different: isDifferent(found), ...found });
    else process.stdout.write(`${lines(found).join('\n')}\n`);
    if (isDifferent(found)) process.exitCode = 1;
  } finally {
    engine.dispose();
  }
}

async function open(engine: Engine, path: string): Promise<Recorded> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new FileError(`${path}: expected a directory or a safetensors file, got none (${error.code})`);
  });
  if (found.isDirectory()) return recorded(engine, await openDirectory(path));
  return recorded(engine, await openDirectory(dirname(path)), basename(path));
}

function lines({ settings, steps, firstStep, compared, tensors, scales }: Difference): string[] {
  const out = settings.map(([name, a, b]) => `${name}: ${a} and ${b}`);
  if (firstStep) {
    const { step, losses, parameters } = firstStep;
    const where = parameters ? `${whereOf(parameters)}; ` : '';
    out.push(`step ${step} is the first of ${steps} in both to differ: ${where}losses ${losses[0]} and ${losses[1]}`);
  } else if (steps > 0) out.push(`${steps} steps in both, the same`);
  if (compared) {
    out.push(`${compared.what}: ${tensors.length} of ${compared.tensors} tensors differ`);
    out.push(...tensors.slice(0, SHOWN).map(line));
    if (tensors.length > SHOWN) out.push(`  and ${tensors.length - SHOWN} more`);
    if (scales.length > 0) out.push(`  and ${scales.length} delayed scales, first that of ${scales[0]}`);
  }
  return out;
}

function whereOf([first, ...others]: readonly string[]): string {
  if (first === undefined) return 'delayed scales alone';
  return others.length > 0 ? `${first} and ${others.length} more` : first;
}

function line({ name, elements, differing, distance, amax, dtypes }: TensorDifference): string {
  if (Number.isNaN(distance))
    return `  ${printable(name)}: ${differing} of ${elements} elements, which cannot be compared`;
  // Zeros of opposite sign differ, but their distance is 0, and then so may amax be.
  const share = `${distance && ((100 * distance) / amax).toPrecision(3)} % of the largest`;
  const formats = dtypes ? `${dtypes.join(' and ')}, ` : '';
  return `  ${printable(name)}: ${formats}${differing} of ${elements} elements, at most ${distance.toPrecision(4)} apart (${share})`;
}
