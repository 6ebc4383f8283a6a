/**
 * Runs training steps in a separate process, one step on each request, so that steps of several programs can be timed in turn and each has its
 * own peak of memory. On stdin: a line `step` for each step, then `end`. On stdout: a JSON line { name } at the start, { loss } for each step,
 * { peakBytes, ... } at the end. A program that cannot run answers { unavailable } with the reason.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** The parent's side. */
export async function startChild(command, args, env = process.env) {
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  // A command that does not exist; what follows then finds no line.
  child.on('error', (error) => {
    complaints += error.message;
  });
  child.stdin.on('error', () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${args.join(' ')} ended: ${complaints.trim()}`);
    return JSON.parse(value);
  };
  const ask = (word) => {
    child.stdin.write(`${word}\n`);
    return answer();
  };
  const { name, unavailable } = await answer();
  return {
    name,
    unavailable,
    step: async () => (await ask('step')).loss,
    end: async () => {
      const last = await ask('end');
      child.stdin.end();
      return last;
    },
    kill: () => child.kill(),
  };
}

/** The child's side, in JavaScript. */
export async function serve(name, step, more = () => ({})) {
  const say = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);
  say({ name });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'step') say({ loss: await step() });
    else break;
  }
  say({ peakBytes: peakBytes(), ...more() });
  // An open pipe would keep the process alive.
  process.stdin.destroy();
}

/** On Linux, maxRSS includes what the parent held when it started this process; the address space's own high-water mark starts anew. */
function peakBytes() {
  try {
    return 1024 * Number(readFileSync('/proc/self/status', 'utf8').match(/VmHWM:\s+(\d+) kB/)[1]);
  } catch {
    return 1024 * process.resourceUsage().maxRSS;
  }
}
