/**
 * Generates the parts of the documents that come from the code (marks.mjs).
 *
 *     node scripts/docs.mjs            # write them; reads dist, so run npm run build first
 *     node scripts/docs.mjs --check    # write nothing; list what is out of date and exit with code 1
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { charts, stepSpeeds, tables } from '../bench/report.mjs';
import { replaceMarked } from './marks.mjs';
import { filesBelow, ROOT } from './setup.mjs';

const read = (path) => readFileSync(join(ROOT, path), 'utf8');

const table = (rows) => {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(rows[0]), line(rows[0].map(() => '---')), ...rows.slice(1).map(line)].join('\n');
};
const code = (text) => `\`${text}\``;
/** Escapes text for a table cell or list, where an asterisk would begin emphasis and a bar a column. */
const plain = (text) => text.replace(/[*|]/g, '\\$&');

/** The table of formats, from the records in src/formats. */
async function formats() {
  const { DTYPES, formatSpec } = await import('../dist/formats/index.js');
  const power = (x) => `2^${Math.log2(x)}`;
  const largest = ({ max, manBits }) => {
    if (max < 1e6) return String(max);
    const exponent = Math.floor(Math.log2(max));
    if (max !== (2 - 2 ** -manBits) * 2 ** exponent) throw new Error(`expected a full significand, got ${max}`);
    return manBits === 0 ? power(max) : `(2 - 2^-${manBits}) x 2^${exponent}`;
  };
  const hex = (value, { bits }) => (value < 0 ? 'none' : code(value.toString(16).padStart(Math.ceil(bits / 4), '0')));
  const rows = DTYPES.map((dtype) => {
    const spec = formatSpec(dtype);
    return [
      code(dtype),
      `${spec.signCode ? 1 : 0}, ${spec.expBits}, ${spec.manBits}`,
      spec.bias,
      largest(spec),
      power(spec.smallestNormal),
      spec.signCode ? power(spec.smallestSubnormal) : 'none',
      power(spec.eps),
      hex(spec.infCode, spec),
      hex(spec.nanCode, spec),
      spec.saturates ? 'yes' : 'no',
    ];
  });
  return table([
    [
      'dtype',
      'sign, exponent, mantissa bits',
      'bias',
      'max',
      'smallest normal',
      'smallest subnormal',
      'eps',
      'infinity',
      'NaN written',
      'saturates by default',
    ],
    ...rows,
  ]);
}

/** The table at the top of the definition of encoding. */
function overflow() {
  const rows = read('src/formats/reference.ts')
    .split('\n')
    .filter((line) => line.startsWith(' * |'))
    .map((line) => line.slice(3).replace(/\s{2,}/g, ' '));
  if (rows.length < 3) throw new Error('src/formats/reference.ts: expected a table in the head comment, got none');
  return rows.map((row, i) => (i === 1 ? row.replace(/-+/g, '---') : row)).join('\n');
}

/** The named recipes, field by field. */
async function recipes() {
  const { RECIPES } = await import('../dist/train/index.js');
  const names = Object.keys(RECIPES);
  const flat = (record, at = '') =>
    Object.entries(record).flatMap(([key, value]) =>
      typeof value === 'object' ? flat(value, `${at}${key}.`) : [[`${at}${key}`, value]],
    );
  const columns = names.map((name) => new Map(flat(RECIPES[name])));
  const fields = [...new Set(columns.flatMap((column) => [...column.keys()]))].filter((field) => field !== 'name');
  return table([
    ['', ...names.map(code)],
    ...fields.map((field) => [code(field), ...columns.map((column) => String(column.get(field) ?? ''))]),
  ]);
}

/** The description of each named recipe. */
async function named() {
  const { ABOUT_RECIPES } = await import('../dist/ops/recipe.js');
  return table([['name', 'what it is'], ...Object.entries(ABOUT_RECIPES).map(([name, about]) => [code(name), about])]);
}

/** The cost of each recipe: the measured speed of a step, and the stored state of a matrix of 2^20 elements, a size that all groups divide. */
async function costs() {
  const { COSTED } = await import('../bench/recipes.mjs');
  const { RECIPES } = await import('../dist/train/index.js');
  const { matrixStateBytes } = await import('../dist/train/state.js');
  const { from, speeds } = stepSpeeds();
  const reference = speeds.get('bf16');
  const rows = COSTED.map((recipe) => {
    const speed = speeds.get(recipe.name);
    return [
      Object.hasOwn(RECIPES, recipe.name) ? code(recipe.name) : recipe.name,
      speed ? Math.round(speed).toLocaleString('en') : 'not measured yet',
      speed && reference ? (speed / reference).toFixed(2) : '',
      String(Number(matrixStateBytes(recipe, 2 ** 20).toFixed(3))),
    ];
  });
  return `${table([['recipe', 'tokens/s', 'against `bf16`', 'bytes of state per parameter of a matrix'], ...rows])}\n\n${from}`;
}

/** The committed reports of a study, the full size first: folders below docs, as written by the command. */
const reportsOf = (name) =>
  [`studies/${name}`, `studies/${name}-quick`]
    .map((folder, i) => ({ size: i === 0 ? 'full' : 'quick', folder }))
    .filter(({ folder }) => existsSync(join(ROOT, 'docs', folder, 'results.json')));

/** What the largest committed report of a study says about its first measure, and where the full report is. */
const foundBy = (name) => async () => {
  const { MEASURES, nameOf } = await import('../dist/study/index.js');
  const { differenceText, estimateText } = await import('../dist/report/study/numbers.js');
  const [report] = reportsOf(name);
  if (!report) return 'No report is committed yet.';
  const { experiment, runs, cells } = JSON.parse(read(`docs/${report.folder}/results.json`));
  const [measure] = experiment.measures;
  const { title, unit } = MEASURES[measure];
  const rows = cells.map(({ cell, baseline, runs: count, diverged, measures }) => {
    const { value, difference } = measures[measure];
    return [
      nameOf(cell),
      `${diverged} of ${count}`,
      estimateText(value),
      difference ? differenceText(measure, difference) : '',
      difference?.words ?? (baseline ? '' : 'baseline'),
    ];
  });
  const head = [Object.keys(experiment.axes).join(', '), 'diverged', title, 'against the baseline', 'in words'];
  const about = `${report.size} size, ${runs.length} runs of ${runs[0].tokens.toLocaleString('en')} tokens; ${title.toLowerCase()}: ${unit}`;
  const links = [
    `[summary](${report.folder}/${name}.md)`,
    `[report](${report.folder}/report.html)`,
    `[runs](${report.folder}/results.csv)`,
  ];
  return `${table([head, ...rows])}\n\n(${about}; ${links.join(', ')})`;
};

/** The studies shipped with the package: question, size, and committed report. */
async function studies() {
  const { shippedStudies, readExperiment } = await import('../dist/cli/study/library.js');
  const { cellsOf } = await import('../dist/study/plan.js');
  const cost = (experiment) => {
    const runs = cellsOf(experiment).length * experiment.seeds;
    return `${runs} runs, ${((runs * experiment.tokens) / 1e6).toFixed(1)} M`;
  };
  const rows = shippedStudies().map(async (study) => {
    const [full, quick] = await Promise.all(['full', 'quick'].map((size) => readExperiment(study, size)));
    const links = reportsOf(study.name).map(({ size, folder }) => `[${size}](${folder}/${study.name}.md)`);
    return [code(study.name), full.title, cost(full), cost(quick), links.join(', ') || 'none yet'];
  });
  const head = ['name', 'what it is about', 'full size: runs, tokens', 'quick', 'committed reports'];
  return table([head, ...(await Promise.all(rows))]);
}

/** The options of one `octavo` command, as listed by its help. */
async function flags(make) {
  const rows = make().options.map(({ flags: name, description, mandatory, defaultValue }) => {
    const given = defaultValue === undefined ? '' : ` (default: ${JSON.stringify(defaultValue)})`;
    return [code(name), `${mandatory ? 'required; ' : ''}${plain(description + given)}`];
  });
  return table([['flag', 'meaning'], ...rows]);
}
const flagsOf = (command) => async () => {
  const module = await import(`../dist/cli/${command}.js`);
  return flags(module[`${command}Command`]);
};

/** The numeric settings of a run, from the tables that check them. */
async function options() {
  const { INTERVALS, SETTINGS, SIZES } = await import('../dist/train/settings.js');
  const { FLAG_OF } = await import('../dist/cli/flag-names.js');
  const range = ({ integer, min = 1, max, open }) => {
    const bounds =
      max === undefined ? `${open ? 'above' : 'at least'} ${min}` : `${min} to ${max}${open ? ', exclusive' : ''}`;
    return `${integer ? 'integer' : 'number'}, ${max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : bounds}`;
  };
  const fallback = ({ otherwise, fallback }) => otherwise ?? (fallback === undefined ? 'required' : String(fallback));
  const rowsOf = (table, prefix) =>
    Object.entries(table).map(([name, row]) => [
      code(prefix + name),
      FLAG_OF[name] ? code(FLAG_OF[name]) : '',
      fallback(row),
      range(row),
      plain(row.about),
    ]);
  const rows = [...rowsOf(SIZES, 'config.'), ...rowsOf(SETTINGS, ''), ...rowsOf(INTERVALS, '')];
  return table([['option', 'flag', 'default', 'range', 'meaning'], ...rows]);
}

const FOLDERS = [
  ['assembly', /\.ts$/],
  ['src', /^src\/index\.ts$/],
  ['src/formats', /\.ts$/],
  ['src/engine', /\.ts$/],
  ['src/ops', /\.ts$/],
  ['src/interop', /\.ts$/],
  ['src/model', /\.ts$/],
  ['src/train', /\.ts$/],
  ['src/study', /\.ts$/],
  ['src/verify', /\.ts$/],
  ['src/report', /\.ts$/],
  ['src/cli', /\.ts$/],
  ['scripts', /\.(mjs|py)$/],
];

/** The first sentence of a file's head comment. */
function purpose(path) {
  const text = read(path);
  const comment = path.endsWith('.py') ? text.match(/"""([\s\S]*?)"""/) : text.match(/\/\*\*([\s\S]*?)\*\//);
  if (!comment) throw new Error(`${path}: expected a head comment that says what the file is, got none`);
  const words = comment[1].replace(/^\s*\* ?/gm, ' ').replace(/\s+/g, ' ');
  const sentence = words.trim().match(/^.*?\.(?= |$)/)?.[0] ?? words.trim();
  return plain(sentence.replace(/\{@link (\w+)\}/g, '`$1`'));
}

/** Every source file with the first sentence of its head comment. */
function files() {
  const lists = FOLDERS.map(([folder, pattern]) => {
    const paths = filesBelow(folder).filter((path) => pattern.test(path));
    const lines = paths.map((path) => `- ${code(path.slice(folder.length + 1))}: ${purpose(path)}`);
    return `### ${folder}\n\n${lines.join('\n')}`;
  });
  return lists.join('\n\n');
}

const STUDIES = readdirSync(join(ROOT, 'studies')).map((file) => file.replace(/\.json$/, ''));
const CHARTS = charts();
const pictures = () => [...CHARTS].map(([path, { title }]) => `![${title}](${path})`).join('\n\n') || 'None yet.';

const PARTS = {
  'docs/architecture.md': { files },
  'docs/benchmarks.md': { charts: pictures, results: tables },
  'docs/library.md': { options },
  'docs/numerics.md': { formats, overflow, recipes },
  'docs/recipes.md': { named, costs },
  'docs/training.md': {
    'train-flags': flagsOf('train'),
    'generate-flags': flagsOf('generate'),
    'eval-flags': flagsOf('eval'),
    'inspect-flags': flagsOf('inspect'),
    'verify-flags': flagsOf('verify'),
    'diff-flags': flagsOf('diff'),
    'serve-flags': flagsOf('serve'),
  },
  'docs/studies.md': {
    'study-flags': flagsOf('study'),
    studies,
    ...Object.fromEntries(STUDIES.map((name) => [`found-${name}`, foundBy(name)])),
  },
};

/** Files that are generated completely. */
const WHOLE = new Map([...CHARTS].map(([path, { svg }]) => [`docs/${path}`, svg]));

export const DOCUMENTS = [...Object.keys(PARTS), ...WHOLE.keys()];

/** A document with its generated parts updated. */
export async function rendered(path) {
  if (WHOLE.has(path)) return WHOLE.get(path);
  let text = read(path);
  for (const [name, make] of Object.entries(PARTS[path])) {
    text = replaceMarked(path, text, name, await make());
  }
  return text;
}

async function main() {
  const check = process.argv.includes('--check');
  for (const path of DOCUMENTS) {
    const text = await rendered(path);
    if (existsSync(join(ROOT, path)) && text === read(path)) continue;
    console.log(check ? `${path}: not current; run node scripts/docs.mjs` : `${path}: written`);
    if (check) process.exitCode = 1;
    else {
      mkdirSync(dirname(join(ROOT, path)), { recursive: true });
      writeFileSync(join(ROOT, path), text);
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
