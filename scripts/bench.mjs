/** `npm run bench`: sets up, then checks and times the engine. Flags go to bench/main.mjs. */
import { setup } from './setup.mjs';

await setup();
await import('../bench/main.mjs');
