/** How the work of a run is counted, and what limits it: see harness.mjs and ceiling.mjs. */

/** Bytes read and written at least. */
export const traffic = (bytes) => ({ amount: bytes, unit: 'B', limit: { kind: 'copy', amount: bytes } });

/** Products with a float32 operand are rounded before they are summed; those of the narrower formats are exact, and may be fused. */
const kindOf = (dtype) => (dtype === 'float32' ? 'rounded' : 'exact');

/** Multiplications and additions of products with operands of a format. */
export const operations = (count, dtype) => ({
  amount: count,
  unit: 'FLOP',
  limit: { kind: kindOf(dtype), amount: count },
});

/** Tokens that take so many operations. */
export const tokens = (amount, count, dtype) => ({
  amount,
  unit: 'token',
  limit: { kind: kindOf(dtype), amount: count },
});
