/** Reads back what a run left in its directory, for comparison: its log, its states, its model. */
import type { Runtime } from '../engine/runtime.js';
import type { Store } from '../engine/store.js';
import { FileError } from '../interop/errors.js';
import { parseSafetensors } from '../interop/safetensors.js';
import { PREVIOUS_STATE_FILE, readStateFile, STATE_FILE, type StateFile } from './checkpoint.js';
import type { MetricsLine } from './events.js';
import { type ScaledTensor, scaleBeside } from './file-tensors.js';
import { readLog } from './log.js';
import { inFile, MODEL_FILE } from './model-files.js';

export interface Recorded {
  readonly path: string;
  readonly lines: readonly MetricsLine[];
  /** States, newest first. */
  readonly states: readonly StateFile[];
  readonly model?: readonly ScaledTensor[];
}

/** Reads the directory of a run or model, or only the safetensors file in it that `file` names. */
export async function recorded(rt: Runtime, store: Store, file?: string): Promise<Recorded> {
  const path = file ? `${store.path}/${file}` : store.path;
  const lines = file ? [] : await readLog(store);
  const states: StateFile[] = [];
  let model: ScaledTensor[] | undefined;
  for (const name of file ? [file] : [STATE_FILE, PREVIOUS_STATE_FILE, MODEL_FILE]) {
    const content = await store.read(name);
    if (!content) continue;
    const parsed = inFile(`${store.path}/${name}`, () => parseSafetensors(content));
    if (parsed.metadata.octavo_state) states.push(inFile(`${store.path}/${name}`, () => readStateFile(rt, parsed)));
    else {
      model = [...parsed.tensors].map(([key, tensor]) => ({
        ...tensor,
        name: key,
        scaleInv: scaleBeside(parsed.tensors, key) ?? 1,
      }));
    }
  }
  if (lines.length === 0 && states.length === 0 && !model) {
    throw new FileError(`${path}: expected a training run, a training state or a model, got none`);
  }
  return { path, lines, states, model };
}
