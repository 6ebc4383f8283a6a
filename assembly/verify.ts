/** What `octavo verify` runs besides the kernels it checks: every float32 in turn, and a count of what differs. */
import { DIGEST_BYTES, VERIFY_ELEMENTS } from '../src/engine/units';
import { encodeRow } from './encode';
import { format, rounding } from './formats';

/**
 * Encodes the float32 numbers with the bits `first`, `first` + 1, ..., VERIFY_ELEMENTS of them in each unit. Stochastic rounding takes
 * `word` for all of them, so that the codes are a step function of the bits.
 */
export function encodeRange(
  begin: i32, end: i32, scratch: usize, first: u32, dst: usize, dtype: i32, mode: i32, saturate: i32, word: u32,
): void {
  const words = scratch + VERIFY_ELEMENTS * 4;
  if (mode === rounding.stochastic) {
    for (let i = 0; i < VERIFY_ELEMENTS; i += 4) v128.store(words + (i << 2), i32x4.splat(<i32>word));
  }
  for (let unit = begin; unit < end; unit++) {
    let bits = i32x4.add(i32x4.splat(<i32>first + unit * VERIFY_ELEMENTS), i32x4(0, 1, 2, 3));
    for (let i = 0; i < VERIFY_ELEMENTS; i += 4) {
      v128.store(scratch + (i << 2), bits);
      bits = i32x4.add(bits, i32x4.splat(4));
    }
    encodeRow(dtype, scratch, dst + <usize>(unit * VERIFY_ELEMENTS) * format.bytes(dtype), VERIFY_ELEMENTS, 1, words, mode, saturate !== 0, 0);
  }
}

/** out[unit] i32: how many 16-byte words of a and b differ. Units: DIGEST_BYTES bytes; `bytes` is a multiple of 16. */
export function differing(begin: i32, end: i32, _scratch: usize, a: usize, b: usize, bytes: i32, out: usize): void {
  for (let unit = begin; unit < end; unit++) {
    const last = min(bytes, (unit + 1) * DIGEST_BYTES);
    let count = 0;
    for (let i = unit * DIGEST_BYTES; i < last; i += 16) {
      if (v128.any_true(v128.xor(v128.load(a + i), v128.load(b + i)))) count++;
    }
    store<i32>(out + (unit << 2), count);
  }
}
