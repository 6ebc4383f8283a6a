/** `npm run bench`: sets up, then checks and times the engine. Flags go to bench/main.mjs. */
import { setup, setupRivals } from './setup.mjs';

await setup();
if (process.argv.includes('--rivals')) await setupRivals();
await import('../bench/main.mjs');
