/** The epilogue of a product: scales, addend, encoding. Each step is one float32 operation, in the order of docs/numerics.md. */

import { TILE_COLUMNS } from '../src/engine/units';
import { loadRow } from './decode';
import { amaxRow, encodeRow } from './encode';
import { format, rounding } from './formats';
import { lanes } from './lanes';
import { TILE } from './tile';

/**
 * Writes the first m rows and n columns of a tile as float32, scaled and with the addend added. Returns the bits of their largest
 * magnitudes, in lanes.
 */
export function writeTile(
  c: usize, m: i32, n: i32, alpha: f32, rowScale: usize, columnScale: usize, addend: usize, out: usize, stride: usize, line: usize,
): v128 {
  let most = i32x4.splat(0);
  for (let i = 0; i < m; i++) {
    const k = f32x4.splat(rowScale ? alpha * load<f32>(rowScale + (i << 2)) : alpha);
    let low = f32x4.mul(v128.load(c), k);
    let high = f32x4.mul(v128.load(c, 16), k);
    if (columnScale) {
      low = f32x4.mul(low, v128.load(columnScale));
      high = f32x4.mul(high, v128.load(columnScale, 16));
    }
    if (addend) {
      low = f32x4.add(v128.load(addend), low);
      high = f32x4.add(v128.load(addend, 16), high);
      addend += stride;
    }
    if (n === TILE_COLUMNS) {
      v128.store(out, low);
      v128.store(out, high, 16);
      most = i32x4.max_u(most, i32x4.max_u(lanes.abs(low), lanes.abs(high)));
    } else {
      v128.store(line, low);
      v128.store(line, high, 16);
      for (let j = 0; j < n; j++) {
        const bits = load<u32>(line + (j << 2));
        store<u32>(out + (j << 2), bits);
        most = i32x4.max_u(most, i32x4.splat(bits & 0x7fffffff));
      }
    }
    c += TILE_COLUMNS * 4;
    out += stride;
  }
  return most;
}

/**
 * Gathers row i of a block from its tiles, `high` rows each, scales it, adds the addend and encodes it. Returns the bits of its largest
 * magnitude before outScale.
 */
export function finishRow(
  cTiles: usize, mPanels: i32, high: i32, i: i32, n: i32, line: usize, columnBlock: i32, scale: f32,
  columnScale: usize, addend: usize, out: usize, outDtype: i32, outScale: f32,
): u32 {
  const k = f32x4.splat(scale);
  const nPanels = (n + TILE_COLUMNS - 1) / TILE_COLUMNS;
  let c = cTiles + <usize>((i / high) * TILE + (i % high) * TILE_COLUMNS) * 4;
  for (let j = 0; j < nPanels; j++) {
    const to = line + (j << 5);
    v128.store(to, f32x4.mul(v128.load(c), k));
    v128.store(to, f32x4.mul(v128.load(c, 16), k), 16);
    c += <usize>(mPanels * TILE) * 4;
  }
  if (columnScale) {
    for (let j = 0; j < n; j++) store<f32>(line + (j << 2), load<f32>(line + (j << 2)) * load<f32>(columnScale + (j << 2)));
  }
  if (addend) {
    const other = line + (columnBlock << 2);
    loadRow(outDtype, addend, other, n, 1);
    for (let j = 0; j < n; j += 4) {
      v128.store(line + (j << 2), f32x4.add(v128.load(other + (j << 2)), v128.load(line + (j << 2))));
    }
  }
  const largest = amaxRow(line, n);
  encodeRow(outDtype, line, out, n, outScale, 0, rounding.tiesToEven, format.saturates(outDtype), 0);
  return largest;
}
