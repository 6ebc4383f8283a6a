/** Directories of small models, trained for a few steps, and what is done to them. */
import { beforeAll } from 'vitest';
import type { Engine } from '../../src/index.js';
import { parseSafetensors, type SafetensorsTensor, serializeSafetensors } from '../../src/interop/safetensors.js';
import { loadModel } from '../../src/train/generate.js';
import { type LoadedModel, MODEL_FILE } from '../../src/train/model-files.js';
import { doneOf, events, type MemoryStore, memoryStore, QUICK, VARIANTS } from './training.js';

export type Files = MemoryStore['files'];

/** The files by variant, and the validation losses of their runs. */
export function useDirectories(
  engine: () => Engine,
  variants = VARIANTS,
): { directory: (name?: string) => Files; valLoss: (name: string) => number } {
  const made = new Map<string, { files: Files; valLoss: number }>();
  beforeAll(async () => {
    for (const [name, variant] of variants) {
      const store = memoryStore();
      const run = await events({ ...QUICK, steps: 10, ...variant, engine: engine(), outDir: store });
      made.set(name, { files: store.files, valLoss: doneOf(run).val_loss as number });
    }
  });
  return { directory: (name = 'fp8') => made.get(name)!.files, valLoss: (name) => made.get(name)!.valLoss };
}

export const tensorsOf = (files: Files): Map<string, SafetensorsTensor> =>
  parseSafetensors(files.get(MODEL_FILE)!).tensors;

/** Loads a model for the length of a test body. */
export async function withModel<T>(own: Engine, files: Files, body: (loaded: LoadedModel) => T): Promise<T> {
  const mark = own.arena.mark();
  try {
    return body(await loadModel(memoryStore(files), { engine: own }));
  } finally {
    own.arena.release(mark);
  }
}

/** The directory with other tensors. Without the digest, as another program would write it. */
export function altered(files: Files, change: (tensors: Map<string, SafetensorsTensor>) => unknown): Files {
  const tensors = tensorsOf(files);
  change(tensors);
  return new Map([...files, [MODEL_FILE, serializeSafetensors(tensors, { format: 'pt' })]]);
}

export const float = (value: number): Uint8Array => new Uint8Array(Float32Array.of(value).buffer);
export const floatOf = ({ data }: SafetensorsTensor): number =>
  new DataView(data.buffer, data.byteOffset).getFloat32(0, true);
