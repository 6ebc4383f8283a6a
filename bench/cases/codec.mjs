/** Float32 to FP8 codes and back, against src/formats. Bytes: those read and written. */
import { decode, encode } from '../../dist/formats/index.js';
import { dequantize, quantize } from '../../dist/ops/quantize.js';
import { finiteCodes, floatTensor, ofCodes, place, Random } from '../mirror.mjs';
import { traffic } from '../work.mjs';

const FORMATS = ['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3'];
const ROUNDINGS = [
  { rounding: 'tiesToEven', name: 'nearest-even' },
  { rounding: 'stochastic', name: 'stochastic' },
];
const SEED = 7;
const BYTES = 5;

export const codecCases = ({ elements }) => [
  { name: `encode ${elements} float32`, prepare: ({ engine }) => encoders(engine, elements) },
  {
    name: `decode ${elements} codes`,
    prepare: ({ engine }) => FORMATS.map((dtype) => decoder(engine, elements, dtype)),
  },
];

function encoders(engine, elements) {
  // Of deviation 1 about one in a hundred is subnormal in E4M3FN; none saturates.
  const values = new Random(1).normals(elements);
  const source = floatTensor(engine, values, [elements]);
  const random = { seed: SEED, stream: 0, step: 0 };
  return ROUNDINGS.flatMap(({ rounding, name }) =>
    FORMATS.map((dtype) => ({
      name: `${dtype}, ${name}`,
      ...traffic(BYTES * elements),
      run: () => quantize(engine, source, { dtype, scale: 1, rounding, random }).codes,
      seen: (codes) => ({ codes: engine.codes(codes) }),
      expected: () => ({ codes: encode(values, dtype, { rounding, seed: SEED }) }),
    })),
  );
}

function decoder(engine, elements, dtype) {
  const codes = finiteCodes(new Random(2), elements, dtype);
  const source = place(engine, ofCodes(codes, [elements], dtype));
  return {
    name: dtype,
    ...traffic(BYTES * elements),
    run: () => dequantize(engine, source),
    seen: (values) => ({ values: engine.codes(values) }),
    expected: () => ({ values: decode(codes, dtype) }),
  };
}
