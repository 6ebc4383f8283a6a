/** assembly/moments.ts: groups of a moment to codes and the numbers beside them, to nearest. */
import { type Codes, type DType, encode, formatSpec } from '../../src/formats/index.js';
import { div, exp2, f, log2, mul, sqrt, sub } from './lanes.js';

const LEAST = 2 ** -126;
const power = (x: number, k: number) => exp2(Math.min(Math.max(mul(log2(x), k), -126), 126), -126);

/** The numbers of a group, and its values as they are encoded. */
function group(values: Float32Array, dtype: DType, expanded: boolean): { numbers: number[]; scaled: number[] } {
  const { max, smallestSubnormal } = formatSpec(dtype);
  const magnitudes = Array.from(values, Math.abs);
  const largest = Math.max(...magnitudes);
  if (largest === 0) return { numbers: expanded ? [1, 1, 1] : [1], scaled: [...values] };
  if (!expanded) {
    const amax = Math.max(largest, 2 ** -100);
    return { numbers: [div(amax, max)], scaled: Array.from(values, (x) => mul(x, div(max, amax))) };
  }
  const high = Math.max(largest, LEAST);
  const low = Math.max(Math.min(...magnitudes.filter((x) => x > 0)), LEAST);
  const range = sub(log2(high), log2(low));
  const sixteenths = Math.floor(mul(div(log2(f(max / smallestSubnormal)), range), 16));
  const k = range > 0 ? Math.max(mul(sixteenths, 0.0625), 0.0625) : 1;
  const centre = mul(sqrt(high), sqrt(low));
  const inverse = div(1, centre);
  const top = power(mul(high, inverse), k);
  const stretched = Array.from(values, (x) =>
    x === 0 ? x : Math.sign(x) * power(Math.max(Math.abs(mul(x, inverse)), LEAST), k),
  );
  return { numbers: [div(top, max), k, centre], scaled: stretched.map((x) => mul(x, div(max, top))) };
}

export function storeGroups(
  values: Float32Array,
  dtype: DType,
  size: number,
  expanded: boolean,
): { codes: Codes; numbers: Float32Array } {
  const groups = Array.from({ length: Math.ceil(values.length / size) }, (_, i) =>
    group(values.subarray(i * size, (i + 1) * size), dtype, expanded),
  );
  return {
    codes: encode(
      groups.flatMap(({ scaled }) => scaled),
      dtype,
      { saturate: true },
    ),
    numbers: Float32Array.from(groups.flatMap(({ numbers }) => numbers)),
  };
}

/** The float32 values that codes, decoded without a scale, and numbers stand for. */
export function loadGroups(
  codes: Float32Array,
  numbers: Float32Array,
  size: number,
  expanded: boolean,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(codes, (code, i) => {
    const at = Math.floor(i / size) * (expanded ? 3 : 1);
    const x = mul(code, numbers[at]);
    if (!expanded) return x;
    const magnitude = Math.max(Math.abs(x), LEAST);
    return x === 0 ? x : Math.sign(x) * mul(power(magnitude, div(1, numbers[at + 1])), numbers[at + 2]);
  });
}
