/** Generation: a cache that changes no bit, draws that follow the seed, and text beyond the model's positions. */
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Casts } from '../src/model/casts.js';
import { checkSampleOptions, lastLogits, type SampleOptions, sample } from '../src/model/sample.js';
import { forward, type Model, newKvCache } from '../src/model/transformer.js';
import { read } from '../src/ops/quantize.js';
import { upload } from '../src/ops/tensor.js';
import { generate, type LoadedModel, loadModel } from '../src/train/index.js';
import { expectSame } from './helpers/close.js';
import { events, memoryStore, QUICK, refusalOf, TINY, useEngine, VARIANTS } from './helpers/training.js';

const engine = useEngine();
const POSITIONS = 32;
const models = new Map<string, LoadedModel>();
const prompt = [...QUICK.data.subarray(100, 112)];

beforeAll(async () => {
  for (const [name, variant] of VARIANTS) {
    const outDir = memoryStore();
    await events({ ...QUICK, steps: 20, ...variant, engine: engine(), outDir });
    models.set(name, await loadModel(outDir, { engine: engine() }));
  }
});

const loaded = (name = 'fp8') => models.get(name)!;
const names = VARIANTS.map(([name]) => name);

function draw(options: Partial<SampleOptions>, name = 'fp8', from: ArrayLike<number> = prompt): number[] {
  const { model, casts } = loaded(name);
  return [...sample(model, casts, from, { maxNewTokens: 12, ...options })];
}

/** Logits after every token, computed at once and without a cache. */
function allLogits({ model, casts }: LoadedModel, tokens: readonly number[]): Float32Array[] {
  const rt = engine();
  return rt.scoped(() => {
    const input = { ids: upload(rt, Int32Array.from(tokens)), batch: 1, time: tokens.length };
    const values = read(rt, forward(model, casts, input).logits);
    return tokens.map((_, row) => values.slice(row * 256, (row + 1) * 256));
  });
}

/** Logits after the last token, through a cache that is filled in pieces. */
function cachedLogits(
  { model, casts }: LoadedModel,
  tokens: readonly number[],
  pieces: readonly number[],
): Float32Array[] {
  const rt = engine();
  return rt.scoped(() => {
    const cache = newKvCache(model, POSITIONS);
    let at = 0;
    return pieces.map((length) => {
      at += length;
      return lastLogits(model, casts, tokens.slice(at - length, at), cache);
    });
  });
}

describe('the cache', () => {
  const tokens = [...QUICK.data.subarray(200, 200 + POSITIONS)];

  it.each(names)('changes no bit of the logits, token by token: %s', (name) => {
    const whole = allLogits(loaded(name), tokens);
    const ones = tokens.map(() => 1);
    for (const [i, logits] of cachedLogits(loaded(name), tokens, ones).entries()) {
      expectSame(logits, whole[i], `${name}, token ${i}`);
    }
    // Logits that do not depend on the text would agree too.
    expect(whole[3]).not.toEqual(whole[4]);
  });

  it.each(names)('nor in pieces of any length: %s', (name) => {
    const whole = allLogits(loaded(name), tokens);
    for (const pieces of [[32], [12, 1, 1, 1, 17], [1, 30, 1], [5, 6, 7, 8]]) {
      let at = -1;
      for (const [i, logits] of cachedLogits(loaded(name), tokens, pieces).entries()) {
        at += pieces[i];
        expectSame(logits, whole[at], `${name}, ${pieces}, token ${at}`);
      }
    }
  });

  it('rows do not depend on each other: a sequence gives the same logits in any batch', () => {
    const { model, casts } = loaded();
    const rt = engine();
    const other = [...QUICK.data.subarray(1000, 1000 + POSITIONS)];
    rt.scoped(() => {
      const input = { ids: upload(rt, Int32Array.from([...other, ...tokens])), batch: 2, time: POSITIONS };
      const values = read(rt, forward(model, casts, input).logits);
      const alone = allLogits(loaded(), tokens);
      for (const [i, row] of alone.entries()) {
        expectSame(values.slice((POSITIONS + i) * 256, (POSITIONS + i + 1) * 256), row, `row ${i}`);
      }
    });
  });

  /** The likeliest token after each text, from scratch, by the rule that sample documents for texts beyond the positions. */
  function greedyFromScratch(name: string, count: number): number[] {
    const text = [...prompt];
    let window = [...prompt];
    for (let i = 0; i < count; i++) {
      if (window.length > POSITIONS) window = text.slice(-POSITIONS / 2);
      const logits = allLogits(loaded(name), window).at(-1)!;
      const id = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
      text.push(id);
      window.push(id);
    }
    return text.slice(prompt.length);
  }

  it.each(names)('gives the text of full recomputation, far beyond the positions: %s', (name) => {
    const count = 3 * POSITIONS;
    expect(draw({ maxNewTokens: count, temperature: 0 }, name)).toEqual(greedyFromScratch(name, count));
  });

  it('a prompt beyond the positions counts with its end', () => {
    const long = [...QUICK.data.subarray(0, 100)];
    expect(draw({ temperature: 0 }, 'fp8', long)).toEqual(draw({ temperature: 0 }, 'fp8', long.slice(-POSITIONS)));
  });

  it('gives its memory back, also when the reader leaves early', () => {
    const before = engine().arena.bytesInUse;
    draw({});
    const { model, casts } = loaded();
    for (const _ of sample(model, casts, prompt, { maxNewTokens: 9 })) break;
    expect(engine().arena.bytesInUse).toBe(before);
  });

  it('leaves nothing behind where only a part of its layers finds memory', () => {
    const { arena } = engine();
    const before = arena.bytesInUse;
    const alloc = arena.alloc.bind(arena);
    const refused = vi.spyOn(arena, 'alloc');
    refused.mockImplementationOnce(alloc).mockImplementation(() => alloc(2 ** 33));
    try {
      expect(() => newKvCache(loaded().model, POSITIONS)).toThrow(/^memory: /);
      expect(refused).toHaveBeenCalledTimes(2);
    } finally {
      refused.mockRestore();
    }
    expect(arena.bytesInUse).toBe(before);
  });

  it('outlives the scope in which it was begun, and leaves the tensors of others alone', () => {
    const expected = draw({ temperature: 0 });
    const { model, casts } = loaded();
    const before = engine().arena.bytesInUse;
    const begun = sample(model, casts, prompt, { maxNewTokens: 12, temperature: 0 });
    const first = engine().scope(() => begun.next().value);
    const ones = engine().tensor(new Float32Array(50_000).fill(1), [50_000], 'float32');
    expect([first, ...begun]).toEqual(expected);
    expect(
      engine()
        .read(ones)
        .every((x) => x === 1),
    ).toBe(true);
    engine().free(ones);
    expect(engine().arena.bytesInUse).toBe(before);
  });

  it('has the same text where other texts, and other work, come between its tokens', () => {
    const { model, casts } = loaded();
    const options = { maxNewTokens: 12, seed: 3 };
    const other = [...prompt].reverse();
    const expected = [prompt, other].map((text) => [...sample(model, casts, text, options)]);
    const before = engine().arena.bytesInUse;
    const texts = [prompt, other].map((text) => sample(model, casts, text, options));
    const drawn: number[][] = [[], []];
    for (let i = 0; i < 12; i++) {
      for (const [which, text] of texts.entries()) {
        drawn[which].push(text.next().value!);
        // Takes, and fills, whatever memory is free.
        engine().scope(() => {
          engine().tensor(new Float32Array(1000 * (i + 1)).fill(Number.NaN), [1000 * (i + 1)], 'float32');
        });
      }
    }
    expect(drawn).toEqual(expected);
    for (const text of texts) expect(text.next().done).toBe(true);
    expect(engine().arena.bytesInUse).toBe(before);
  });

  it('has the same text where memory is refused once, at any of its tokens', () => {
    const { model, casts } = loaded();
    const { arena } = engine();
    // More than the positions, so that the cache is rebuilt.
    const options = { maxNewTokens: POSITIONS, seed: 5 };
    const expected = [...sample(model, casts, prompt, options)];
    for (let refused = 1; refused < options.maxNewTokens; refused++) {
      const text = sample(model, casts, prompt, options);
      const drawn: number[] = [];
      while (drawn.length < options.maxNewTokens) {
        const alloc = vi.spyOn(arena, 'alloc');
        if (drawn.length === refused) {
          alloc.mockImplementationOnce(() => {
            throw new RangeError('memory');
          });
        }
        try {
          drawn.push(text.next().value!);
        } finally {
          alloc.mockRestore();
        }
        // Fills the memory of what was freed.
        engine().scope(() => {
          engine().tensor(new Float32Array(50_000).fill(Number.NaN), [50_000], 'float32');
        });
      }
      expect(drawn, `refused at token ${refused}`).toEqual(expected);
      text.return();
    }
  });

  it('needs no more memory because weights are prepacked and steps recorded, and has the same text with any amount', () => {
    const expected = draw({ temperature: 0 });
    const { arena, kernels } = engine();
    const before = arena.bytesInUse;
    const alloc = arena.alloc.bind(arena);
    /** The least memory with which there is a text. */
    const needed = () => {
      let left = 0;
      let least: number | undefined;
      const limited = vi.spyOn(arena, 'alloc').mockImplementation((bytes) => {
        // What is in use now counts, so that what was freed can be used again.
        return alloc(arena.bytesInUse + bytes > before + left ? 2 ** 33 : bytes);
      });
      try {
        for (left = 0; left <= 320_000; left += 4000) {
          try {
            expect(draw({ temperature: 0 })).toEqual(expected);
            least ??= left;
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
            // With more memory than once was enough it is never refused again.
            expect(least).toBeUndefined();
          }
          expect(arena.bytesInUse).toBe(before);
        }
      } finally {
        limited.mockRestore();
      }
      return least;
    };
    const packed = needed();
    const none = vi.spyOn(kernels, 'prepackedBytes').mockReturnValue(2 ** 33);
    try {
      expect(packed).toBe(needed());
      expect(none).toHaveBeenCalled();
    } finally {
      none.mockRestore();
    }
    const unrecorded = vi.spyOn(engine(), 'record').mockImplementation(() => {
      throw new RangeError('memory');
    });
    try {
      expect(packed).toBe(needed());
      expect(unrecorded).toHaveBeenCalled();
    } finally {
      unrecorded.mockRestore();
    }
    expect(packed).toBeGreaterThan(0);
  });
});

/** A model of 256 given logits for whatever text: the draw alone. */
function drawFrom(logits: (id: number) => number, options: Partial<SampleOptions>, count = 2000): number[] {
  const { model, casts } = tableModel(logits);
  const counts = new Array<number>(256).fill(0);
  for (const id of sample(model, casts, [0], { maxNewTokens: count, ...options })) counts[id]++;
  return counts;
}

/** No layers of text: the head times a constant row. Its logits are powers of two and sums of them, so BF16 keeps them. */
function tableModel(logits: (id: number) => number): { model: Model; casts: Casts } {
  const rt = engine();
  const { model, casts } = loaded('f32');
  // head (256, 32): the first column times the first channel of the normed state, the rest zero.
  const embed = rt.tensor(
    Float32Array.from({ length: 256 * 32 }, (_, i) => (i % 32 === 0 ? 1 : 0)),
    [256, 32],
    'float32',
  );
  const gains = rt.tensor(new Float32Array(32).fill(1), [32], 'float32');
  const zeros = (shape: readonly number[]) =>
    rt.tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape, 'float32');
  const head = rt.tensor(
    Float32Array.from({ length: 256 * 32 }, (_, i) => (i % 32 === 0 ? logits(i / 32) / Math.sqrt(32) : 0)),
    [256, 32],
    'float32',
  );
  const weights = new Map(
    [...model.weights].map(([name, { forward: t }]) => {
      const own = name === 'embed' ? embed : name.endsWith('norm') ? gains : zeros(t.shape);
      return [name, { forward: own, backward: own }] as const;
    }),
  );
  weights.set('head', { forward: head, backward: head });
  return { model: { ...model, config: { ...model.config, tieWordEmbeddings: false }, weights }, casts };
}

describe('the draw', () => {
  it('temperature 0 takes the likeliest, and of equals the first', () => {
    expect(drawFrom((id) => (id === 9 || id === 200 ? 2 : 0), { temperature: 0 }, 10)[9]).toBe(10);
    expect(draw({ temperature: 0, seed: 1 })).toEqual(draw({ temperature: 0, seed: 2 }));
  });

  it('follows the distribution', () => {
    // Weights 4 : 2 : 1 : 1, everything else e^-40.
    const logits = [Math.log(4), Math.log(2), 0, 0];
    const counts = drawFrom((id) => logits[id] ?? -40, { temperature: 1 }, 4000);
    const expected = [2000, 1000, 500, 500];
    // Four standard deviations of a binomial.
    for (const [id, n] of expected.entries()) {
      expect(Math.abs(counts[id] - n), `token ${id}`).toBeLessThan(4 * Math.sqrt(n * (1 - n / 4000)));
    }
    expect(counts.slice(0, 4).reduce((a, b) => a + b)).toBe(4000);
  });

  it('a low temperature sharpens, a high one flattens', () => {
    const logits = [Math.log(2), 0];
    const share = (temperature: number) => drawFrom((id) => logits[id] ?? -400, { temperature })[0] / 2000;
    // 2^(1/T) : 1
    for (const [temperature, expected] of [
      [0.5, 4 / 5],
      [1, 2 / 3],
      [2, Math.SQRT2 / (1 + Math.SQRT2)],
    ]) {
      expect(Math.abs(share(temperature) - expected), `T = ${temperature}`).toBeLessThan(0.045);
    }
    expect(drawFrom((id) => logits[id] ?? -400, { temperature: 1e-300 }, 50)[0]).toBe(50);
  });

  it('top-k keeps the k likeliest, top-p the fewest that reach p', () => {
    const logits = [Math.log(4), Math.log(2), 0, 0];
    const tokens = (options: Partial<SampleOptions>) =>
      drawFrom((id) => logits[id] ?? -40, options, 300).flatMap((n, id) => (n > 0 ? [id] : []));
    expect(tokens({ topK: 1 })).toEqual([0]);
    expect(tokens({ topK: 2 })).toEqual([0, 1]);
    // Of equals the smaller id is kept.
    expect(tokens({ topK: 3 })).toEqual([0, 1, 2]);
    expect(tokens({ topP: 0.4 })).toEqual([0]);
    expect(tokens({ topP: 0.6 })).toEqual([0, 1]);
    expect(tokens({ topP: 0.8 })).toEqual([0, 1, 2]);
    expect(tokens({ topP: 1e-9 })).toEqual([0]);
    // The shares are of what top-k left: 4 of 6 is above 0.6.
    expect(tokens({ topK: 2, topP: 0.6 })).toEqual([0]);
    // Half is reached by one of two equals.
    expect(drawFrom((id) => (id < 2 ? 0 : -400), { topP: 0.5 }, 50)[0]).toBe(50);
    expect(tokens({ topK: 1000 })).toEqual([0, 1, 2, 3]);
  });

  it('follows the seed, token by token', () => {
    const seeded = (seed: number) => draw({ seed, temperature: 1.5, maxNewTokens: 24 });
    expect(seeded(1)).toEqual(seeded(1));
    expect(seeded(1)).not.toEqual(seeded(2));
    expect(seeded(2 ** 32 + 1)).not.toEqual(seeded(1));
    // A shorter run is the beginning of a longer one.
    expect(draw({ seed: 1, temperature: 1.5, maxNewTokens: 5 })).toEqual(seeded(1).slice(0, 5));
  });
});

describe('generate', () => {
  it('streams whole characters, and the pieces make up the text of the tokens', () => {
    const options = { maxNewTokens: 60, temperature: 3, seed: 5 };
    const pieces = [...generate(loaded(), 'Whale – ', options)];
    const ids = draw(options, 'fp8', new TextEncoder().encode('Whale – '));
    expect(pieces.join('')).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(ids)));
    expect(pieces.every((piece) => piece.length > 0)).toBe(true);
    expect([...generate(loaded(), 'A', { maxNewTokens: 0 })]).toEqual([]);
  });
});

describe('what cannot be', () => {
  it.each([
    [{ maxNewTokens: -1 }, /^maxNewTokens: expected an integer of 0 or more, got -1$/],
    [{ maxNewTokens: 1.5 }, /^maxNewTokens: /],
    [{ maxNewTokens: Number.NaN }, /^maxNewTokens: /],
    [{ temperature: -0.1 }, /^temperature: expected a number of 0 or more, got -0.1$/],
    [{ temperature: Number.NaN }, /^temperature: /],
    [{ temperature: Number.POSITIVE_INFINITY }, /^temperature: /],
    [{ topK: 0 }, /^topK: expected an integer of 1 or more, got 0$/],
    [{ topK: 2.5 }, /^topK: /],
    [{ topP: 0 }, /^topP: expected a number above 0 and at most 1, got 0$/],
    [{ topP: '0.9' as never }, /^topP: expected a number above 0 and at most 1, got '0.9'$/],
    [{ temperature: null as never }, /^temperature: expected a number of 0 or more, got null$/],
    [{ topK: '3' as never }, /^topK: expected an integer of 1 or more, got '3'$/],
    [{ topP: 1.01 }, /^topP: /],
    [{ topP: Number.NaN }, /^topP: /],
    [{ seed: -1 }, /^seed: expected a non-negative safe integer, got -1$/],
    [{ seed: 2 ** 53 }, /^seed: /],
  ])('%o is refused', (options, message) => {
    expect(() => checkSampleOptions({ maxNewTokens: 1, ...options })).toThrow(message);
    expect(() => draw(options)).toThrow(message);
  });

  it('a prompt without tokens, or with tokens the model does not have', () => {
    expect(() => draw({}, 'fp8', [])).toThrow(/^prompt: expected at least one token, got none$/);
    expect(() => draw({}, 'fp8', [1, 256])).toThrow(/^prompt: expected token ids below 256, got 256$/);
    expect(() => draw({}, 'fp8', [-1])).toThrow(/^prompt: /);
    expect(() => draw({}, 'fp8', [0.5])).toThrow(/^prompt: /);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('a model whose logits include %d', (value) => {
    const message = `model: expected one with finite logits, got ${value}`;
    expect(() => drawFrom((id) => (id === 9 ? value : 0), { temperature: 0 }, 1)).toThrow(message);
    expect(() => drawFrom((id) => (id === 9 ? value : 0), { topK: 3 }, 1)).toThrow(message);
  });

  it('a place without a model', async () => {
    const error = await refusalOf(loadModel('/tmp/there-is-no-such-directory', { engine: engine() }));
    expect(error.message).toBe(
      '/tmp/there-is-no-such-directory: expected a model directory with config.json, got none',
    );
  });
});

it('the tiny model has the positions these tests count on', () => {
  expect(loaded().model.config).toMatchObject({ ...TINY, maxPositions: POSITIONS });
});
