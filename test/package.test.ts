/** The package as it is published: its types alone, in a strict program for an older library that checks declarations too. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { VERSION } from '../src/engine/units.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'octavo-package-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PROGRAM = `
import { init, type Tensor } from 'octavo';
import { decode, encode, Float8E4M3FNArray } from 'octavo/formats';
import { generate, loadModel, meanLoss, RECIPES, train } from 'octavo/train';
import { parseSafetensors, serializeSafetensors } from 'octavo/safetensors';
import * as verify from 'octavo/verify';

const engine = await init({ threads: 1 });
const t: Tensor = engine.tensor([1], [1], 'fp8');
const config = { vocabSize: 256, hiddenSize: 64, layers: 1, heads: 2 };
for await (const event of train({ data: 'x', config, recipe: { ...RECIPES.fp8, swiglu: 'plain' }, engine })) {
  if (event.type === 'done') console.log(event.digest.toUpperCase(), event.val_loss.toFixed(4));
}
const loaded = await loadModel('model', { engine });
for (const text of generate(loaded, 'x', { maxNewTokens: 3 })) console.log(text);
loaded.dispose();
const small = new Float8E4M3FNArray([1, 2]).toReversed().with(0, 3);
console.log(t, decode(encode([1], 'fp8'), 'fp8'), small.findLast((x) => x > 1));
console.log(meanLoss, parseSafetensors, serializeSafetensors, verify);
// @ts-expect-error: there is no such recipe
console.log(RECIPES.fp9);
// @ts-expect-error: kernels have types
const text: string = engine.kernels;
`;

const COMPILER_OPTIONS = {
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  target: 'ES2022',
  lib: ['ES2022', 'DOM'],
  types: [],
  module: 'NodeNext',
  noEmit: true,
};

it('has types that compile, and say what there is', () => {
  const list = execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
  const [{ files }] = JSON.parse(list) as { files: { path: string }[] }[];
  for (const { path } of files) cpSync(join(ROOT, path), join(folder, 'node_modules/octavo', path));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'program.ts'), PROGRAM);
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: COMPILER_OPTIONS, files: ['program.ts'] }),
  );
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  let said = '';
  try {
    execFileSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    said = (error as { stdout: string }).stdout;
  }
  expect(said).toBe('');
}, 60_000);

it('the kernels say the version of the package', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const [major, minor, patch] = version.split('.').map(Number);
  expect(VERSION).toBe(10000 * major + 100 * minor + patch);
});
