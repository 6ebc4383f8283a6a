/** C = A B over the shapes of bench/shapes: ours against the mirror, rivals' against float64. Operations counted: 2 M N K. */
import { encode, formatSpec } from '../../dist/formats/index.js';
import { canPrepack, matmul, prepack } from '../../dist/ops/matmul.js';
import { powerOfTwoScale } from '../../dist/ops/scale.js';
import * as mirror from '../mirror.mjs';
import { titleOf } from '../table.mjs';
import { operations } from '../work.mjs';

const OPERANDS = ['float32', 'bfloat16', 'float8_e4m3fn'];
const OUTPUTS = ['float32', 'bfloat16'];
/** Multiply-adds that the mirror does for a check, which take tenths of a second. Larger products are checked in a selection of rows. */
const CHECKED = 2e7;
/** Rows up to which a prepacked weight is useful. */
const FEW = 16;
/** Period of the random numbers: a prime, so that rows differ. Large operands would otherwise take minutes to generate. */
const PERIOD = 1000003;

export const gemmCases = ({ shapes }) =>
  shapes.map((shape) => ({
    name: `gemm ${shape.name}, ${shape.m} x ${shape.n} x ${shape.k} ${shape.layout}`,
    detail: { kind: 'gemm', m: shape.m, n: shape.n, k: shape.k, shapes: shape.name.split(' ')[0] },
    prepare: async ({ engine, single, rivals, threads }) => [
      ...OPERANDS.flatMap((dtype) => products(engine, shape, dtype)),
      ...(single ? onOneThread(products(single, shape, 'float8_e4m3fn')) : []),
      ...(await rivalProducts(rivals, shape, threads)),
    ],
  }));

function numbers(random, count) {
  const block = random.normals(Math.min(count, PERIOD));
  const values = new Float32Array(count);
  for (let at = 0; at < count; at += PERIOD) values.set(block.subarray(0, Math.min(PERIOD, count - at)), at);
  return values;
}

function products(engine, { m, n, k, layout }, dtype) {
  const random = new mirror.Random(m + n + k);
  const [transposeA, transposeB] = [layout[0] === 't', layout[1] === 't'];
  const a = operand(random, transposeA ? [k, m] : [m, k], dtype);
  const b = operand(random, transposeB ? [n, k] : [k, n], dtype);
  const [placedA, placedB] = [mirror.place(engine, a), mirror.place(engine, b)];
  const forms = [{ name: dtype, b: placedB }];
  if (m <= FEW && transposeB && canPrepack(placedB)) {
    forms.unshift({ name: `${dtype}, prepacked`, b: prepack(engine, placedB), prepacked: true });
  }
  const rows = checkedRows(m, n * k);
  let sums;
  const mirrored = () => {
    sums ??= mirror.gemm.sums({
      ...{ m: rows.length, n, k, transposeA: false, transposeB },
      a: rowsOf(mirror.operands(a.codes, dtype), m, k, transposeA, rows),
      b: mirror.operands(b.codes, dtype),
    });
    return sums;
  };
  const contenders = OUTPUTS.flatMap((outType) => forms.map((form) => ({ outType, ...form })));
  return contenders.map(({ outType, name, b: operandB, prepacked }) => {
    const out = engine.empty([m, n], outType);
    return {
      name: `${name} -> ${outType}`,
      detail: { operands: dtype, out: outType, prepacked },
      ...operations(2 * m * n * k, dtype),
      run: () => {
        matmul(engine, placedA, operandB, { transposeA, transposeB, out });
        return out;
      },
      seen: (c) => ({ rows: pick(engine.codes(c), n, rows) }),
      expected: () => ({ rows: mirror.store(mirrored(), outType) }),
    };
  });
}

/** What threads are worth is a ratio within one run. */
const onOneThread = (contenders) =>
  contenders
    .filter(({ detail }) => detail.out === 'float32')
    .map(({ name, detail, ...rest }) => ({ name: `${name}, one thread`, detail: { ...detail, threads: 1 }, ...rest }));

/** One-byte codes have a scale, as everywhere in recipes: the largest value is within a factor of two of the format's maximum. */
function operand(random, shape, dtype) {
  const values = numbers(random, shape[0] * shape[1]);
  const { bytes, max } = formatSpec(dtype);
  const scaled = bytes > 1 ? values : mirror.scaled(values, powerOfTwoScale(mirror.amax(values), max));
  return { dtype, shape, codes: encode(scaled, dtype) };
}

/** Each rival's contenders for the product, with operands stored in its preferred layout. */
async function rivalProducts(rivals, { m, n, k }, threads) {
  if (rivals.length === 0) return [];
  const random = new mirror.Random(m + n + k);
  const [a, b] = [numbers(random, m * k), numbers(random, k * n)];
  const rows = checkedRows(m, n * k);
  const contenders = [];
  for (const rival of rivals) {
    for (const { form, sync, run, read, close } of await rival.gemm({ m, n, k, a, b })) {
      contenders.push({
        name: titleOf(rival, form, threads),
        detail: { rival: rival.name },
        // Whatever the rival uses, a fused multiply-add is the best a 128-bit engine can do.
        ...operations(2 * m * n * k, 'float8_e4m3fn'),
        deferred: !sync,
        run,
        seen: async (c) => ({ error: errorOf(pick(await read(c), n, rows), { n, k, a, b }, rows) }),
        // The bound for any order of summation (Higham, "Accuracy and stability of numerical algorithms", section 3.1).
        expected: () => ({ error: { near: 0, within: k * 2 ** -24 } }),
        close,
      });
    }
  }
  return contenders;
}

/** Largest difference from the product in float64, relative to the sum of the magnitudes of the products. */
function errorOf(found, { n, k, a, b }, rows) {
  let worst = found.length === rows.length * n ? 0 : Number.NaN;
  rows.forEach((row, i) => {
    const [sums, sizes] = [new Float64Array(n), new Float64Array(n)];
    for (let l = 0; l < k; l++) {
      const x = a[row * k + l];
      for (let j = 0; j < n; j++) {
        const product = x * b[l * n + j];
        sums[j] += product;
        sizes[j] += Math.abs(product);
      }
    }
    for (let j = 0; j < n; j++) worst = Math.max(worst, Math.abs(found[i * n + j] - sums[j]) / sizes[j]);
  });
  return worst;
}

/** All rows, or as many as the check's time allows, evenly spaced from the first to the last. */
export function checkedRows(m, work) {
  const count = Math.min(m, Math.max(2, Math.floor(CHECKED / work)));
  return Array.from({ length: count }, (_, i) => (count === 1 ? 0 : Math.round((i * (m - 1)) / (count - 1))));
}

/** Rows of A (M x K, or K x M when transposed) as a matrix. */
function rowsOf(values, m, k, transposed, rows) {
  if (!transposed) return pick(values, k, rows);
  return Float32Array.from({ length: rows.length * k }, (_, i) => values[(i % k) * m + rows[Math.floor(i / k)]]);
}

export function pick(values, columns, rows) {
  const picked = new values.constructor(rows.length * columns);
  rows.forEach((row, i) => {
    picked.set(values.subarray(row * columns, (row + 1) * columns), i * columns);
  });
  return picked;
}
