/** onnxruntime's Cast as an oracle: float32 to an 8-bit float and back, in native code. */
import { createRequire } from 'node:module';
import { ONNX_TYPES, onnxModel } from '../../bench/rivals/onnx.mjs';

export type OnnxFloat8 = 'float8_e4m3fn' | 'float8_e4m3fnuz' | 'float8_e5m2' | 'float8_e5m2fnuz';
export const ONNX_FLOAT8 = Object.keys(ONNX_TYPES).filter((name) => name.startsWith('float8')) as OnnxFloat8[];

interface OnnxTensor {
  readonly data: Float32Array;
}
interface OnnxRuntime {
  InferenceSession: {
    create(
      model: Uint8Array,
      options?: object,
    ): Promise<{ run(feeds: Record<string, OnnxTensor>): Promise<Record<string, OnnxTensor>> }>;
  };
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OnnxTensor;
}

const require = createRequire(new URL('../oracles/package.json', import.meta.url));
const ort = require('onnxruntime-node') as OnnxRuntime;

const model = (dtype: OnnxFloat8, saturate: boolean): Uint8Array =>
  onnxModel({
    nodes: [
      {
        op: 'Cast',
        inputs: ['x'],
        outputs: ['codes'],
        attributes: { to: ONNX_TYPES[dtype], saturate: saturate ? 1 : 0 },
      },
      { op: 'Cast', inputs: ['codes'], outputs: ['y'], attributes: { to: ONNX_TYPES.float32 } },
    ],
    inputs: [{ name: 'x', type: 'float32', dims: ['N'] }],
    outputs: [{ name: 'y', type: 'float32', dims: ['N'] }],
  });

/** A function that rounds float32 to the values of a format, as onnxruntime does. */
export async function onnxRound(
  dtype: OnnxFloat8,
  saturate: boolean,
): Promise<(values: Float32Array) => Promise<Float32Array>> {
  const session = await ort.InferenceSession.create(model(dtype, saturate), { graphOptimizationLevel: 'disabled' });
  return async (values) => (await session.run({ x: new ort.Tensor('float32', values, [values.length]) })).y.data;
}
