/** `octavo generate`: streams text from a model directory. */
import { Command } from 'commander';
import { checkSampleOptions } from '../model/sample.js';
import { generate, loadModel } from '../train/index.js';
import { type EngineFlags, engineOptions, number, openEngine, printJson, some } from './options.js';
import { terminalWriter } from './progress.js';

interface GenerateFlags extends EngineFlags {
  model: string;
  prompt: string;
  maxNewTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  seed: number;
  json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command('generate')
    .description('continue a prompt with a trained model')
    .requiredOption('--model <dir>', 'model directory', some)
    .option('--prompt <text>', 'what to continue', some, '\n')
    .option('--max-new-tokens <n>', 'length of the continuation', number, 300)
    .option('--temperature <x>', '0 always takes the likeliest token', number, 0.8)
    .option('--top-k <n>', 'only the n likeliest tokens', number)
    .option('--top-p <x>', 'only the likeliest tokens that together reach this probability', number)
    .option('--seed <n>', 'the same seed gives the same text on every engine', number, 1337)
    .option('--json', 'print one JSON line with the text and the speed')
    .action(run);
  return engineOptions(command);
}

async function run(flags: GenerateFlags): Promise<void> {
  const { prompt, maxNewTokens, temperature, topK, topP, seed } = flags;
  const options = { maxNewTokens, temperature, topK, topP, seed };
  checkSampleOptions(options);
  const engine = await openEngine(flags);
  try {
    const loaded = await loadModel(flags.model, { engine });
    const started = performance.now();
    const pieces: string[] = [];
    const write = (text: string) => process.stdout.write(text);
    // A file or a pipe gets the text as it is.
    const show = flags.json ? () => undefined : process.stdout.isTTY ? terminalWriter(write) : write;
    show(prompt);
    for (const piece of generate(loaded, prompt, options)) {
      pieces.push(piece);
      show(piece);
    }
    const seconds = (performance.now() - started) / 1000;
    if (!flags.json) process.stdout.write('\n');
    else printJson({ prompt, text: pieces.join(''), tokens: maxNewTokens, tokens_per_second: maxNewTokens / seconds });
  } finally {
    engine.dispose();
  }
}
