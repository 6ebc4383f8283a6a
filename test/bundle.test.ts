/** octavo/formats as people ship it: bundled and minified it is small, self-contained, and only as large as what is used of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, type Rolldown } from 'vite';
import { afterAll, expect, it } from 'vitest';

const FORMATS = fileURLToPath(new URL('../dist/formats/index.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'octavo-bundle-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The code of a bundle of a module with this source, minified. */
async function bundled(source: string): Promise<string> {
  const entry = join(folder, 'entry.js');
  writeFileSync(entry, source);
  const result = (await build({
    configFile: false,
    logLevel: 'silent',
    build: { write: false, minify: true, lib: { entry, formats: ['es'] } },
  })) as Rolldown.RolldownOutput[];
  expect(result[0].output.length).toBe(1);
  return result[0].output[0].code;
}

const size = (code: string): number => gzipSync(code, { level: 9 }).length;

it('is at most 10 kB minified and gzipped, with nothing imported and no WebAssembly', async () => {
  const code = await bundled(`export * from ${JSON.stringify(FORMATS)};`);
  expect(size(code)).toBeLessThan(10_000);
  expect(code).not.toMatch(/\bimport\b|\brequire\(|WebAssembly/);
});

it('leaves out what is not used', async () => {
  const whole = size(await bundled(`export * from ${JSON.stringify(FORMATS)};`));
  const part = size(await bundled(`export { decode, encode } from ${JSON.stringify(FORMATS)};`));
  expect(part).toBeLessThan(0.75 * whole);
});
