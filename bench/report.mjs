/** Renders the figures of bench/results as the tables and charts of docs/benchmarks.md. */
import { lineChart } from './chart.mjs';
import { environmentLines } from './environment.mjs';
import { quantile } from './harness.mjs';
import { newestResults } from './results.mjs';
import { percent, rateOf, short } from './table.mjs';

const NONE = 'No results yet: `npm run bench -- --rivals --json` makes them, with `--long` for all sizes of models.';
const BUILD_ORDER = ['relaxed', 'turbo', 'simd'];

const line = (cells) => `| ${cells.join(' | ')} |`;
function table(head, rows) {
  const uneven = rows.find(({ length }) => length !== head.length);
  if (uneven) throw new Error(`expected ${head.length} cells, got ${uneven.join(' | ')}`);
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
const giga = (row) => (row ? short(row.rate / 1e9) : '');

/** Median over the rounds of how much faster `row` was than `other` in the same round. */
function times(row, other) {
  if (!row || !other) return '';
  const ratios = row.rounds.map((seconds, i) => other.rounds[i] / seconds);
  return `${short(quantile(ratios, 0.5))}x`;
}

/** Order of files: Node before browsers, newest first, one thread before several, the usual build before the other. */
function ordered(files) {
  const inNode = ({ runtime }) => runtime.startsWith('node ');
  const major = ({ runtime }) => Number(runtime.match(/\d+/)?.[0] ?? 0);
  return [...files].sort(
    (a, b) =>
      inNode(b) - inNode(a) ||
      major(b) - major(a) ||
      a.threads - b.threads ||
      BUILD_ORDER.indexOf(a.build) - BUILD_ORDER.indexOf(b.build) ||
      a.runtime.localeCompare(b.runtime),
  );
}

const ofKind = ({ results }, ...kinds) => results.filter(({ kind }) => kinds.includes(kind));
const fastest = (rows) => rows.reduce((best, row) => (!best || row.rate > best.rate ? row : best), undefined);
/** Names of the rivals that took part. Native code comes last, because it is a reference point and not a rival on equal terms. */
const rivalsIn = (cases) => {
  const names = [...new Set(cases.flatMap(({ rows }) => rows.flatMap(({ rival }) => rival ?? [])))];
  return names.sort((a, b) => isNative(a) - isNative(b));
};
const isNative = (rival) => /onnxruntime-node|PyTorch/.test(rival);
const rivalRow = ({ rows }, name) => fastest(rows.filter(({ rival }) => rival === name));
/** Our fastest form: prepacked weights if there are any, since the rivals use them too. */
const ours = ({ rows }, operands, threads) =>
  fastest(rows.filter((row) => row.operands === operands && row.out === 'float32' && row.threads === threads));

function products(file) {
  const cases = ofKind(file, 'gemm');
  if (cases.length === 0) return '';
  const rivals = rivalsIn(cases);
  const hasSingle = cases.some((each) => ours(each, 'float8_e4m3fn', 1));
  const withCeiling = (row) => (row ? `${giga(row)} (${percent(row.ofCeiling)})` : '');
  const rows = cases.map((each) => {
    const { m, n, k, name } = each;
    const fp8 = ours(each, 'float8_e4m3fn');
    const against = (row) => (row ? `${giga(row)} (${times(fp8, row)})` : '');
    return [
      `${m} x ${n} x ${k} ${name.split(' ').at(-1)}`,
      ...['float8_e4m3fn', 'bfloat16', 'float32'].map((operands) => withCeiling(ours(each, operands))),
      ...(hasSingle ? [against(ours(each, 'float8_e4m3fn', 1))] : []),
      ...rivals.map((rival) => against(rivalRow(each, rival))),
    ];
  });
  const head = [
    'M x N x K, GFLOP/s',
    ...['e4m3fn', 'bfloat16', 'float32'].map((name) => `${name} -> float32 (of its ceiling)`),
    ...(hasSingle ? ['e4m3fn on one thread (all threads against it)'] : []),
    ...rivals.map((rival) => `${rival}, float32 (our e4m3fn against it)`),
  ];
  return `#### Products of matrices\n\n${table(head, rows)}`;
}

function codecs(file) {
  const [encoding, decoding] = [ofKind(file, 'encode')[0], ofKind(file, 'decode')[0]];
  if (!encoding || !decoding) return '';
  const encodings = ['resident', 'mostly subnormal', 'end to end', 'counted', 'stochastic'];
  const decodings = encodings.slice(0, 3);
  const find = ({ rows }, dtype, form) => rows.find((row) => row.dtype === dtype && row.form === form);
  const cell = (row) => (row ? `${giga(row)} (${percent(row.ofCeiling)})` : '');
  const dtypes = [...new Set(encoding.rows.filter(({ rival }) => !rival).map(({ dtype }) => dtype))];
  const rows = dtypes.map((dtype) => [
    `\`${dtype}\``,
    ...encodings.map((form) => cell(find(encoding, dtype, form))),
    ...decodings.map((form) => cell(find(decoding, dtype, form))),
  ]);
  for (const rival of rivalsIn([encoding, decoding])) {
    const found = [encoding, decoding].map((each) => {
      const row = rivalRow(each, rival);
      return row ? `${giga(row)} (ours ${times(find(each, 'float8_e4m3fn', 'resident'), row)})` : '';
    });
    rows.push([`${rival}, e4m3fn`, found[0], '', '', '', '', found[1], '', '']);
  }
  const head = [
    'GB/s (of memory.copy)',
    ...encodings.map((form) => `encode, ${form}`),
    ...decodings.map((form) => `decode, ${form}`),
  ];
  return `#### Float32 to codes and back, ${encoding.elements.toLocaleString('en')} elements\n\n${table(head, rows)}`;
}

function steps(file) {
  const cases = ofKind(file, 'step').sort((a, b) => a.parameters - b.parameters);
  if (cases.length === 0) return '';
  const hasSingle = cases.some(({ rows }) => rows.some(({ threads }) => threads === 1));
  const rows = cases.flatMap((each) => {
    const find = (pattern) => each.rows.find(({ rival }) => pattern.test(rival ?? ''));
    const [jax, torch] = [find(/^jax/), find(/^PyTorch/)];
    const single = each.rows.find(({ threads }) => threads === 1);
    return each.rows.map((row) => [
      `${(each.parameters / 1e6).toFixed(1)} M`,
      row.name,
      short(row.rate),
      short((6 * each.parameters * row.rate) / 1e9),
      times(row, each.rows[0]),
      times(row, jax),
      times(row, torch),
      ...(hasSingle ? [row.recipe === 'fp8' ? times(row, single) : ''] : []),
      row.peakBytes ? short(row.peakBytes / 1e6) : '',
    ]);
  });
  const head = [
    'parameters',
    'recipe or rival',
    'tokens/s',
    'GFLOP/s',
    'against f32',
    'against jax-js',
    'against PyTorch',
    ...(hasSingle ? ['against one thread'] : []),
    'peak memory, MB',
  ];
  return `#### Training step, ${cases[0].tokens.toLocaleString('en')} tokens\n\n${table(head, rows)}`;
}

/** Kernels below this share of a step are combined in one row. */
const SMALL_SHARE = 0.005;

/** Where the time of a step goes, by kernel, for the model that rivals are measured on. */
function profile(file) {
  const measured = ofKind(file, 'step').find(({ rows }) => rows.some(({ rival }) => rival));
  const rows = measured?.rows.filter(({ kernels }) => kernels) ?? [];
  if (rows.length === 0) return '';
  const share = (row, name) => row.kernels[name] ?? 0;
  const names = [...new Set(rows.flatMap(({ kernels }) => Object.keys(kernels)))];
  const large = names.filter((name) => name !== 'host' && rows.some((row) => share(row, name) >= SMALL_SHARE));
  const cells = (find) => rows.map((row) => percent(find(row)));
  const rest = (row) => names.reduce((sum, name) => (large.includes(name) ? sum : sum + share(row, name)), 0);
  return `#### Where the time of a step goes, ${(measured.parameters / 1e6).toFixed(1)} M parameters\n\n${table(
    ['kernel', ...rows.map(({ name }) => name)],
    [
      ...large.map((name) => [`\`${name}\``, ...cells((row) => share(row, name))]),
      ['the rest, and the host', ...cells(rest)],
    ],
  )}`;
}

function others(file) {
  const cases = file.results.filter(({ kind }) => !['gemm', 'encode', 'decode', 'step'].includes(kind));
  if (cases.length === 0) return '';
  const rows = cases.flatMap(({ name, rows: all }) =>
    all.map((row) => [name, row.name, rateOf(row).trim(), `${percent(row.ofCeiling)} of ${row.ceiling}`]),
  );
  return `#### The rest\n\n${table(['case', '', 'rate', 'of the ceiling'], rows)}`;
}

/** Which cases are of the file's commit, where others were kept from earlier ones. */
function commitLines({ results }) {
  const earlier = [...new Set(results.map(({ commit }) => commit))].filter(Boolean);
  if (earlier.length === 0) return [];
  const own = results.filter(({ commit }) => !commit).map(({ name }) => name);
  const counts = earlier.map((commit) => `${commit}, ${results.filter((each) => each.commit === commit).length} cases`);
  return [`of it    ${own.join('; ')}`, `others   ${counts.join('; ')}`];
}

function section(file) {
  const title = `### ${file.runtime}, build ${file.build}, ${file.threads} thread${file.threads > 1 ? 's' : ''}`;
  const notes = (file.rivals ?? []).map(({ name, includes }) => `- ${name}: ${includes}.`).join('\n');
  const about = `\`\`\`text\n${[...environmentLines(file), ...commitLines(file)].join('\n')}\n\`\`\``;
  return [title, about, notes, products(file), codecs(file), steps(file), profile(file), others(file)]
    .filter(Boolean)
    .join('\n\n');
}

const results = ordered(newestResults());
const [main] = results;

/** Tokens per second of a step of the demo's model, by recipe name, and a sentence that says where the figures come from. */
export function stepSpeeds() {
  const file = results.find((each) => ofKind(each, 'demo step').length > 0);
  const command = "`npm run bench -- --filter 'training step, .* 4 x 256' --json`";
  if (!file) return { from: `Speeds are not measured yet: ${command}.`, speeds: new Map() };
  const { parameters, tokens, rows } = ofKind(file, 'demo step').sort((a, b) => a.parameters - b.parameters)[0];
  const model = `${parameters.toLocaleString('en')} parameters, ${tokens} tokens a step`;
  const where = `${file.machine.cpu}, ${file.runtime}, build \`${file.build}\`, ${file.threads} thread${file.threads > 1 ? 's' : ''}`;
  return {
    from: `Speeds: the demo's model (${model}), median of ${file.rounds} interleaved rounds on ${where}; ${command}.`,
    speeds: new Map(rows.map(({ name, rate }) => [name, rate])),
  };
}

/** All tables, for docs/benchmarks.md. */
export const tables = () => (main ? results.map(section).join('\n\n') : NONE);

function squares() {
  const cases = ofKind(main, 'gemm')
    .filter(({ m, n, k, shapes }) => shapes === 'squares' && m === n && n === k)
    .sort((a, b) => a.n - b.n);
  if (cases.length < 2) return undefined;
  const along = (name, find, dashed = false) => ({
    name,
    dashed,
    points: cases.flatMap((each) => {
      const row = find(each);
      return row ? [[each.n, row.rate / 1e9]] : [];
    }),
  });
  const series = [
    along('Octavo, e4m3fn', (each) => ours(each, 'float8_e4m3fn')),
    along('Octavo, float32', (each) => ours(each, 'float32')),
    ...rivalsIn(cases)
      .filter((rival) => !isNative(rival))
      .map((rival) => along(rival, (each) => rivalRow(each, rival))),
    along(main.fused ? 'relaxed madd loop' : 'mul + add loop', ({ ceilings }) => fastest(ceilings), true),
  ];
  return lineChart({
    title: `n x n x n products, ${main.runtime}, ${main.threads} thread${main.threads > 1 ? 's' : ''}`,
    xTitle: 'n',
    yTitle: 'GFLOP/s',
    series: series.filter(({ points }) => points.length > 0),
    xTicks: cases.map(({ n }) => ({ at: n, text: String(n) })),
  });
}

function stepSizes() {
  const cases = ofKind(main, 'step').sort((a, b) => a.parameters - b.parameters);
  if (cases.length < 2) return undefined;
  const names = [...new Set(cases.flatMap(({ rows }) => rows.map(({ name }) => name)))];
  const series = names.map((name) => ({
    name: name.replace(', float32', ''),
    points: cases.flatMap(({ parameters, rows }) => {
      const row = rows.find((each) => each.name === name);
      return row ? [[parameters, row.rate]] : [];
    }),
  }));
  return lineChart({
    title: `Training steps, ${main.runtime}, ${main.threads} thread${main.threads > 1 ? 's' : ''}`,
    xTitle: 'parameters',
    yTitle: 'tokens/s',
    series,
    xTicks: cases.map(({ parameters }) => ({ at: parameters, text: `${(parameters / 1e6).toFixed(1)} M` })),
    yLog: true,
  });
}

/** Path in docs -> SVG, for the charts that the figures suffice for. */
export function charts() {
  if (!main) return new Map();
  const made = [
    ['charts/products.svg', 'GFLOP/s against n', squares()],
    ['charts/steps.svg', 'tokens/s against parameters', stepSizes()],
  ];
  return new Map(made.filter(([, , svg]) => svg).map(([path, title, svg]) => [path, { title, svg }]));
}
