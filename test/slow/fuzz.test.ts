/**
 * Damaged files by the million. A failure names its kind and index, which is its seed: the same files give the same cases on every
 * machine. Mutants of real files by an own mutator, not generated values that a library would shrink: each is a few edits from a real
 * file, so there is little to shrink, and a million of them with their JSON trees take minutes.
 */
import { fuzzSuite } from '../helpers/fuzz-suite.js';

fuzzSuite({ headers: 1_000_000, configs: 200_000, tokenizers: 50_000, checkpoints: 20_000 }, console.log);
