/**
 * Float32 to codes and back, every format, against src/formats. Bytes counted: all read and written, with whole bytes per code. Resident: from
 * tensor to tensor in the engine's memory; counted: including the statistics that a training step needs; end to end: from typed array to
 * typed array.
 */
import { DTYPES, decode, encode, formatSpec } from '../../dist/formats/index.js';
import { dequantize, quantize } from '../../dist/ops/quantize.js';
import { floatTensor, ofCodes, place, Random } from '../mirror.mjs';
import { titleOf } from '../table.mjs';
import { traffic } from '../work.mjs';

/** The first is the one that the others are compared with. */
const FORMATS = ['float8_e4m3fn', ...DTYPES.filter((dtype) => dtype !== 'float32' && dtype !== 'float8_e4m3fn')];
/** Formats a training step rounds to stochastically. */
const STOCHASTIC = ['float8_e4m3fn', 'float8_e5m2', 'float16'];
const SEED = 7;

export const codecCases = ({ elements }) => [
  {
    name: `encode ${elements} float32`,
    detail: { kind: 'encode', elements },
    prepare: async ({ engine, rivals, threads }) => [
      ...FORMATS.flatMap((dtype) => encoders(engine, elements, dtype)),
      ...(await rivalCasts(rivals, threads, normals(elements), 'encode')),
    ],
  },
  {
    name: `decode ${elements} codes`,
    detail: { kind: 'decode', elements },
    prepare: async ({ engine, rivals, threads }) => [
      ...FORMATS.flatMap((dtype) => decoders(engine, elements, dtype)),
      ...(await rivalCasts(rivals, threads, normals(elements), 'decode')),
    ],
  },
];

/** With deviation 1, about one in a hundred is subnormal in E4M3FN, and none saturates. */
const normals = (elements, deviation = 1) => new Random(1).normals(elements, deviation);
/** With a format's smallest normal as their deviation, two in three are subnormal. E8M0, which has no sign, has no such numbers. */
function subnormalForms(elements, dtype, make) {
  const { signCode, smallestNormal } = formatSpec(dtype);
  return signCode ? [{ form: 'mostly subnormal', ...make(normals(elements, smallestNormal)) }] : [];
}
const bytesOf = (elements, dtype) => elements * (4 + formatSpec(dtype).bytes);

const contenders = (elements, dtype, forms) =>
  forms.map(({ form, ...rest }) => ({
    name: `${dtype}, ${form}`,
    detail: { dtype, form },
    ...traffic(bytesOf(elements, dtype)),
    ...rest,
  }));

function encoders(engine, elements, dtype) {
  const values = normals(elements);
  const resident = (numbers, more = {}) => {
    const source = floatTensor(engine, numbers, [elements]);
    const random = { seed: SEED, stream: 0, step: 0 };
    return {
      run: () => quantize(engine, source, { dtype, scale: 1, measured: false, ...more, random }).codes,
      seen: (t) => ({ codes: engine.codes(t) }),
      expected: () => ({ codes: encode(numbers, dtype, { rounding: more.rounding, seed: SEED }) }),
    };
  };
  const forms = [
    { form: 'resident', ...resident(values) },
    ...subnormalForms(elements, dtype, resident),
    { form: 'counted', ...resident(values, { measured: true }) },
    {
      form: 'end to end',
      run: () => engine.encode(values, { dtype }),
      seen: (codes) => ({ codes }),
      expected: () => ({ codes: encode(values, dtype) }),
    },
  ];
  if (STOCHASTIC.includes(dtype)) forms.push({ form: 'stochastic', ...resident(values, { rounding: 'stochastic' }) });
  return contenders(elements, dtype, forms);
}

function decoders(engine, elements, dtype) {
  const codes = encode(normals(elements), dtype);
  const expected = (given) => () => ({ values: decode(given, dtype) });
  const resident = (given) => {
    const source = place(engine, ofCodes(given, [elements], dtype));
    return {
      run: () => dequantize(engine, source),
      seen: (values) => ({ values: engine.codes(values) }),
      expected: expected(given),
    };
  };
  return contenders(elements, dtype, [
    { form: 'resident', ...resident(codes) },
    ...subnormalForms(elements, dtype, (values) => resident(encode(values, dtype))),
    {
      form: 'end to end',
      run: () => engine.decode(codes, dtype),
      seen: (values) => ({ values }),
      expected: expected(codes),
    },
  ]);
}

/** Rivals' E4M3FN casts; their results must equal the values of our codes bit for bit. */
async function rivalCasts(rivals, threads, values, direction) {
  const dtype = 'float8_e4m3fn';
  const codes = encode(values, dtype);
  const found = [];
  for (const rival of rivals.filter(({ casts }) => casts?.includes(dtype))) {
    const { run, read, close } = await rival[direction](direction === 'encode' ? values : codes, dtype);
    found.push({
      name: titleOf(rival, 'e4m3fn', threads),
      detail: { rival: rival.name, dtype },
      ...traffic(bytesOf(values.length, dtype)),
      deferred: true,
      run,
      seen: async (result) => ({ values: Float32Array.from(await read(result)) }),
      expected: () => ({ values: decode(codes, dtype) }),
      close,
    });
  }
  return found;
}
