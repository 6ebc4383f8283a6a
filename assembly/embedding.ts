/** Token embedding: rows of a table, and the sum of gradients back into them. */

import { EMBEDDING_CHANNELS } from '../src/engine/units';
import { loadRow } from './decode';
import { storeRow } from './encode';
import { format } from './formats';

/** Units: rows. out[row] = table[ids[row]]; table (V, C) of tableDtype, ids i32, out (rows, C) of outDtype. */
export function embeddingForward(
  begin: i32, end: i32, scratch: usize,
  table: usize, tableDtype: i32, ids: usize, out: usize, outDtype: i32, channels: i32,
): void {
  for (let row = begin; row < end; row++) {
    const id = load<i32>(ids + (row << 2));
    loadRow(tableDtype, table + <usize>id * channels * format.bytes(tableDtype), scratch, channels, 1);
    storeRow(outDtype, scratch, out + <usize>row * channels * format.bytes(outDtype), channels);
  }
}

/**
 * Units: EMBEDDING_CHANNELS channels, so that no two threads add to one element and each sums its rows in order. dTable (V, C) float32 +=
 * dy rows, dy (rows, C) in dtype.
 */
export function embeddingBackward(
  begin: i32, end: i32, scratch: usize,
  dy: usize, dtype: i32, ids: usize, dTable: usize, rows: i32, channels: i32,
): void {
  const first = begin * EMBEDDING_CHANNELS;
  const n = min(channels, end * EMBEDDING_CHANNELS) - first;
  for (let row = 0; row < rows; row++) {
    loadRow(dtype, dy + <usize>(row * channels + first) * format.bytes(dtype), scratch, n, 1);
    const to = dTable + (<usize>(load<i32>(ids + (row << 2)) * channels + first) << 2);
    for (let i = 0; i < n; i++) {
      const at = to + (i << 2);
      store<f32>(at, load<f32>(at) + load<f32>(scratch + (i << 2)));
    }
  }
}
