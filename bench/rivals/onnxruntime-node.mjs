/** onnxruntime-node: native code with the machine's widest vectors, not a rival on equal terms but a reference point. */
import { createRequire } from 'node:module';
import { ONNX_TYPES, onnxModel } from './onnx.mjs';
import { matMul } from './onnxruntime.mjs';

export const includes = 'native code; B is constant and packed beforehand';

/** The package as installed for the tests. */
const require = createRequire(new URL('../../test/oracles/package.json', import.meta.url));

export function open(threads) {
  const ort = require('onnxruntime-node');
  // Unoptimized, because an optimizer would drop a cast whose result nobody reads.
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1 };
  return {
    name: `onnxruntime-node ${ort.env.versions.node}`,
    gemm: async (product) => [{ form: 'float32', ...(await matMul(ort, options, product)) }],
    casts: Object.keys(ONNX_TYPES).filter((dtype) => dtype.startsWith('float8')),
    encode: (values, dtype) => encoder(ort, { ...options, graphOptimizationLevel: 'disabled' }, values, dtype),
    decode: (codes, dtype) => decoder(ort, { ...options, graphOptimizationLevel: 'disabled' }, codes, dtype),
  };
}

const toFloat8 = (dtype) => ({
  op: 'Cast',
  inputs: ['x'],
  outputs: ['codes'],
  attributes: { to: ONNX_TYPES[dtype], saturate: 1 },
});
const toFloat32 = { op: 'Cast', inputs: ['codes'], outputs: ['y'], attributes: { to: ONNX_TYPES.float32 } };

/** Its JavaScript side has no FP8 tensors, so the timed model returns a shape; `read` uses another model, which also casts back. */
async function encoder(ort, options, values, dtype) {
  const dims = [values.length];
  const inputs = [{ name: 'x', type: 'float32', dims }];
  const model = (node, type, shape) =>
    onnxModel({ nodes: [toFloat8(dtype), node], inputs, outputs: [{ name: 'y', type, dims: shape }] });
  const shape = { op: 'Shape', inputs: ['x'], outputs: ['y'] };
  const session = await ort.InferenceSession.create(model(shape, 'int64', [1]), options);
  const checked = await ort.InferenceSession.create(model(toFloat32, 'float32', dims), options);
  const feeds = { x: new ort.Tensor('float32', values, dims) };
  const { y } = await checked.run(feeds);
  await checked.release();
  return { run: () => session.run(feeds), read: () => y.data, close: () => session.release() };
}

async function decoder(ort, options, codes, dtype) {
  const dims = [codes.length];
  const model = onnxModel({
    nodes: [toFloat32],
    inputs: [],
    outputs: [{ name: 'y', type: 'float32', dims }],
    constants: [{ name: 'codes', type: dtype, dims, data: codes }],
  });
  const session = await ort.InferenceSession.create(model, options);
  return { run: () => session.run({}), read: ({ y }) => y.data, close: () => session.release() };
}
