/** The `monitor` line of a step: statistics of its casts, activations, weights and gradients. */
import type { Runtime } from '../engine/runtime.js';
import type { RoleHealth } from '../model/casts.js';
import type { Monitor } from '../model/monitor.js';
import type { Gradients } from '../model/transformer.js';
import { read } from '../ops/quantize.js';
import { globalNorm } from '../ops/reduce.js';
import type { MonitorLine } from './events.js';
import type { TrainingState } from './state.js';

/** Must be called after the backward pass and before the update, so that everything in the line belongs to the same weights. */
export function monitorLine(
  rt: Runtime,
  state: TrainingState,
  monitor: Monitor,
  health: ReadonlyMap<string, RoleHealth>,
  gradients: Gradients,
): MonitorLine {
  const tensors = [...monitor.casts].map(([key, cast]) => [key, { ...cast, ...health.get(key) }] as const);
  const swiglu = [...monitor.activations].map(([key, activation]) => {
    const { master } = state.parameters.get(key.replace(/down$/, 'gate_up'))!;
    return [key, { ...activation, cosines: rowCosines(read(rt, master), master.shape[1]) }] as const;
  });
  const norms = [...gradients].map(([name, gradient]) => [name, globalNorm(rt, [gradient])] as const);
  return {
    type: 'monitor',
    step: state.step + 1,
    tensors: Object.fromEntries(tensors),
    swiglu: Object.fromEntries(swiglu),
    grad_norms: Object.fromEntries(norms),
  };
}

/**
 * For each i, the cosine between row i of the upper half of a matrix and row i of the lower half, in float64, to four decimals; null if either is
 * all zeros.
 */
export function rowCosines(matrix: Float32Array, columns: number): (number | null)[] {
  const half = matrix.length / 2;
  return Array.from({ length: half / columns }, (_, row) => {
    let [dot, first, second] = [0, 0, 0];
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      const [a, b] = [matrix[i], matrix[half + i]];
      dot += a * b;
      first += a * a;
      second += b * b;
    }
    const norms = Math.sqrt(first) * Math.sqrt(second);
    // + 0 turns -0 into 0, which a log does not distinguish.
    return norms > 0 ? Math.round((dot / norms) * 1e4) / 1e4 + 0 : null;
  });
}
