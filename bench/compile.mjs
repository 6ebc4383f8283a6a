/** Compiles AssemblyScript in memory, for a measurement. */
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import { withSharedMemory } from '../scripts/shared-memory.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Compiles a source file, whose path is relative to the base directory, with these asc arguments. */
export async function compile(source, args, baseDir = ROOT) {
  let bytes;
  const all = [source, '--baseDir', baseDir, '--outFile', 'out.wasm', ...args];
  const { error, stderr } = await asc.main(all, {
    writeFile: (name, content) => {
      if (name.endsWith('.wasm')) bytes = content;
    },
  });
  if (error) throw new Error(`${source}: expected it to compile, got ${error.message}\n${stderr}`);
  return new Uint8Array(bytes);
}

/** Compiles the kernels as asconfig.json does for a build, except for constants that `--use` replaces. */
export async function compileKernels(build, threads, constants) {
  const use = Object.entries(constants).flatMap(([name, value]) => ['--use', `${name}=${value}`]);
  const wasm = await compile('assembly/index.ts', ['--config', 'asconfig.json', '--target', build, ...use]);
  return threads > 1 ? withSharedMemory(wasm) : wasm;
}
