#!/usr/bin/env node
/** The `octavo` command. */
import { octavo } from './program.js';

// A reader that closes the pipe early (`| head`) ends the program quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

await octavo(process.argv.slice(2));
