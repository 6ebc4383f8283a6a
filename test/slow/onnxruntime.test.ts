/** Encode, then decode, by the kernels and by onnxruntime, for all 2^32 float32 inputs of its four 8-bit formats, saturating. */
import { describe, expect, it } from 'vitest';
import { init } from '../../src/index.js';
import { ONNX_FLOAT8, onnxRound } from '../helpers/onnxruntime.js';

const CHUNK = 1 << 22;

describe.each(ONNX_FLOAT8)('%s', (dtype) => {
  it('all float32: the same values', async () => {
    const engine = await init();
    const theirs = await onnxRound(dtype, true);
    const bits = new Uint32Array(CHUNK);
    let wrong = 0;
    for (let first = 0; first < 2 ** 32; first += CHUNK) {
      for (let i = 0; i < CHUNK; i++) bits[i] = first + i;
      const inputs = new Float32Array(bits.buffer);
      const ours = engine.decode(engine.encode(inputs, { dtype, saturate: true }), dtype);
      const expected = await theirs(inputs);
      if (Buffer.from(ours.buffer).equals(Buffer.from(expected.buffer, expected.byteOffset, expected.byteLength)))
        continue;
      for (let i = 0; i < CHUNK; i++) if (!Object.is(ours[i], expected[i])) wrong++;
    }
    engine.dispose();
    expect(wrong).toBe(0);
  });
});
