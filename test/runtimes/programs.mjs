/** Runtimes that are programs: the binaries of packages from npm, installed in this folder. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const PACKAGES = join(FOLDER, 'node_modules');

/** The binaries the platform packages hold; launchers of bun and deno want an install script to have run. */
function binary(pattern, scope, ...path) {
  const packages = join(PACKAGES, scope);
  const name = readdirSync(packages).find(
    (folder) => pattern.test(folder) && existsSync(join(packages, folder, ...path)),
  );
  if (!name) throw new Error(`${packages}: expected a package ${pattern} with ${path.join('/')}, got none`);
  return join(packages, name, ...path);
}

const COMMANDS = {
  node: (version, ...flags) => [binary(new RegExp(`^node-${version}-`), '', 'bin', 'node'), ...flags],
  bun: () => [binary(/^bun-/, '@oven', 'bin', 'bun')],
  deno: () => [binary(/./, '@deno', 'deno'), 'run', '--allow-all', '--node-modules-dir=manual', '--no-lock'],
};

/** The rows of a job (conform.mjs) from `name`, a version and flags of Node after it. */
export async function conformInProgram([name, ...rest], job, signal) {
  const [file, ...args] = COMMANDS[name](...rest);
  const command = [...args, 'conform.mjs', 'print', JSON.stringify(job)];
  const { stdout } = await promisify(execFile)(file, command, { cwd: FOLDER, signal, maxBuffer: 1 << 26 });
  return JSON.parse(stdout);
}
