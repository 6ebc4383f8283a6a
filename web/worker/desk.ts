/** The worker for everything except training: files of runs, and text from their models. It answers calls in turn. */
import { unzipSync, zipSync } from 'fflate';
import { byteTokenizer } from '../../src/interop/tokenizer.js';
import { draws, probabilities } from '../../src/model/sample.js';
import { Engine } from '../../src/ops/engine.js';
import { loadModel, SUMMARY_FILE, type Summary, trainSettings } from '../../src/train/index.js';
import { readLog } from '../../src/train/log.js';
import { CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE } from '../../src/train/model-files.js';
import type { RunEntry, RunFile } from '../run/record.js';
import { batchesOf, shown } from './batches.js';
import { openFolder, openRun, readCurrent, writeCurrent } from './opfs.js';
import type { Desk, DeskReply, DeskRequest, Pieces } from './protocol.js';

const MODEL_FILES = [CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE];
/** Larger models do not fit into the engine's memory together with what is computed. */
const MAX_MODEL_BYTES = 2 ** 31;
/** A text is held in memory while a run trains, hence the limit. */
const MAX_TEXT_BYTES = 64e6;
const LIKELIEST = 5;

type Answers = {
  [Name in keyof Desk]: (...args: Parameters<Desk[Name]>) => Promise<ReturnType<Desk[Name]>>;
};

async function fileOf(id: string): Promise<RunFile> {
  const content = await (await openRun(id)).read('run.json');
  if (!content) throw new Error('expected a run with its settings, got none: was it deleted?');
  return JSON.parse(new TextDecoder().decode(content)) as RunFile;
}

async function entryOf(id: string): Promise<RunEntry> {
  const store = await openRun(id);
  const [file, lines, names] = await Promise.all([fileOf(id), readLog(store), store.list()]);
  const folder = await openFolder(id);
  const stored: string[] = [];
  for await (const name of folder.keys()) stored.push(name);
  // A file may be renamed meanwhile, by the worker that saves; or may wait for its name since a save was interrupted.
  const sizes = stored.map(async (name) => {
    const file = await folder
      .getFileHandle(name)
      .then((handle) => handle.getFile())
      .catch(() => undefined);
    return file?.size ?? 0;
  });
  const steps = lines.filter((line) => line.type === 'step');
  return {
    ...file,
    step: steps.at(-1)?.step ?? 0,
    loss: lines.findLast((line) => line.type === 'eval')?.val_loss ?? steps.at(-1)?.loss,
    done: lines.at(-1)?.type === 'done',
    bytes: (await Promise.all(sizes)).reduce((a, b) => a + b, 0),
    hasModel: names.includes(MODEL_FILE),
  };
}

/** Refuses files that are not text: their tokens would be bytes of a picture or an archive. */
function checkText(name: string, bytes: Uint8Array): void {
  if (bytes.length === 0) throw new RangeError(`${name} is empty: choose a file with text in it`);
  const fail = () => {
    throw new RangeError(`${name} is not a text file (UTF-8): save it as plain text and choose that`);
  };
  if (bytes.includes(0)) fail();
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    fail();
  }
}

/** The three files of a model, wherever they are in the archive. */
function modelOf(name: string, zip: Uint8Array): Map<string, Uint8Array> {
  const wanted = (path: string) => MODEL_FILES.find((file) => path === file || path.endsWith(`/${file}`));
  let files: Record<string, Uint8Array>;
  try {
    files = unzipSync(zip, { filter: (file) => Boolean(wanted(file.name)) && file.originalSize < MAX_MODEL_BYTES });
  } catch {
    throw new RangeError(`${name} is not a zip archive, or a damaged one`);
  }
  const found = new Map(Object.entries(files).map(([path, content]) => [wanted(path)!, content]));
  const missing = MODEL_FILES.filter((file) => !found.has(file));
  if (missing.length > 0)
    throw new RangeError(`${name} holds no model: expected ${MODEL_FILES.join(', ')}, got no ${missing.join(', ')}`);
  return found;
}

let engine: Promise<Engine> | undefined;
/** One thread: generating one token after another gains nothing from more, and training may use them. */
const engineHere = () => (engine ??= Engine.create({ threads: 1 }));

/** Loads a model, calls `use`, and frees everything allocated for both. */
async function withModel<T>(id: string, use: (loaded: Awaited<ReturnType<typeof loadModel>>) => T): Promise<T> {
  const rt = await engineHere();
  const mark = rt.arena.mark();
  try {
    return use(await loadModel(await openRun(id), { engine: rt }));
  } finally {
    rt.arena.release(mark);
  }
}

const visible = (id: number) => byteTokenizer.decode([id]);

const answers = (piece: (piece: Pieces[keyof Pieces]) => void): Answers => ({
  async list() {
    const folder = await openFolder();
    const ids: string[] = [];
    for await (const id of folder.keys()) ids.push(id);
    // A run whose creation was interrupted has no settings yet.
    const entries = await Promise.all(ids.map((id) => entryOf(id).catch(() => undefined)));
    return entries.filter((entry) => entry !== undefined).sort((a, b) => b.created - a.created);
  },
  current: readCurrent,
  setCurrent: writeCurrent,
  async create(file, text) {
    const store = await openRun(file.id);
    const unlock = await store.lock();
    try {
      await store.write('text', text);
      await store.write('run.json', JSON.stringify(file));
    } catch (error) {
      await (await openFolder()).removeEntry(file.id, { recursive: true }).catch(() => undefined);
      throw error;
    } finally {
      await unlock();
    }
  },
  async lines(id) {
    const lines = await readLog(await openRun(id));
    for (const batch of batchesOf(lines.map(shown))) piece(batch);
  },
  async text(id) {
    const content = await (await openRun(id)).read('text');
    if (!content) throw new Error('expected a run with its text, got none: was it deleted?');
    return content;
  },
  async rename(id, name) {
    const store = await openRun(id);
    await store.write('run.json', JSON.stringify({ ...(await fileOf(id)), name }));
  },
  async remove(id) {
    const unlock = await (await openRun(id)).lock();
    await unlock();
    await (await openFolder()).removeEntry(id, { recursive: true });
  },
  async download(id) {
    const store = await openRun(id);
    const files: Record<string, Uint8Array> = {};
    for (const name of MODEL_FILES) {
      const content = await store.read(name);
      if (!content) throw new Error('this run has no model yet: it is written when the run is paused, and at its end');
      files[name] = content;
    }
    // Stored uncompressed, because weights do not compress.
    return new Blob([zipSync(files, { level: 0 }) as Uint8Array<ArrayBuffer>], { type: 'application/zip' });
  },
  async reportInput(id) {
    const store = await openRun(id);
    const [{ settings }, metrics, summary] = await Promise.all([fileOf(id), readLog(store), store.read(SUMMARY_FILE)]);
    if (!settings || metrics.length === 0) throw new Error('this model has no run here to report on');
    const what = summary ? (JSON.parse(new TextDecoder().decode(summary)) as Summary) : {};
    return { config: trainSettings(settings), summary: what, metrics };
  },
  async upload(name, zip) {
    if (zip.size > MAX_MODEL_BYTES)
      throw new RangeError(`${name} has ${Math.round(zip.size / 1e6)} MB: expected at most 2 GB`);
    const files = modelOf(name, new Uint8Array(await zip.arrayBuffer()));
    const id = crypto.randomUUID();
    const store = await openRun(id);
    const unlock = await store.lock();
    try {
      for (const [file, content] of files) await store.write(file, content);
      // Refuses a model that cannot be loaded.
      await withModel(id, () => undefined);
      await store.write(
        'run.json',
        JSON.stringify({ id, name: name.replace(/\.zip$/i, ''), created: Date.now(), text: 'uploaded' }),
      );
    } catch (error) {
      await (await openFolder()).removeEntry(id, { recursive: true }).catch(() => undefined);
      throw error;
    } finally {
      await unlock();
    }
    return entryOf(id);
  },
  async readText(files) {
    const total = files.reduce((sum, { size }) => sum + size, 0);
    if (total > MAX_TEXT_BYTES) {
      throw new RangeError(
        `${files.map(({ name }) => name).join(', ')}: ${Math.round(total / 1e6)} MB of text, expected at most ${MAX_TEXT_BYTES / 1e6} MB`,
      );
    }
    const parts: Uint8Array[] = [];
    for (const file of files) {
      const bytes = new Uint8Array(await file.arrayBuffer());
      checkText(file.name, bytes);
      parts.push(bytes);
    }
    return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  },
  async generate(id, prompt, options) {
    await withModel(id, ({ model, casts, tokenizer }) => {
      const decoder = tokenizer.streamDecoder();
      for (const { id: token, logits } of draws(model, casts, tokenizer.encode(prompt), options)) {
        const chances = probabilities(logits);
        const order = Array.from(chances.keys()).sort((a, b) => chances[b] - chances[a] || a - b);
        const likeliest = order
          .slice(0, LIKELIEST)
          .map((each) => ({ text: visible(each), probability: chances[each] }));
        piece({ text: decoder.push(token), probability: chances[token], likeliest });
      }
    });
  },
});

let turn: Promise<unknown> = Promise.resolve();
addEventListener('message', ({ data }: MessageEvent<DeskRequest>) => {
  const { call, name, args } = data;
  const reply = (message: DeskReply) => postMessage(message);
  const { [name]: answer } = answers((piece) => reply({ call, piece }));
  const answered = turn.then(() => (answer as (...args: unknown[]) => Promise<unknown>)(...args));
  turn = answered.then(
    (result) => reply({ call, result }),
    (error) => reply({ call, error: error instanceof Error ? error.message : String(error) }),
  );
});
