/** What a monitor reports of a cast: how heavy the source's tails are, what the cast lost, and how often each code occurs. */

import { MONITOR_BYTES, QUANTIZE_ROWS } from '../src/engine/units';
import { loadRow } from './decode';
import { amaxRow } from './encode';
import { format } from './formats';
import { loadFactored } from './quantize';

/**
 * Adds a row's terms to the three sums at `out`: those of even index to the sums, those of odd index to sums of their own, and these last.
 */
function addSums(x: usize, q: usize, n: i32, out: usize): void {
  let squares = v128.load64_zero(out);
  let fourths = v128.load64_zero(out, 8);
  let errors = v128.load64_zero(out, 16);
  const whole = n & ~1;
  for (let i = 0; i < whole; i += 2) {
    const value = f64x2.promote_low_f32x4(v128.load64_zero(x + (i << 2)));
    const error = f64x2.sub(value, f64x2.promote_low_f32x4(v128.load64_zero(q + (i << 2))));
    const square = f64x2.mul(value, value);
    squares = f64x2.add(squares, square);
    fourths = f64x2.add(fourths, f64x2.mul(square, square));
    errors = f64x2.add(errors, f64x2.mul(error, error));
  }
  let s = f64x2.extract_lane(squares, 0) + f64x2.extract_lane(squares, 1);
  let f = f64x2.extract_lane(fourths, 0) + f64x2.extract_lane(fourths, 1);
  let e = f64x2.extract_lane(errors, 0) + f64x2.extract_lane(errors, 1);
  if (n & 1) {
    const value = <f64>load<f32>(x + (whole << 2));
    const error = value - <f64>load<f32>(q + (whole << 2));
    s += value * value;
    f += value * value * (value * value);
    e += error * error;
  }
  store<f64>(out, s);
  store<f64>(out, f, 8);
  store<f64>(out, e, 16);
}

/**
 * Compares x, the source as `quantize` reads it (with the same `columns`, `total` and factors), with the codes it became: q = code *
 * scaleInv or, unless `values` is 0, the float32 there.
 *
 * Units: QUANTIZE_ROWS rows. Per unit, out gets float64 sums of x^2, x^4 and (x - q)^2, and the bits of the largest |x|; then, where a code
 * is one byte, 256 u32: how often each occurs.
 */
export function monitorCast(
  begin: i32, end: i32, scratch: usize,
  src: usize, srcDtype: i32, srcScale: f32, rowFactor: usize, columnFactor: usize, columns: i32, total: i32,
  codes: usize, dtype: i32, scaleInv: f32, values: usize, out: usize,
): void {
  const rows = (total + columns - 1) / columns;
  const decoded = scratch + (<usize>(columns + 16) << 2);
  const oneByte = format.bytes(dtype) === 1;
  const size: usize = MONITOR_BYTES + (oneByte ? 1024 : 0);
  for (let unit = begin; unit < end; unit++) {
    const slot = out + <usize>unit * size;
    memory.fill(slot, 0, size);
    const last = min(rows, (unit + 1) * QUANTIZE_ROWS);
    for (let row = unit * QUANTIZE_ROWS; row < last; row++) {
      const first = row * columns;
      const n = min(columns, total - first);
      loadFactored(src + <usize>first * format.bytes(srcDtype), srcDtype, srcScale, rowFactor, columnFactor, row, n, scratch);
      const from = codes + <usize>first * format.bytes(dtype);
      if (!values) loadRow(dtype, from, decoded, n, scaleInv);
      addSums(scratch, values ? values + (<usize>first << 2) : decoded, n, slot);
      store<u32>(slot, max(load<u32>(slot, 24), amaxRow(scratch, n)), 24);
      if (!oneByte) continue;
      for (let i = 0; i < n; i++) {
        const count = slot + MONITOR_BYTES + (<usize>load<u8>(from + i) << 2);
        store<u32>(count, load<u32>(count) + 1);
      }
    }
  }
}

/** Bytes of scratch for `monitorCast`: a row and its decoded codes. */
export function monitorScratch(columns: i32): f64 {
  return 8 * <f64>columns + 256;
}
