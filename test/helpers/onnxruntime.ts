/** onnxruntime's Cast as an oracle: float32 to an 8-bit float and back, in native code. */
import { createRequire } from 'node:module';

/** ONNX element types (onnx.proto, TensorProto.DataType). */
const FLOAT = 1;
export const ONNX_TYPES = {
  float8_e4m3fn: 17,
  float8_e4m3fnuz: 18,
  float8_e5m2: 19,
  float8_e5m2fnuz: 20,
} as const;
export type OnnxFloat8 = keyof typeof ONNX_TYPES;
export const ONNX_FLOAT8 = Object.keys(ONNX_TYPES) as OnnxFloat8[];

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

// A model is a protocol buffer; these few fields of it are written by hand (protobuf encoding guide; onnx.proto for the numbers).
const varint = (n: number): number[] => (n > 127 ? [(n & 127) | 128, ...varint(n >>> 7)] : [n]);
const bytes = (field: number, content: readonly number[]) => [
  ...varint(field * 8 + 2),
  ...varint(content.length),
  ...content,
];
const integer = (field: number, n: number) => [...varint(field * 8), ...varint(n)];
const text = (field: number, s: string) => bytes(field, [...new TextEncoder().encode(s)]);

const INT_ATTRIBUTE = 2;
const attribute = (name: string, n: number) =>
  bytes(5, [...text(1, name), ...integer(3, n), ...integer(20, INT_ATTRIBUTE)]);
const cast = (from: string, to: string, attributes: readonly number[]) =>
  bytes(1, [...text(1, from), ...text(2, to), ...text(4, 'Cast'), ...attributes]);
const vector = (field: number, name: string) =>
  bytes(field, [...text(1, name), ...bytes(2, bytes(1, [...integer(1, FLOAT), ...bytes(2, bytes(1, text(2, 'N')))]))]);

function model(dtype: OnnxFloat8, saturate: boolean): Uint8Array {
  const graph = [
    ...cast('x', 'codes', [...attribute('to', ONNX_TYPES[dtype]), ...attribute('saturate', saturate ? 1 : 0)]),
    ...cast('codes', 'y', attribute('to', FLOAT)),
    ...text(2, 'round'),
    ...vector(11, 'x'),
    ...vector(12, 'y'),
  ];
  return Uint8Array.from([...integer(1, 9), ...bytes(7, graph), ...bytes(8, [...text(1, ''), ...integer(2, 19)])]);
}

/** A function that rounds float32 to the values of a format, as onnxruntime does. */
export async function onnxRound(
  dtype: OnnxFloat8,
  saturate: boolean,
): Promise<(values: Float32Array) => Promise<Float32Array>> {
  const session = await ort.InferenceSession.create(model(dtype, saturate), { graphOptimizationLevel: 'disabled' });
  return async (values) => (await session.run({ x: new ort.Tensor('float32', values, [values.length]) })).y.data;
}
