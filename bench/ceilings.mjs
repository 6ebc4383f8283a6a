/** The loops that show the machine's limits, as contenders: kernels of bench/assembly/ceiling.ts in their own engine. */
const KERNELS = { exact: 'exactProducts', rounded: 'roundedProducts' };
/** Turns per unit of the multiply-add loops: about 10 microseconds. */
const TURNS = 6000;
const STEP = 2 ** -10;
/** Bytes per unit of the copy. */
const CHUNK = 1 << 17;

/**
 * Contenders that show the limits of the given contenders, by kind. A copy moves as many bytes as the largest of them, so that it meets the same
 * caches. Without relaxed SIMD, exact products have no loop of their own.
 */
export function ceilingsOf(engine, contenders) {
  const limits = contenders.map(({ limit }) => limit);
  const most = Math.max(...limits.map(({ amount }) => amount));
  const made = new Map();
  const make = (kind) => {
    if (!made.has(kind)) made.set(kind, kind === 'copy' ? copying(engine, most) : multiplying(engine, kind));
    return made.get(kind);
  };
  const loop = (kind) => (kind === 'exact' && !engine.info.fused ? 'rounded' : kind);
  return new Map(limits.map(({ kind }) => [kind, make(loop(kind))]));
}

function multiplying(engine, kind) {
  const units = 24 * engine.info.threads;
  const operations = engine.kernels.operationsPerTurn();
  return {
    name: kind === 'exact' ? 'relaxed madd' : 'mul + add',
    amount: units * TURNS * operations,
    unit: 'FLOP',
    run: () => {
      const out = engine.arena.alloc(16 * units);
      engine.parallel(KERNELS[kind], units, 0, TURNS, 1, STEP, out);
      const sums = new Float32Array(engine.arena.buffer, out, 4 * units).slice();
      engine.arena.free(out);
      return sums;
    },
    seen: (sums) => ({ sums }),
    // Every product adds exactly STEP to its lane of its chain; a lane of the result sums all chains.
    expected: () => ({ sums: new Float32Array(4 * units).fill((TURNS * STEP * operations) / 8) }),
  };
}

/** Half of the bytes are read, the other half written. */
function copying(engine, bytes) {
  const half = Math.ceil(bytes / 2);
  const [from, to] = [engine.arena.alloc(half), engine.arena.alloc(half)];
  const view = (ptr) => new Uint8Array(engine.arena.buffer, ptr, half);
  view(from).forEach((_, i, source) => {
    source[i] = Math.imul(i, 0x9e3779b1) >>> 24;
  });
  return {
    name: 'memory.copy',
    amount: 2 * half,
    unit: 'B',
    run: () => engine.parallel('copy', Math.ceil(half / CHUNK), 0, from, to, half, CHUNK),
    seen: () => ({ copied: view(to).slice() }),
    expected: () => ({ copied: view(from).slice() }),
  };
}
