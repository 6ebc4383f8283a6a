/** `octavo verify --exhaustive` on the fastest build: every format in every mode, against the table. */
import { ROWS } from '../../src/verify/index.js';
import { exhaustiveSuite } from '../helpers/exhaustive.js';

exhaustiveSuite(ROWS);
