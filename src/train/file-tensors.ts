/** Tensors of safetensors files as numbers, for inspection. */
import { type DType, decode, formatSpec } from '../formats/index.js';
import type { NamedSafetensorsTensor, SafetensorsTensor } from '../interop/safetensors.js';

export interface ScaledTensor extends NamedSafetensorsTensor {
  /** Factor from codes to values. */
  readonly scaleInv: number;
}

export function valuesOf(dtype: DType, data: Uint8Array): Float32Array {
  const own = data.slice().buffer;
  const { bits } = formatSpec(dtype);
  return decode(bits === 8 ? new Uint8Array(own) : bits === 16 ? new Uint16Array(own) : new Float32Array(own), dtype);
}

/** The single float32 scale stored beside a tensor; other kinds of scales (one per block, say) are tensors of their own. */
export function scaleBeside(tensors: ReadonlyMap<string, SafetensorsTensor>, name: string): number | undefined {
  const scale = tensors.get(`${name}_scale_inv`);
  if (scale?.dtype !== 'F32' || scale.data.length !== 4) return undefined;
  return new DataView(scale.data.buffer, scale.data.byteOffset).getFloat32(0, true);
}

/** The name of the tensor that has one scale for each block, row or group of another. */
export function scalesBeside(tensors: ReadonlyMap<string, SafetensorsTensor>, name: string): string | undefined {
  const others = scaleBeside(tensors, name) === undefined ? [`${name}_scale_inv`, `${name}_scale`] : [];
  return others.find((other) => tensors.has(other));
}
