#!/usr/bin/env node
/** The `octavo` command. */
import { octavo } from './program.js';
import { isStopping } from './signals.js';

// If the reader closes the pipe early (`| head`), the program ends quietly; a run that can be stopped saves first. Ctrl-C ends the reader too
// (`| tee log`): a run that stops already goes on with that.
let closed = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (closed) return;
    closed = true;
    if (!isStopping() && !process.emit('SIGTERM', 'SIGTERM')) process.exit(0);
  });
}

await octavo(process.argv.slice(2));
