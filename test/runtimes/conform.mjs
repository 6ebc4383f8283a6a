/**
 * Runs in every runtime, on the compiled library: what `octavo/formats` makes of all BF16 numbers and its arrays, without WebAssembly; then
 * for each engine `octavo verify`, products, and training runs. All as digests, which must be the same everywhere.
 */
import { digest, numbers } from './bits.mjs';
import { trained } from './training.mjs';

/** Throws while it runs if WebAssembly is touched. */
async function withoutWebAssembly(run) {
  const { WebAssembly: real } = globalThis;
  globalThis.WebAssembly = new Proxy(real, {
    get: (_, name) => {
      throw new Error(`octavo/formats: expected no WebAssembly, got WebAssembly.${String(name)}`);
    },
  });
  try {
    return await run();
  } finally {
    globalThis.WebAssembly = real;
  }
}

async function formatsDigest() {
  const formats = await import('../../dist/formats/index.js');
  const { DTYPES, ROUNDING_IDS, decode, encode, Float8E4M3FNArray, BFloat16Array } = formats;
  const inputs = decode(
    Uint16Array.from({ length: 65536 }, (_, code) => code),
    'bfloat16',
  );
  const results = DTYPES.flatMap((dtype) =>
    Object.keys(ROUNDING_IDS).flatMap((rounding) =>
      [true, false].map((saturate) => encode(inputs, dtype, { rounding, saturate, seed: 5 })),
    ),
  );
  const sorted = Float8E4M3FNArray.from([3, 0.1, -2, 1000]).sort();
  return digest([...results, sorted.codes, BFloat16Array.of(...sorted, 1 / 3).codes]);
}

/** A digest of products in shapes with edges of every kind, from pseudo-random FP8 and BF16 operands. */
function products(engine) {
  const next = numbers(1);
  const matrix = (rows, columns, dtype) => {
    const values = Float32Array.from({ length: rows * columns }, next);
    return dtype === 'bfloat16'
      ? engine.tensor(values, [rows, columns], dtype)
      : engine.quantize(values, [rows, columns], { dtype });
  };
  const seen = [];
  for (const dtype of ['float8_e4m3fn', 'float8_e5m2', 'bfloat16']) {
    for (const m of [1, 2, 6, 7, 95, 97]) {
      for (const n of [1, 8, 9, 16, 17, 31, 530]) {
        for (const k of [1, 15, 16, 257, 1030]) {
          if (m * n * k > 2e7) continue;
          engine.scope(() => {
            const [a, b] = [matrix(m, k, dtype), matrix(n, k, dtype)];
            const read = (w) => engine.read(engine.matmul(a, w, { transposeB: true }));
            const [plain, packed] = [read(b), read(engine.prepack(b))];
            seen.push(plain);
            if (digest([packed]) !== digest([plain])) seen.push(packed);
          });
        }
      }
    }
  }
  return digest(seen);
}

/**
 * `engines` are options of `init`. Each gives a row: what the engine says it is, what `octavo verify` finds wrong with it, and digests, those
 * of training after `steps` steps. Verifying is the slowest part and can be kept to the first `verified` engines. Turbo's products are looked
 * at in more shapes than its own check at start-up does.
 */
export async function conform({ engines, steps, verified = engines.length }) {
  const formats = await withoutWebAssembly(formatsDigest);
  const { init } = await import('../../dist/index.js');
  const { quick } = await import('../../dist/verify/index.js');
  const rows = [];
  for (const [i, options] of engines.entries()) {
    const engine = await init(options);
    const findings = i < verified ? [...quick(engine)] : [];
    const mismatches = findings.filter((finding) => finding.mismatches > 0);
    const digests = { formats, products: products(engine), ...(await trained(engine, steps)) };
    rows.push({ info: engine.info, checks: findings.length, mismatches, digests });
    engine.dispose();
  }
  return rows;
}

// As a program (Node, Bun, Deno) it prints its rows; the page's worker calls `conform` itself.
const [, , command, json] = globalThis.process?.argv ?? [];
if (command === 'print') console.log(JSON.stringify(await conform(JSON.parse(json))));
