#!/usr/bin/env node
/**
 * Measures what counting alone achieves: bits per byte of an interpolated n-gram model of bytes, the baseline that a trained model must beat.
 *
 *     node scripts/ngram.mjs FILE [--order 5] [--val_fraction 0.1]
 *
 * Counts on the first part of the file and measures on the rest, predicting every byte from the order - 1 bytes before it
 * (the first ones from the end of the training part). The model does not learn from the validation part. Prints one JSON line per smoothing:
 *
 *   witten-bell  p(w|h) = (c(hw) + T(h) p(w|h')) / (c(h) + T(h)), T(h) = distinct bytes seen behind h, h' = h without its first byte
 *                (Bell, Cleary and Witten 1990, method C, interpolated).
 *   kneser-ney   p(w|h) = (c(hw) - d(c(hw)) + (sum of the discounts behind h) p(w|h')) / c(h), three discounts per order, and in the
 *                lower orders c counts distinct bytes in front instead of occurrences (Chen and Goodman 1998, section 3, modified).
 *
 * Both end in the uniform 1/256, so every byte has a probability.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

const SYMBOLS = 256;

function parseArguments(argv) {
  const options = { order: 5, val_fraction: 0.1 };
  let file;
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i].startsWith('--') ? argv[i].slice(2).replaceAll('-', '_') : undefined;
    if (name === undefined && file === undefined) file = argv[i];
    else if (Object.hasOwn(options, name ?? '')) options[name] = Number(argv[++i]);
    else throw new Error(`unexpected argument ${argv[i]}`);
  }
  const { order, val_fraction } = options;
  if (file === undefined) throw new Error('usage: node scripts/ngram.mjs FILE [--order 5] [--val_fraction 0.1]');
  // Six bytes are 48 bits; the maps are keyed by the n-gram as one exact number, which a longer one would not be.
  if (!(Number.isInteger(order) && order >= 1 && order <= 6)) throw new Error(`--order: expected 1 to 6, got ${order}`);
  if (!(val_fraction > 0 && val_fraction < 1))
    throw new Error(`--val_fraction: expected between 0 and 1, got ${val_fraction}`);
  return { file, order, valFraction: val_fraction };
}

/** n bytes from `at` as one number, first byte most significant. */
function key(bytes, at, n) {
  let k = 0;
  for (let i = 0; i < n; i++) k = k * 256 + bytes[at + i];
  return k;
}

/** For n = 1 ... order: a map from n-gram to its number of occurrences in `bytes`. */
function countOccurrences(bytes, order) {
  const counts = [undefined];
  for (let n = 1; n <= order; n++) {
    const map = new Map();
    for (let i = 0; i + n <= bytes.length; i++) {
      const k = key(bytes, i, n);
      map.set(k, (map.get(k) ?? 0) + 1);
    }
    counts.push(map);
  }
  return counts;
}

/** The counts of Kneser-Ney: below the highest order, the number of distinct bytes seen in front of the n-gram. */
function countContinuations(occurrences) {
  return occurrences.map((map, n) => {
    if (n === 0 || n === occurrences.length - 1) return map;
    const counts = new Map();
    const span = SYMBOLS ** n;
    for (const longer of occurrences[n + 1].keys()) {
      const k = longer % span; // without its first byte
      counts.set(k, (counts.get(k) ?? 0) + 1);
    }
    return counts;
  });
}

/** Per context: the sum of its counts, and how many distinct bytes follow it once, twice, or more often. */
function contexts(counts) {
  const out = new Map();
  for (const [k, c] of counts) {
    const h = Math.floor(k / SYMBOLS);
    const entry = out.get(h) ?? { total: 0, types: [0, 0, 0] };
    out.set(h, entry);
    entry.total += c;
    entry.types[Math.min(c, 3) - 1]++;
  }
  return out;
}

/** D1, D2, D3+ of one order from its counts of counts; KenLM's fallback (0.5, 1, 1.5) if these are too few to tell. */
function discounts(counts) {
  const n = [0, 0, 0, 0, 0];
  for (const c of counts.values()) if (c <= 4) n[c]++;
  const y = n[1] / (n[1] + 2 * n[2]);
  const d = [1, 2, 3].map((k) => k - ((k + 1) * y * n[k + 1]) / n[k]);
  return d.every((x, k) => x >= 0 && x <= k + 1) ? d : [0.5, 1, 1.5];
}

/** A function (bytes, at) -> p(bytes[at] | the order - 1 bytes before), from tables per order and one step of interpolation. */
function model(counts, step) {
  const tables = counts.map((map, n) =>
    n === 0 ? undefined : { map, contexts: contexts(map), discounts: discounts(map) },
  );
  return (bytes, at) => {
    let p = 1 / SYMBOLS;
    for (let n = 1; n < tables.length; n++) {
      const table = tables[n];
      const context = table.contexts.get(key(bytes, at - n + 1, n - 1));
      if (context === undefined) break; // a context never seen: so are all longer ones
      p = step(p, table.map.get(key(bytes, at - n + 1, n)) ?? 0, context, table.discounts);
    }
    return p;
  };
}

function wittenBell(lower, count, { total, types }) {
  const distinct = types[0] + types[1] + types[2];
  return (count + distinct * lower) / (total + distinct);
}

function kneserNey(lower, count, { total, types }, d) {
  const kept = count === 0 ? 0 : count - d[Math.min(count, 3) - 1];
  const freed = d[0] * types[0] + d[1] * types[1] + d[2] * types[2];
  return (kept + freed * lower) / total;
}

/** Throws unless the 256 probabilities after the context at `at` sum to one, so that a wrong formula shows here rather than as a good figure. */
function checkSum(probability, bytes, at, order) {
  const probe = bytes.slice(at - order + 1, at + 1);
  let sum = 0;
  for (let w = 0; w < SYMBOLS; w++) {
    probe[order - 1] = w;
    sum += probability(probe, order - 1);
  }
  if (!(Math.abs(sum - 1) < 1e-9)) throw new Error(`the probabilities behind byte ${at} sum to ${sum}`);
}

function bitsPerByte(probability, bytes, from, order) {
  let bits = 0;
  for (let at = from; at < bytes.length; at++) {
    bits -= Math.log2(probability(bytes, at));
    if ((at - from) % 997 === 0) checkSum(probability, bytes, at, order);
  }
  return bits / (bytes.length - from);
}

function main() {
  const { file, order, valFraction } = parseArguments(process.argv.slice(2));
  const bytes = readFileSync(file);
  const split = Math.floor(bytes.length * (1 - valFraction));
  if (split < order || split >= bytes.length) throw new Error(`${file}: ${bytes.length} bytes are too few`);
  const occurrences = countOccurrences(bytes.subarray(0, split), order);
  const models = {
    'witten-bell': model(occurrences, wittenBell),
    'kneser-ney': model(countContinuations(occurrences), kneserNey),
  };
  for (const [smoothing, probability] of Object.entries(models)) {
    const val_bits_per_byte = Number(bitsPerByte(probability, bytes, split, order).toFixed(4));
    const sizes = { train_bytes: split, val_bytes: bytes.length - split };
    console.log(JSON.stringify({ file: basename(file), ...sizes, order, smoothing, val_bits_per_byte }));
  }
}

try {
  main();
} catch (error) {
  console.error(`ngram: ${error.message}`);
  process.exitCode = 2;
}
