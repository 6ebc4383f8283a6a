/** C = A B over the shapes of bench/shapes, against the mirror. Operations: 2 M N K. */
import { matmul } from '../../dist/ops/matmul.js';
import * as mirror from '../mirror.mjs';
import { operations } from '../work.mjs';

const OPERANDS = ['float32', 'bfloat16', 'float8_e4m3fn'];
const OUTPUTS = ['float32', 'bfloat16'];
/** Multiply-adds the mirror does for a check, in tenths of a second. Larger products are checked in rows all over C. */
const CHECKED = 2e7;

export const gemmCases = ({ shapes }) =>
  shapes.map((shape) => ({
    name: `gemm ${shape.name}, ${shape.m} x ${shape.n} x ${shape.k} ${shape.layout}`,
    prepare: ({ engine }) => OPERANDS.flatMap((dtype) => products(engine, shape, dtype)),
  }));

function products(engine, { m, n, k, layout }, dtype) {
  const random = new mirror.Random(m + n + k);
  const [transposeA, transposeB] = [layout[0] === 't', layout[1] === 't'];
  const a = mirror.normals(random, transposeA ? [k, m] : [m, k], dtype);
  const b = mirror.normals(random, transposeB ? [n, k] : [k, n], dtype);
  const [placedA, placedB] = [mirror.place(engine, a), mirror.place(engine, b)];
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
  return OUTPUTS.map((outType) => {
    const out = engine.empty([m, n], outType);
    return {
      name: `${dtype} -> ${outType}`,
      ...operations(2 * m * n * k, dtype),
      run: () => {
        matmul(engine, placedA, placedB, { transposeA, transposeB, out });
        return out;
      },
      seen: (c) => ({ rows: pick(engine.codes(c), n, rows) }),
      expected: () => ({ rows: mirror.store(mirrored(), outType) }),
    };
  });
}

/** All rows, or as many as the check's time allows, evenly from the first to the last. */
export function checkedRows(m, work) {
  const count = Math.min(m, Math.max(2, Math.floor(CHECKED / work)));
  return Array.from({ length: count }, (_, i) => (count === 1 ? 0 : Math.round((i * (m - 1)) / (count - 1))));
}

/** Rows of A (M x K, or K x M when transposed) as a matrix. */
function rowsOf(values, m, k, transposed, rows) {
  if (!transposed) return pick(values, k, rows);
  return Float32Array.from({ length: rows.length * k }, (_, i) => values[(i % k) * m + rows[Math.floor(i / k)]]);
}

function pick(values, columns, rows) {
  const picked = new values.constructor(rows.length * columns);
  rows.forEach((row, i) => {
    picked.set(values.subarray(row * columns, (row + 1) * columns), i * columns);
  });
  return picked;
}
