/** `octavo inspect`: lists a model directory or a safetensors file, with statistics of FP8 codes. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { readWhole } from '../engine/store.js';
import { type DType, formatSpec } from '../formats/index.js';
import { FileError, printable } from '../interop/errors.js';
import { parseSafetensors, type Safetensors, type SafetensorsTensor } from '../interop/safetensors.js';
import { scaled } from '../ops/adamw.js';
import { Engine } from '../ops/engine.js';
import { readStateFile } from '../train/checkpoint.js';
import { scaleBeside, scalesBeside, valuesOf } from '../train/file-tensors.js';
import { dtypeOfFile, inFile, MODEL_FILE } from '../train/model-files.js';
import { printJson, some } from './options.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('list the tensors of a model directory or safetensors file')
    .argument('<path>', 'model directory, or .safetensors file of a model or a training state', some)
    .option('--json', 'print one JSON line for each tensor')
    .action(run);
}

interface Row {
  name: string;
  dtype: string;
  shape: number[];
  bytes: number;
  /** Largest |value|, including the scale; absent where `scales` names a tensor of scales for parts of it. */
  amax?: number;
  scale_inv?: number;
  scales?: string;
  /** Shares of zero codes and of codes at the format's largest magnitude. */
  zeros?: number;
  at_max?: number;
}

async function run(path: string, { json }: { json?: boolean }): Promise<void> {
  const isDirectory = await stat(path).then(
    (found) => found.isDirectory(),
    (error: NodeJS.ErrnoException) => {
      throw new FileError(`${path}: expected a model directory or safetensors file, got none (${error.code})`);
    },
  );
  const file = isDirectory ? join(path, MODEL_FILE) : path;
  const content = await readWhole(file).catch(async ({ code, message }: NodeJS.ErrnoException) => {
    const names = isDirectory && code === 'ENOENT' ? await readdir(path) : [];
    const other = names.find((name) => name.endsWith('.safetensors'));
    if (other)
      throw new FileError(`${path}: expected ${MODEL_FILE}, got a directory without; name a file, such as ${other}`);
    throw new FileError(`${file}: expected a readable safetensors file, got ${code ?? message}`);
  });
  const parsed = inFile(file, () => parseSafetensors(content));
  const { tensors, metadata } = parsed;
  const scaleOf = metadata.octavo_state === undefined ? undefined : await scalesInState(file, parsed);
  const rows = [...tensors].map(([name, tensor]) =>
    describe(name, tensor, scaleOf ? scaleOf.get(name) : scaleBeside(tensors, name), scalesBeside(tensors, name)),
  );
  if (json) for (const row of rows) printJson(row);
  else process.stdout.write(table(rows));
}

/** Scales of a training state, which are in its JSON record. Formats with the range of float32 need none. */
async function scalesInState(file: string, parsed: Safetensors): Promise<Map<string, number>> {
  const engine = await Engine.create({ threads: 1 });
  try {
    const { tensors } = inFile(file, () => readStateFile(engine, parsed));
    const withScale = tensors.filter(({ dtype }) => scaled(dtypeOfFile(dtype) ?? 'float32'));
    return new Map(withScale.map(({ name, scaleInv }) => [name, scaleInv]));
  } finally {
    engine.dispose();
  }
}

function describe(name: string, tensor: SafetensorsTensor, scaleInv: number | undefined, scales?: string): Row {
  const row: Row = { name, dtype: tensor.dtype, shape: [...tensor.shape], bytes: tensor.data.length };
  const dtype = dtypeOfFile(tensor.dtype);
  if (!dtype || tensor.data.length === 0) return row;
  const { amax, zeros, atMax } = count(dtype, tensor.data);
  if (scales !== undefined) row.scales = scales;
  else {
    row.amax = amax * (scaleInv ?? 1);
    row.scale_inv = scaleInv;
  }
  if (formatSpec(dtype).bits === 8) {
    row.zeros = zeros;
    row.at_max = atMax;
  }
  return row;
}

/** Bytes decoded at a time, so that a tensor of gigabytes needs no float32 copy. */
const PIECE = 1 << 22;

function count(dtype: DType, data: Uint8Array): { amax: number; zeros: number; atMax: number } {
  const { max, bytes } = formatSpec(dtype);
  let amax = 0;
  let zeros = 0;
  let atMax = 0;
  for (let at = 0; at < data.length; at += PIECE) {
    for (const value of valuesOf(dtype, data.subarray(at, at + PIECE))) {
      const magnitude = Math.abs(value);
      // Infinity and NaN propagate.
      amax = Math.max(amax, magnitude);
      if (magnitude === 0) zeros++;
      if (magnitude === max) atMax++;
    }
  }
  const elements = data.length / bytes;
  return { amax, zeros: zeros / elements, atMax: atMax / elements };
}

function table(rows: readonly Row[]): string {
  const percent = (x: number | undefined) => (x === undefined ? '' : `${(100 * x).toFixed(2)} %`);
  const real = (x: number | undefined) => (x === undefined ? '' : x.toPrecision(5));
  const cells = [
    ['tensor', 'dtype', 'shape', 'bytes', 'amax', 'scale_inv', 'zeros', 'at max'],
    ...rows.map((row) => [
      printable(row.name),
      row.dtype,
      row.shape.join(' x ') || 'scalar',
      String(row.bytes),
      real(row.amax),
      row.scales === undefined ? real(row.scale_inv) : 'by parts',
      percent(row.zeros),
      percent(row.at_max),
    ]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((line) => line[column].length)));
  const lines = cells.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
  const total = rows.reduce((sum, row) => sum + row.bytes, 0);
  return `${lines.join('\n')}\n${rows.length} tensors, ${total} bytes\n`;
}
