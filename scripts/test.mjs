/**
 * `npm test`: sets up, lints and runs the suites; with --slow the long ones. The last line has the counts; in CI a skipped test counts as a
 * failure.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, setupTests } from './setup.mjs';

await setupTests();
const node = (script, ...args) =>
  spawnSync(process.execPath, [join(ROOT, 'node_modules', script), ...args], { cwd: ROOT, stdio: 'inherit' }).status;

const [flag, ...names] = process.argv.slice(2);
const slow = flag === '--slow';
const filters = slow ? names : [flag, ...names].filter(Boolean);

// Bundling the page does not check its types, so check them here.
const lint = slow ? 0 : node('@biomejs/biome/bin/biome', 'check', '.') || node('typescript/bin/tsc', '-p', 'web');
const folder = mkdtempSync(join(tmpdir(), 'octavo-test-'));
const report = join(folder, 'report.json');
const config = slow ? ['--config', 'vitest.slow.config.ts'] : [];
const tests = node(
  'vitest/vitest.mjs',
  'run',
  ...config,
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
  ...filters,
);
// Where the runner itself died there is no report.
const nothing = { numPassedTests: 0, numFailedTests: 0, numFailedTestSuites: 1, numPendingTests: 0 };
const result = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : nothing;
rmSync(folder, { recursive: true });

const skipped = result.numPendingTests + (result.numTodoTests ?? 0);
let failed = result.numFailedTests + (lint === 0 ? 0 : 1);
// A file that does not load, or a worker that dies, has no tests to count.
if (tests !== 0 && failed === 0) failed = Math.max(1, result.numFailedTestSuites);
if (process.env.CI && skipped > 0) failed += skipped;
console.log(`${result.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 || tests !== 0 ? 1 : 0;
