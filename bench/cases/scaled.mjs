/**
 * The cost of scales: the same E4M3FN product with a scale per tensor, per row, or per block of the operands, as in the recipes, against the
 * mirror. Operations counted: 2 M N K.
 */
import { encode } from '../../dist/formats/index.js';
import { matmul } from '../../dist/ops/matmul.js';
import { read } from '../../dist/ops/quantize.js';
import { floats } from '../../dist/ops/tensor.js';
import * as mirror from '../mirror.mjs';
import { operations } from '../work.mjs';
import { checkedRows, pick } from './gemm.mjs';

const DTYPE = 'float8_e4m3fn';
/** How A and B are scaled; the first is the one that the others are compared with. */
const FORMS = [
  { name: 'per tensor', scalings: ['tensor', 'tensor'] },
  { name: 'per row', scalings: ['row', 'row'] },
  { name: 'MX, blocks of 1 x 32', scalings: ['mx', 'mx'] },
  { name: 'blocks of 1 x 128, and of 128 x 128', scalings: [{ block: [1, 128] }, { block: [128, 128] }] },
];

export const scaledCases = ({ scaled: { m, n, k } }) => [
  {
    name: `gemm with scales, ${m} x ${n} x ${k} nt`,
    detail: { kind: 'scaled gemm' },
    prepare: ({ engine }) => FORMS.map((form) => product(engine, { m, n, k }, form)),
  },
];

function product(engine, { m, n, k }, { name, scalings }) {
  const random = new mirror.Random(m + n + k);
  const [a, b] = [m, n].map((rows, i) => operand(engine, random.normals(rows * k), [rows, k], scalings[i]));
  const out = engine.empty([m, n], 'float32');
  const rows = checkedRows(m, n * k);
  return {
    name,
    ...operations(2 * m * n * k, DTYPE),
    run: () => {
      matmul(engine, a.tensor, b.tensor, { transposeB: true, out });
      return out;
    },
    seen: (c) => ({ rows: pick(engine.codes(c), n, rows) }),
    expected: () => {
      const picked = pick(a.values, k, rows);
      const shape = { m: rows.length, n, k, transposeA: false, transposeB: true };
      const sums = mirror.gemm.sums({ ...shape, a: picked, b: b.values });
      const rowScale = a.rowScale && Float32Array.from(rows, (row) => a.rowScale[row]);
      const alpha = Math.fround(a.scale * b.scale);
      return { rows: mirror.gemm.finish(sums, n, { alpha, rowScale, columnScale: b.rowScale, outScale: 1 }).values };
    },
  };
}

/** A tensor and what the kernel multiplies: its codes, or, with blocks, its values, which are BF16 numbers; and the remaining scales. */
function operand(engine, numbers, shape, scaling) {
  const tensor = engine.quantize(numbers, shape, { dtype: DTYPE, scaling });
  const { scaleInv } = tensor;
  if (typeof scaleInv !== 'number' && 'blocks' in scaleInv) {
    return { tensor, values: mirror.operands(encode(read(engine, tensor), 'bfloat16'), 'bfloat16'), scale: 1 };
  }
  const values = mirror.operands(engine.codes(tensor), DTYPE);
  if (typeof scaleInv === 'number') return { tensor, values, scale: scaleInv };
  const scales = { ptr: scaleInv.rows, shape: [shape[0]], dtype: 'float32', scaleInv: 1 };
  return { tensor, values, scale: 1, rowScale: floats(engine, scales).slice() };
}
