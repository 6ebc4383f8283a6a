/** `npm run web`: sets up, then serves the web page. Flags after -- go to `octavo serve`. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, setup } from './setup.mjs';

await setup();
// Ctrl-C also reaches the server; wait for it to end.
process.on('SIGINT', () => {});
const server = spawn(process.execPath, [join(ROOT, 'dist/cli/main.js'), 'serve', ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.on('SIGTERM', () => server.kill('SIGTERM'));
server.on('close', (code) => process.exit(code ?? 0));
