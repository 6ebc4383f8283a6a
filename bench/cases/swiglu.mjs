/** SwiGLU forward including encoding, plain and smooth, against the mirror. Bytes counted: gates and ups read, codes written. */
import { formatSpec } from '../../dist/formats/index.js';
import { quantize } from '../../dist/ops/quantize.js';
import { powerOfTwoScale } from '../../dist/ops/scale.js';
import { swigluForward } from '../../dist/ops/swiglu.js';
import { floats } from '../../dist/ops/tensor.js';
import * as mirror from '../mirror.mjs';
import { traffic } from '../work.mjs';

/** The copies of the FP8 recipe: one for the forward product, one for the backward. */
const FP8 = [
  { dtype: 'float8_e4m3fn', scale: 32 },
  { dtype: 'float8_e5m2', scale: 1024 },
];
const CONTENDERS = [
  { name: 'plain -> bfloat16', targets: [{ dtype: 'bfloat16', scale: 1 }] },
  { name: 'plain -> e4m3fn', targets: FP8.slice(0, 1) },
  { name: 'plain -> e4m3fn and e5m2', targets: FP8 },
  { name: 'smooth per token -> e4m3fn and e5m2', targets: FP8, perToken: true },
  { name: 'smooth per channel -> e4m3fn and e5m2', targets: FP8, perChannel: true },
];

export const swigluCases = ({ swiglu: { rows, width } }) => [
  {
    name: `swiglu forward, ${rows} x 2 x ${width} bfloat16`,
    prepare: ({ engine }) => {
      const random = new mirror.Random(rows);
      const gateUp = mirror.normals(random, [rows, 2 * width], 'bfloat16', 2);
      const inverses = Float32Array.from({ length: width }, () => 2 ** random.integer(-2, 2));
      const source = mirror.place(engine, gateUp);
      const inverse = mirror.floatTensor(engine, inverses, [width]);
      const given = { gateUp, inverses, source, inverse, width };
      return [...CONTENDERS.map((form) => contender(engine, given, form)), separate(engine, given)];
    },
  },
];

function contender(engine, { gateUp, inverses, source, inverse, width }, { name, targets, perToken, perChannel }) {
  const [first, second] = targets;
  const channelInv = perChannel ? inverse : undefined;
  const elements = gateUp.values.length / 2;
  const written = targets.reduce((sum, { dtype }) => sum + formatSpec(dtype).bytes, 0);
  return {
    name,
    ...traffic(elements * (2 * 2 + written)),
    run: () => swigluForward(engine, source, { first, second, perToken, channelInv, channelAmax: perChannel }),
    seen: ({ y, second: copy, rowScale, channelAmax }) => ({
      y: engine.codes(y),
      copy: copy && engine.codes(copy),
      rowScale: rowScale && floats(engine, rowScale).slice(),
      channelAmax,
    }),
    expected: () => {
      const smoothing = { perToken, channelInv: perChannel ? inverses : undefined };
      const { y, rowScale, channelAmax } = mirror.swiglu.swigluForward(gateUp.values, width, smoothing);
      const [codes, copy] = targets.map(({ dtype, scale }) => mirror.store(mirror.scaled(y, scale), dtype));
      return { y: codes, ...(copy && { copy }), ...(perToken && { rowScale }), ...(perChannel && { channelAmax }) };
    },
  };
}

/** The work of smooth per token with separate kernels: SwiGLU to float32, then for each copy one scale per row and a cast with it. */
function separate(engine, { gateUp, source, width }) {
  const dtypes = FP8.map(({ dtype }) => dtype);
  const elements = gateUp.values.length / 2;
  return {
    name: `separate kernels -> ${dtypes.map((dtype) => dtype.replace('float8_', '')).join(' and ')}`,
    ...traffic(elements * (2 * 2 + dtypes.length)),
    run: () => {
      const { y } = swigluForward(engine, source, { first: { dtype: 'float32', scale: 1 } });
      return dtypes.map((dtype) => quantize(engine, y, { dtype, scale: 'row' }).codes);
    },
    seen: (copies) => Object.fromEntries(copies.map((codes) => [codes.dtype, engine.codes(codes)])),
    expected: () => {
      const { y } = mirror.swiglu.swigluForward(gateUp.values, width, {});
      return Object.fromEntries(dtypes.map((dtype) => [dtype, mirror.store(scaledByRow(y, width, dtype), dtype)]));
    },
  };
}

function scaledByRow(values, width, dtype) {
  const rows = Array.from({ length: values.length / width }, (_, i) => values.subarray(i * width, (i + 1) * width));
  const { max } = formatSpec(dtype);
  return Float32Array.from(rows.flatMap((row) => [...mirror.scaled(row, powerOfTwoScale(mirror.amax(row), max))]));
}
