/** The context without which a figure is meaningless: machine, runtime, build, commit, command. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startup } from './startup.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

export function environment({ info }, argv) {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    machine: {
      cpu: `${processors[0]?.model.trim() ?? 'unknown'}${generation()}`,
      cores: processors.length,
      memory_bytes: totalmem(),
      platform: `${process.platform} ${process.arch}`,
      // Above the number of cores, the machine is shared and only ratios are meaningful.
      load: loadavg()[0],
    },
    runtime: info.runtime,
    engine: process.versions.v8 ? `V8 ${process.versions.v8}` : 'unknown',
    build: info.turbo ? 'turbo' : info.build,
    fused: info.fused,
    threads: info.threads,
    startup: startup(info),
    commit: commit(),
    command: ['node', relative(ROOT, argv[1]), ...argv.slice(2)].map(quoted).join(' '),
  };
}

/** Family and model of the processor, on Linux: virtual machines may have names like 'AMD EPYC' for all generations. */
function generation() {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    const [family, model] = [/^cpu family\s*: (\d+)$/m, /^model\s*: (\d+)$/m].map((pattern) => text.match(pattern)[1]);
    return ` (family ${family}, model ${model})`;
  } catch {
    // Another system, or a processor that is described otherwise.
    return '';
  }
}

/** Quotes a word for a shell. */
const quoted = (word) => (/^[\w./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** Short hash of the commit, with -dirty if files differ from it. */
function commit() {
  try {
    const args = ['describe', '--always', '--dirty', '--exclude', '*'];
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    // Not a checkout, but an installed or unpacked copy.
    return 'unknown';
  }
}

export function environmentLines({ date, machine, runtime, engine, build, fused, threads, startup, commit, command }) {
  const gigabytes = (machine.memory_bytes / 2 ** 30).toFixed(1);
  const products = fused ? 'relaxed madd' : 'mul + add';
  return [
    `machine  ${machine.cpu}, ${machine.cores} cores, ${gigabytes} GiB, ${machine.platform}, load ${machine.load.toFixed(1)}`,
    `runtime  ${runtime}${engine ? ` (${engine})` : ''}`,
    `build    ${build} (${products}), ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    ...(startup ? [`start-up ${startup.wasm_bytes} bytes of wasm, init takes ${startup.init_ms.toFixed(0)} ms`] : []),
    `commit   ${commit}, ${date}`,
    `command  ${command}`,
  ];
}
