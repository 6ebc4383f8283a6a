/** The product with kernels compiled for other slices of K (`--use GEMM_KC`), by which the default in assembly/gemm.ts was chosen. */
import { init } from '../../dist/index.js';
import { matmul } from '../../dist/ops/matmul.js';
import { compileKernels } from '../compile.mjs';
import * as mirror from '../mirror.mjs';
import { operations } from '../work.mjs';
import { checkedRows, pick } from './gemm.mjs';

const DTYPES = ['float8_e4m3fn', 'float32'];

/** Kernels by build, threads and slice, compiled once for all formats. */
const compiled = new Map();

function kernelsOf(build, threads, slice) {
  const key = `${build} ${threads} ${slice}`;
  if (!compiled.has(key)) compiled.set(key, compileKernels(build, threads, { GEMM_KC: slice }));
  return compiled.get(key);
}

export const blockingCases = ({ blocking: { shape, slices } }) =>
  DTYPES.map((dtype) => ({
    name: `gemm by slice of K, ${shape.m} x ${shape.n} x ${shape.k} nn, ${dtype}`,
    // Marked long because compiling takes longer than measuring.
    long: true,
    prepare: async ({ engine: { info }, threads }) => {
      const random = new mirror.Random(shape.k);
      const [a, b] = [
        mirror.normals(random, [shape.m, shape.k], dtype),
        mirror.normals(random, [shape.k, shape.n], dtype),
      ];
      const contenders = [];
      for (const slice of slices)
        contenders.push(await contender(shape, dtype, { a, b, slice, build: info.build, threads }));
      return contenders;
    },
  }));

async function contender({ m, n, k }, dtype, { a, b, slice, build, threads }) {
  const engine = await init({ build, threads, wasm: await kernelsOf(build, threads, slice) });
  const [placedA, placedB] = [mirror.place(engine, a), mirror.place(engine, b)];
  const out = engine.empty([m, n], 'float32');
  const rows = checkedRows(m, n * k);
  return {
    name: `slices of ${slice}`,
    ...operations(2 * m * n * k, dtype),
    run: () => {
      matmul(engine, placedA, placedB, { out });
    },
    seen: () => ({ rows: pick(engine.read(out), n, rows) }),
    expected: () => ({
      rows: mirror.gemm.sums({
        ...{ m: rows.length, n, k, transposeA: false, transposeB: false },
        a: pick(a.values, k, rows),
        b: b.values,
      }),
    }),
    close: () => engine.dispose(),
  };
}
