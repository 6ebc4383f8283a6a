/**
 * Prepares the working tree: packages, kernels, compiled TypeScript, and the `octavo` command for npx. Does only what is missing or
 * out of date, reports what it does, and needs nothing but Node and npm. Run by npm start, npm test and npm run build.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withSharedMemory } from './shared-memory.mjs';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The builds of asconfig.json, with the entry file of each. */
const BUILDS = { simd: 'index', relaxed: 'index', turbo: 'turbo' };
const MINIMUM_NODE = [20, 19];
/** Browsers by Debian package name, with the paths where these packages install them. */
export const BROWSERS = { chromium: '/usr/bin/chromium', 'firefox-esr': '/usr/bin/firefox-esr' };

const at = (...parts) => join(ROOT, ...parts);
const say = (text) => process.stderr.write(`${text}\n`);

/** Every file below a folder, or the file itself, as paths from the root; none if it does not exist. */
export function filesBelow(path) {
  if (!existsSync(at(path))) return [];
  if (statSync(at(path)).isFile()) return [path];
  return readdirSync(at(path))
    .sort()
    .flatMap((name) => filesBelow(`${path}/${name}`));
}

/** Runs `make` unless `stamp` was written for exactly these inputs. Compares hashes, because a checkout gives every file a new time. */
async function unlessCurrent(stamp, inputs, make) {
  const hash = createHash('sha256');
  for (const file of inputs.flatMap(filesBelow)) hash.update(at(file)).update(readFileSync(at(file)));
  const digest = hash.digest('hex');
  if (existsSync(at(stamp)) && readFileSync(at(stamp), 'utf8') === digest) return;
  await make();
  writeFileSync(at(stamp), digest);
}

function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0
        ? resolve(output)
        : reject(new Error(`${command} ${args.join(' ')} ended with code ${code}:\n${output}`)),
    );
  });
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor < MINIMUM_NODE[1])) {
    throw new Error(`Node: expected ${MINIMUM_NODE.join('.')} or newer, got ${process.versions.node}`);
  }
}

const install = (folder, ...flags) =>
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...flags], {
    cwd: at(folder),
    shell: process.platform === 'win32',
  });

/** Third-party packages that are large and therefore kept out of our own; installed without install scripts, which would download more. */
const APART = {
  'test/oracles': 'what the tests compare with (onnxruntime-node)',
  'test/runtimes': 'runtimes to test in (Node 20, 22, 24 and 26, Bun, Deno)',
  'bench/rivals': 'what the benchmarks compare with (onnxruntime-web, TensorFlow.js, jax-js)',
};

async function setupApart(...folders) {
  for (const folder of folders) {
    await unlessCurrent(`${folder}/node_modules/.octavo-setup`, [`${folder}/package-lock.json`], async () => {
      say(`Installing ${APART[folder]} ...`);
      await install(folder, '--ignore-scripts');
    });
  }
}

/** Installs what `npm run bench -- --rivals` compares with. */
export const setupRivals = () => setupApart('test/oracles', 'bench/rivals');

/** Installs browsers to test in. Where they are unavailable, only their own tests fail. */
async function setupBrowsers() {
  const missing = Object.keys(BROWSERS).filter((name) => !existsSync(BROWSERS[name]));
  if (missing.length === 0) return;
  const apt = (...args) => run('apt-get', ['-qq', ...args]);
  for (const [i, name] of missing.entries()) {
    say(`Installing a browser, for the tests in it (apt-get install ${name}) ...`);
    try {
      if (i === 0) await apt('update');
      await apt('install', '--yes', '--no-install-recommends', name);
    } catch (error) {
      say(
        `${name}: expected apt-get to install it, got ${error.message}. Its tests fail until ${BROWSERS[name]} exists.`,
      );
    }
  }
}

/** Installs the runtimes of `npm run test:runtimes`. */
export async function setupRuntimes() {
  await setupApart('test/runtimes');
  await setupBrowsers();
}

/** Prepares all that `npm test` needs; downloads run while the kernels are compiled. */
export async function setupTests() {
  await Promise.all([setup(), setupApart('test/oracles').then(setupRuntimes)]);
}

export async function setup() {
  checkNode();
  await unlessCurrent('node_modules/.octavo-setup', ['package-lock.json'], async () => {
    say('Installing packages (npm ci) ...');
    await install('.');
  });
  await unlessCurrent(
    'build/.octavo-setup',
    [
      'assembly',
      'asconfig.json',
      'scripts/setup.mjs',
      'scripts/shared-memory.mjs',
      'src/formats/constants.ts',
      'src/engine/units.ts',
      'node_modules/assemblyscript/package.json',
    ],
    async () => {
      say(`Compiling kernels (${Object.keys(BUILDS).join(', ')}) ...`);
      await Promise.all(Object.entries(BUILDS).map(([build, entry]) => compileKernels(build, entry)));
    },
  );
  await unlessCurrent('dist/.octavo-setup', ['src', 'tsconfig.json', 'build/simd.d.ts'], async () => {
    say('Compiling TypeScript ...');
    // Rebuilt from scratch, so that no output of a removed source is left behind.
    rmSync(at('dist'), { recursive: true, force: true });
    await run(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', ROOT]);
  });
  await unlessCurrent(
    'dist/web/.octavo-setup',
    ['web', 'src', 'build/.octavo-setup', 'package-lock.json'],
    async () => {
      say('Bundling the web page ...');
      await run(process.execPath, [at('node_modules/vite/bin/vite.js'), 'build', '--config', 'web/vite.config.mjs']);
    },
  );
  linkCommand();
}

/** Compiles one build, and derives from it the same build for a memory shared by threads. */
async function compileKernels(build, entry) {
  const asc = at('node_modules/assemblyscript/bin/asc.js');
  await run(process.execPath, [asc, `assembly/${entry}.ts`, '--target', build]);
  const wasm = readFileSync(at('build', `${build}.wasm`));
  writeFileSync(at('build', `${build}-threads.wasm`), withSharedMemory(wasm));
}

/** Links `npx octavo` inside the repository, as an installed package gets it from `bin`. */
function linkCommand() {
  const target = at('dist/cli/main.js');
  chmodSync(target, 0o755);
  const link = at('node_modules/.bin/octavo');
  if (process.platform === 'win32' || existsSync(link)) return;
  mkdirSync(at('node_modules/.bin'), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(target, link);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setup();
