/**
 * Runs in every runtime, on the compiled library: what `octavo/formats` makes of all BF16 numbers and its arrays, without WebAssembly, as a
 * digest; then `octavo verify` on the kernels.
 */

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

/** FNV-1a over bytes: enough to compare runtimes, and nothing of the library's own. */
function digest(arrays) {
  let h = 0x811c9dc5;
  for (const array of arrays) {
    for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength)) {
      h = Math.imul(h ^ byte, 0x01000193);
    }
  }
  return (h >>> 0).toString(16).padStart(8, '0');
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

/** `threads`: numbers of threads to verify the kernels with; undefined is as many as the library finds. */
export async function conform(threads) {
  const formats = await withoutWebAssembly(formatsDigest);
  const { init } = await import('../../dist/index.js');
  const { quick } = await import('../../dist/verify/index.js');
  const engines = [];
  for (const count of threads) {
    const engine = await init({ threads: count });
    const findings = [...quick(engine)];
    const mismatches = findings.filter((finding) => finding.mismatches > 0);
    engines.push({ info: engine.info, checks: findings.length, mismatches });
    engine.dispose();
  }
  return { formats, engines };
}

// As a program (Node, Bun, Deno) it prints its result; the page's worker calls `conform` itself.
if (globalThis.process?.argv?.[2] === 'print') console.log(JSON.stringify(await conform([1, 2])));
