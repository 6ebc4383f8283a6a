/** Counts the work of a run and says what limits it: see harness.mjs and ceiling.mjs. */

/** Bytes that must at least be read and written. */
export const traffic = (bytes) => ({ amount: bytes, unit: 'B', limit: { kind: 'copy', amount: bytes } });

/** Products with a float32 operand are rounded before they are summed; products of narrower formats are exact and may be fused. */
const kindOf = (dtype) => (dtype === 'float32' ? 'rounded' : 'exact');

/** Multiplications and additions of products whose operands have this format. */
export const operations = (count, dtype) => ({
  amount: count,
  unit: 'FLOP',
  limit: { kind: kindOf(dtype), amount: count },
});

/** Tokens that take this many operations. */
export const tokens = (amount, count, dtype) => ({
  amount,
  unit: 'token',
  limit: { kind: kindOf(dtype), amount: count },
});
