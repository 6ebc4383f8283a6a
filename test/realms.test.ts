/** Arrays of another realm, such as an iframe or a vm context, are arrays: instanceof would deny it. */
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { getFloat8, pack, setFloat8 } from '../src/formats/index.js';
import { init } from '../src/index.js';
import { parseSafetensors, serializeSafetensors } from '../src/interop/safetensors.js';
import { digestOf, events, QUICK, useEngine } from './helpers/training.js';

const engine = useEngine();
/** The same bytes in an array whose prototype is not ours. */
function foreign(content: Uint8Array): Uint8Array {
  const copy = runInNewContext('new Uint8Array(size)', { size: content.length }) as Uint8Array;
  copy.set(content);
  expect(copy).not.toBeInstanceOf(Uint8Array);
  return copy;
}

it('a text to train on', async () => {
  const digest = digestOf(await events({ ...QUICK, steps: 2, engine: engine() }));
  expect(digestOf(await events({ ...QUICK, data: foreign(QUICK.data), steps: 2, engine: engine() }))).toBe(digest);
});

it('safetensors files, written and read', () => {
  const file = serializeSafetensors({ x: { dtype: 'U8', shape: [2], data: foreign(Uint8Array.of(1, 2)) } });
  expect([...parseSafetensors(foreign(file)).tensors.get('x')!.data]).toEqual([1, 2]);
});

it('codes, packed or in a DataView', () => {
  expect([...pack(foreign(Uint8Array.of(1, 2)), 'fp4')]).toEqual([0x21]);
  const view = runInNewContext('new DataView(new ArrayBuffer(2))') as DataView;
  setFloat8(view, 1, 1.5);
  expect(getFloat8(view, 1)).toBe(1.5);
});

it('kernels', async () => {
  const wasm = foreign(readFileSync(new URL('../build/simd.wasm', import.meta.url))) as Uint8Array<ArrayBuffer>;
  for (const source of [wasm, wasm.buffer]) (await init({ build: 'simd', threads: 1, wasm: source })).dispose();
});
