/** `octavo eval`: loss of a model directory on a text. */
import { Command } from 'commander';
import { loadModel, meanLoss } from '../train/index.js';
import { type EngineFlags, engineOptions, number, openEngine, printJson, readText, some } from './options.js';

interface EvalFlags extends EngineFlags {
  model: string;
  data: string;
  valFraction: number;
  blockSize?: number;
  json?: boolean;
}

export function evalCommand(): Command {
  const command = new Command('eval')
    .description('measure the loss of a trained model on a text')
    .requiredOption('--model <dir>', 'model directory', some)
    .requiredOption('--data <file>', 'text to measure on', some)
    .option('--val-fraction <x>', 'share of the text, at its end, that is used', number, 0.1)
    .option('--block-size <n>', "tokens per sequence (default: the model's positions)", number)
    .option('--json', 'print one JSON line')
    .action(run);
  return engineOptions(command);
}

async function run(flags: EvalFlags): Promise<void> {
  const { valFraction } = flags;
  if (!(valFraction > 0 && valFraction <= 1)) {
    throw new RangeError(`--val-fraction: expected a number above 0 and at most 1, got ${valFraction}`);
  }
  const data = await readText(flags.data);
  const tokens = data.subarray(Math.floor(data.length * (1 - valFraction)));
  const engine = await openEngine(flags);
  try {
    const { model, casts } = await loadModel(flags.model, { engine });
    const { maxPositions } = model.config;
    const blockSize = flags.blockSize ?? maxPositions;
    if (!(Number.isInteger(blockSize) && blockSize >= 1 && blockSize <= maxPositions)) {
      throw new RangeError(`--block-size: expected an integer from 1 to ${maxPositions}, got ${blockSize}`);
    }
    if (tokens.length <= blockSize) {
      throw new RangeError(`--data: expected more than ${blockSize} bytes to measure on, got ${tokens.length}`);
    }
    const measured = meanLoss(model, casts, tokens, blockSize);
    const bits = measured.loss / Math.LN2;
    if (flags.json) printJson({ loss: measured.loss, bits_per_byte: bits, tokens: measured.tokens });
    else {
      process.stdout.write(
        `loss ${measured.loss.toFixed(4)} nats a byte, ${bits.toFixed(4)} bits per byte, over ${measured.tokens} bytes\n`,
      );
    }
  } finally {
    engine.dispose();
  }
}
