/** Products with a few rows, whose weights are decoded in registers, against the GEMM, which gemm.test.ts holds against its mirror. */
import { describe, expect, it } from 'vitest';
import { type Codes, type DType, encode, formatSpec } from '../src/formats/index.js';
import { canPrepack, matmul, prepack } from '../src/ops/matmul.js';
import { type Tensor, zeros } from '../src/ops/tensor.js';
import { useBuilds, WITH_TURBO } from './helpers/builds.js';
import { finiteCodes, ofCodes, place, type Sample, sample } from './helpers/cases.js';
import { expectSameBytes } from './helpers/close.js';
import { Random } from './helpers/rng.js';
import { withGuardedScratch } from './helpers/scratch.js';

const onEveryBuild = useBuilds(WITH_TURBO);
const WEIGHTS = ['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3', 'bfloat16', 'float16', 'float32'] as const;
/** More rows than the kernel takes, and fewer; edges of panels, of their pairs and of blocks; odd depths; a product in ranges of columns. */
const SHAPES = [
  [1, 1, 1],
  [1, 7, 3],
  [2, 8, 8],
  [3, 9, 31],
  [1, 16, 64],
  [8, 17, 65],
  [4, 24, 16],
  [15, 9, 34],
  [17, 24, 16],
  [5, 70, 333],
  [2, 128, 300],
  [1, 200, 40],
  [17, 585, 4099],
] as const;

/** K x N of N x K. */
function turned({ codes, shape: [rows, columns], dtype }: Sample): Sample {
  const out = codes.slice() as Codes;
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = codes[i * columns + j];
  return ofCodes(out, [columns, rows], dtype);
}

/** As it is, and prepacked, the weight gives what the GEMM gives of its transpose, codes and largest magnitude. */
function expectSameProducts(x: Sample, w: Sample, out: DType, label: string): void {
  const [n] = w.shape;
  const columns = turned(w);
  onEveryBuild((engine, name) => {
    const a = place(engine, x, 0.5);
    const product = (b: Tensor, transposeB: boolean) => {
      const c = zeros(engine, [x.shape[0], n], out);
      const amax = matmul(engine, a, b, { transposeB, out: c });
      return { amax, codes: engine.codes(c) };
    };
    const expected = product(place(engine, columns, 3), false);
    const weight = place(engine, w, 3);
    const forms = { plain: weight, ...(canPrepack(weight) && { prepacked: prepack(engine, weight) }) };
    for (const [form, b] of Object.entries(forms)) {
      const seen = product(b, true);
      expectSameBytes(seen.codes, expected.codes, `${name}, ${form}, ${label}`);
      expect(Object.is(seen.amax, expected.amax), `${name}, ${form}, ${label}: amax`).toBe(true);
    }
  });
}

describe.each(WEIGHTS)('weights of %s', (dtype) => {
  const random = new Random(formatSpec(dtype).id);

  it.each(SHAPES)('%i x %i x %i: the bits of the GEMM', (m, n, k) => {
    const weight = ofCodes(finiteCodes(random, n * k, dtype), [n, k], dtype);
    for (const [label, x] of Object.entries({
      codes: ofCodes(finiteCodes(random, m * k, 'float8_e4m3fn'), [m, k], 'float8_e4m3fn'),
      'numbers of about 1': sample(random.normals(m * k), [m, k], 'bfloat16'),
      'numbers too large to be multiplied beforehand': sample(random.normals(m * k, 3e5), [m, k], 'bfloat16'),
      'numbers down to 2^-60': sample(random.wide(m * k, -62, -50), [m, k], 'bfloat16'),
      'float32, whose products are rounded': sample(random.normals(m * k), [m, k], 'float32'),
    })) {
      expectSameProducts(x, weight, 'float32', label);
      expectSameProducts(x, weight, 'bfloat16', label);
    }
  });

  /** As recipes have them: few subnormals, so that most groups of a panel are decoded the short way, and a row as large as its format allows. */
  it.each([
    [1, 41],
    [1, 96],
    [2, 130],
    [5, 130],
  ])('%i rows times %i x 1101 weights that fill the range of their format', (m, n) => {
    const k = 1101;
    const { max, smallestSubnormal } = formatSpec(dtype);
    const largest = Math.min(max, 2 ** 20);
    const numbers = random.normals(n * k, largest / 8);
    for (let i = 0; i < numbers.length; i += 97) numbers[i] = 0;
    for (let i = 0; i < numbers.length; i += 4001) numbers[i] = smallestSubnormal;
    // Beside these the largest number of a row is of no weight, and the small ones show.
    for (let i = 0; i < numbers.length; i += 3 * k) numbers[i] = 0;
    const weight = sample(numbers, [n, k], dtype);
    for (const [label, x] of Object.entries({
      'codes up to the largest of E4M3FN': sample([448, ...random.normals(m * k - 1)], [m, k], 'float8_e4m3fn'),
      'codes of E5M2, 2^31 apart': sample([57344, 2 ** -16, ...random.normals(m * k - 2)], [m, k], 'float8_e5m2'),
      'numbers of about 1': sample(random.normals(m * k), [m, k], 'bfloat16'),
      'numbers 2^158 apart in a middle row': sample(
        random.wide(m * k, -60, -58).fill(2 ** 99, (m >> 1) * k, (m >> 1) * k + 1),
        [m, k],
        'bfloat16',
      ),
      'numbers 2^130 apart': sample([2 ** 71, ...random.wide(m * k - 1, -60, -58)], [m, k], 'bfloat16'),
      'numbers 2^158 apart': sample([2 ** 99, ...random.wide(m * k - 1, -60, -58)], [m, k], 'bfloat16'),
      'float32, whose products are rounded': sample(random.normals(m * k), [m, k], 'float32'),
      'float32 2^150 apart': sample([2 ** 30, ...random.wide(m * k - 1, -120, -118)], [m, k], 'float32'),
    })) {
      expectSameProducts(x, weight, 'float32', label);
    }
  });

  it('infinity and NaN in a weight, or in the row', () => {
    const weight = finiteCodes(random, 40 * 33, dtype);
    const bits = dtype === 'float32' ? new Uint32Array(weight.buffer) : weight;
    const { maxCode, signCode } = formatSpec(dtype);
    bits[9 * 33 + 4] = maxCode + 1;
    bits[39 * 33 + 32] = maxCode + 1 + signCode;
    const x = random.normals(33);
    expectSameProducts(sample(x, [1, 33], 'bfloat16'), ofCodes(weight, [40, 33], dtype), 'float32', 'weight');
    // Of two panels that would go together, one that cannot.
    const { max, smallestSubnormal } = formatSpec(dtype);
    for (const row of [0, 39]) {
      const numbers = random.normals(40 * 33, Math.min(max, 2 ** 20) / 8);
      const lone = sample(numbers, [40, 33], dtype);
      (dtype === 'float32' ? new Uint32Array(lone.codes.buffer) : lone.codes)[row * 33] = maxCode + 1;
      expectSameProducts(sample(x, [1, 33], 'bfloat16'), lone, 'float32', `weight in row ${row}`);
      const first = row < 32 ? 0 : 32 * 33;
      numbers.fill(smallestSubnormal, first, first + 8 * 33);
      expectSameProducts(
        sample(x, [1, 33], 'bfloat16'),
        sample(numbers, [40, 33], dtype),
        'float32',
        `subnormals from row ${row}`,
      );
    }
    const three = sample(random.normals(3 * 33), [3, 33], 'bfloat16');
    expectSameProducts(three, ofCodes(weight, [40, 33], dtype), 'float32', 'weight, three rows');
    const finite = ofCodes(finiteCodes(random, 40 * 33, dtype), [40, 33], dtype);
    // Nothing of what follows a row in memory, here an infinity, enters its sums, where 0 times it would be NaN.
    const lone = sample(random.normals(9 * 65), [9, 65], dtype);
    (dtype === 'float32' ? new Uint32Array(lone.codes.buffer) : lone.codes)[65] = maxCode + 1;
    expectSameProducts(
      sample(random.normals(65), [1, 65], 'bfloat16'),
      lone,
      'float32',
      'an infinity where the padding of the row before would be',
    );
    for (const special of [Number.POSITIVE_INFINITY, Number.NaN]) {
      const numbers = [...x.subarray(1), special];
      expectSameProducts(sample(numbers, [1, 33], 'bfloat16'), finite, 'float32', `${special}`);
      const codes = encode(numbers, 'float8_e5m2', { saturate: false });
      expectSameProducts(ofCodes(codes, [1, 33], 'float8_e5m2'), finite, 'float32', `${special} of E5M2`);
    }
  });
});

it.each(WEIGHTS.filter((dtype) => formatSpec(dtype).bytes === 1))(
  '%s: a panel says whether its own codes include few subnormals, many, or infinity or NaN',
  (dtype) => {
    const random = new Random(2);
    const k = 65;
    const { id, max, smallestSubnormal, maxCode } = formatSpec(dtype);
    const numbers = random.normals(96 * k, max / 8);
    numbers.fill(smallestSubnormal, 40 * k, 64 * k);
    const weight = sample(numbers, [96, k], dtype);
    // Where a vector of the row before ends.
    weight.codes[64 * k] = maxCode + 1;
    onEveryBuild((engine, name) => {
      const bytes = engine.kernels.prepackedBytes(id, 32, k);
      const contentsOf = (w: Tensor) => {
        const { ptr } = prepack(engine, w);
        const panels = Array.from({ length: Math.ceil(w.shape[0] / 32) }, (_, i) => ptr + (i + 1) * bytes);
        return panels.map((end) => new DataView(engine.arena.buffer).getInt32(end - 64, true));
      };
      const placed = place(engine, weight);
      expect(contentsOf(placed), name).toEqual([0, 1, 2]);
      // The rows after the 40th do not count.
      expect(contentsOf({ ...placed, shape: [40, k] }), name).toEqual([0, 0]);
    });
  },
);

it('what cannot be prepacked, or is used as something else, is refused by name', () => {
  onEveryBuild((engine) => {
    const plain = engine.tensor([1, 2, 3, 4], [2, 2], 'float8_e4m3fn');
    const packed = engine.prepack(plain);
    const rows = engine.quantize([1, 2, 3, 4], [2, 2], { dtype: 'float8_e4m3fn', scaling: 'row' });
    const wide = engine.tensor([1, 2, 3, 4], [2, 2], 'float16');
    expect(() => engine.prepack(wide)).toThrow(
      /^prepack: expected a weight of float8_e4m3fn, .*, bfloat16, got float16$/,
    );
    expect(() => engine.prepack(rows)).toThrow('prepack: expected a weight with one scale, got one with several');
    expect(() => engine.prepack(packed)).toThrow('prepack: expected a tensor, got a prepacked weight');
    expect(() => engine.matmul(packed, plain)).toThrow('expected a prepacked weight as B with transposeB');
    expect(() => engine.matmul(plain, packed)).toThrow('expected a prepacked weight as B with transposeB');
    expect(() => engine.read(packed)).toThrow('read: expected a tensor, got a prepacked weight');
    expect(() => engine.codes(packed)).toThrow('codes: expected a tensor, got a prepacked weight');
  });
});

it.each(WEIGHTS)('%s: products and packing stay within the scratch they ask for', (dtype) => {
  const random = new Random(1);
  onEveryBuild((engine) => {
    if (engine.info.threads > 1) return;
    const names = withGuardedScratch(engine, () => {
      for (const [m, n, k] of SHAPES) {
        const x = place(engine, sample(random.normals(m * k), [m, k], 'bfloat16'));
        const w = place(engine, ofCodes(finiteCodes(random, n * k, dtype), [n, k], dtype));
        for (const b of canPrepack(w) ? [w, prepack(engine, w)] : [w]) {
          matmul(engine, x, b, { transposeB: true, out: zeros(engine, [m, n], 'float32') });
        }
      }
    });
    for (const name of ['packB', 'gemm']) expect(names).toContain(name);
    if (dtype !== 'float16') expect(names).toContain('gemv');
  });
});
