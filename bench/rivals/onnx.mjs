/**
 * Builds ONNX models as bytes. They are protocol buffers; the few fields needed are written by hand (encoding guide; field numbers from
 * onnx.proto).
 */

/** TensorProto.DataType. */
export const ONNX_TYPES = {
  float32: 1,
  int64: 7,
  float8_e4m3fn: 17,
  float8_e4m3fnuz: 18,
  float8_e5m2: 19,
  float8_e5m2fnuz: 20,
};
const IR_VERSION = 9;
const OPSET = 19;
const INT_ATTRIBUTE = 2;

/** Messages remain lists of byte arrays until the end, so that a weight is not copied at each level. */
const sizeOf = (parts) => parts.reduce((sum, part) => sum + part.length, 0);
const varint = (n) => (n > 127 ? [(n & 127) | 128, ...varint(Math.floor(n / 128))] : [n]);
const message = (field, parts) => [varint(field * 8 + 2), varint(sizeOf(parts)), ...parts];
const integer = (field, n) => [varint(field * 8), varint(n)];
const text = (field, s) => message(field, [new TextEncoder().encode(s)]);
const each = (items, make) => items.flatMap(make);

const attribute = ([name, n]) => message(5, [...text(1, name), ...integer(3, n), ...integer(20, INT_ATTRIBUTE)]);
const node = ({ op, inputs, outputs, attributes = {} }) =>
  message(1, [
    ...each(inputs, (name) => text(1, name)),
    ...each(outputs, (name) => text(2, name)),
    ...text(4, op),
    ...each(Object.entries(attributes), attribute),
  ]);
/** A dimension of variable size is given by a name. */
const size = (dim) => message(1, typeof dim === 'number' ? integer(1, dim) : text(2, dim));
const value =
  (field) =>
  ({ name, type, dims }) =>
    message(field, [
      ...text(1, name),
      ...message(2, message(1, [...integer(1, ONNX_TYPES[type]), ...message(2, each(dims, size))])),
    ]);
const constant = ({ name, type, dims, data }) =>
  message(5, [
    ...each(dims, (dim) => integer(1, dim)),
    ...integer(2, ONNX_TYPES[type]),
    ...text(8, name),
    ...message(9, [new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]),
  ]);

/** nodes: { op, inputs, outputs, attributes }; inputs and outputs: { name, type, dims }; constants: the same with data. */
export function onnxModel({ nodes, inputs, outputs, constants = [] }) {
  const graph = [
    ...each(nodes, node),
    ...text(2, 'graph'),
    ...each(constants, constant),
    ...each(inputs, value(11)),
    ...each(outputs, value(12)),
  ];
  const parts = [
    ...integer(1, IR_VERSION),
    ...message(7, graph),
    ...message(8, [...text(1, ''), ...integer(2, OPSET)]),
  ];
  const bytes = new Uint8Array(sizeOf(parts));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
