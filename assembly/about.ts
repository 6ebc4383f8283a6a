/** What the host asks kernels that come from elsewhere (`init({ wasm })`). */
import { VERSION } from '../src/engine/units';
import { BF16 } from './formats';
import { lanes } from './lanes';

export function version(): i32 {
  return VERSION;
}

/** Whether exact products are fused: what the builds `simd` and `relaxed` differ in. */
export function fused(): bool {
  return lanes.fuses<BF16>();
}
