/** Octavo: FP8 numerics and transformer training, bit-identical everywhere. */
import type { InitOptions } from './engine/runtime.js';
import { Engine } from './ops/engine.js';

export type { WasmSource } from './engine/bytes.js';
export type { Features } from './engine/features.js';
export type { Build } from './engine/load.js';
export type { EngineInfo, InitOptions } from './engine/runtime.js';
export type { CastOptions, CodesOptions, Engine, ProductOptions, QuantizeTensorOptions } from './ops/engine.js';
export type { BlockScaling } from './ops/quantize-blocks.js';
export type { ScaleInv, Tensor } from './ops/tensor.js';

/**
 * Loads the kernels, starts the threads and returns the engine; `engine.info` describes what was selected. Throws if a requested build, thread
 * count or wasm source cannot be used.
 */
export function init(options: InitOptions = {}): Promise<Engine> {
  return Engine.create(options);
}
