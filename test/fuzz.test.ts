/** Damaged files, a few thousand: whatever is read is read right, the rest is refused. The long run is `npm run test:slow fuzz`. */
import { fuzzSuite } from './helpers/fuzz-suite.js';

fuzzSuite({ headers: 4000, configs: 1000, tokenizers: 300, checkpoints: 300 }, () => undefined);
