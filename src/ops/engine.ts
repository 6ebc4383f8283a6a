/** The public interface of the library, returned by `init()`. Tensors live in the engine's memory until freed. */

import { type InitOptions, Runtime } from '../engine/runtime.js';
import { prepareTurbo } from '../engine/turbo.js';
import { checkOptions, describe, namesOf } from '../formats/check.js';
import { type Codes, type DType, dtypeOf, formatSpec, type Rounding } from '../formats/index.js';
import { checkArray, checkSaturate } from '../formats/reference.js';
import { type MatmulOptions, matmul, prepack } from './matmul.js';
import { type QuantizeOptions, quantize, read } from './quantize.js';
import { type BlockScaling, quantizeValues } from './quantize-blocks.js';
import { type CodeScales, codeBytes, scalesOf, tensorOfCodes } from './scaled-codes.js';
import { firstDifference, results } from './self-check.js';
import {
  bytes,
  bytesOf,
  checkShape,
  empty,
  floats,
  freeTensor,
  hasItsScales,
  matrixShape,
  scalesAt,
  sizeOf,
  type Tensor,
} from './tensor.js';

/** Options of encoding. */
export interface CastOptions {
  readonly dtype: string;
  readonly rounding?: Rounding;
  /** Whether overflow and infinity become the largest finite value. Default: true for formats of up to 8 bits, otherwise false. */
  readonly saturate?: boolean;
  /** Required for rounding 'stochastic': a non-negative safe integer. */
  readonly seed?: number;
}

/** Options of {@link Engine.quantize}. */
export interface QuantizeTensorOptions extends CastOptions {
  /**
   * One power-of-two scale for the tensor (default), for each row, for each block of [1, 128] or [128, 128], or for every 32 numbers of a row
   * ('mx'). Blocks are encoded with ties to even and saturate.
   */
  readonly scaling?: 'tensor' | 'row' | BlockScaling;
}

/** Options of {@link Engine.fromCodes}. */
export interface CodesOptions extends CodeScales {
  readonly dtype: string;
}

/** Options of {@link Engine.matmul}: A and B may be stored transposed, and `out` may be given. */
export type ProductOptions = Partial<Pick<MatmulOptions, 'transposeA' | 'transposeB' | 'out'>>;

const CAST = { dtype: true, rounding: true, saturate: true, seed: true } as const;
const CAST_OPTIONS = namesOf<CastOptions>(CAST);
const QUANTIZE_OPTIONS = namesOf<QuantizeTensorOptions>({ ...CAST, scaling: true });
const CODES_OPTIONS = namesOf<CodesOptions>({ dtype: true, scales: true, block: true });
const MATMUL_OPTIONS = namesOf<ProductOptions>({ transposeA: true, transposeB: true, out: true });
const INIT_OPTIONS = namesOf<InitOptions>({ threads: true, build: true, turbo: true, wasm: true });

/**
 * Kernels, threads and memory in one; docs/library.md describes its use. `arena`, `kernels`, `parallel` and `scoped` are internal: they check
 * nothing and may change. Methods throw TypeError or RangeError for arguments of the wrong kind or value, and Error if the engine
 * was disposed or a tensor freed.
 */
export class Engine extends Runtime {
  static async create(options: InitOptions = {}): Promise<Engine> {
    checkOptions(options, INIT_OPTIONS);
    if (!options.turbo) return new Engine(...(await Runtime.open(options)));
    if (options.build === 'simd') throw new RangeError("turbo: expected build 'auto' or 'relaxed', got 'simd'");
    if (options.wasm !== undefined) throw new RangeError('turbo: expected the packaged kernels, got others as wasm');
    const refusal = await prepareTurbo();
    if (refusal) return Engine.withoutTurbo(options, refusal);
    let engine: Engine;
    try {
      engine = new Engine(...(await Runtime.open({ ...options, build: 'relaxed' }, true)));
    } catch (error) {
      return Engine.withoutTurbo(options, error instanceof Error ? error.message : String(error));
    }
    let difference: string | undefined = 'the comparison, which failed';
    try {
      const strict = new Engine(...(await Runtime.open({ build: 'simd', threads: 1 })));
      try {
        difference = firstDifference(results(strict), results(engine));
      } finally {
        strict.dispose();
      }
    } finally {
      if (difference) engine.dispose();
    }
    if (!difference) return engine;
    return Engine.withoutTurbo(options, `expected the bits of the strict build, got others in ${difference}`);
  }

  private static async withoutTurbo(options: InitOptions, turboRefusal: string): Promise<Engine> {
    const [info, ...rest] = await Runtime.open(options);
    return new Engine({ ...info, turboRefusal }, ...rest);
  }

  /** Creates a resident tensor of any dtype, without a scale. */
  tensor(values: ArrayLike<number>, shape: readonly number[], dtype: string): Tensor {
    checkLength(values, shape);
    const type = dtypeOf(dtype);
    if (type === 'float32') return this.upload(values, shape);
    return this.fromFloats(values, shape, { dtype: type, scale: 1 });
  }

  /**
   * Creates a tensor from codes, as from a safetensors file, with their scales: values are code * scale, and the codes stay as they are.
   *
   * @throws TypeError or RangeError for codes of another type than the format's (Uint8Array, Uint16Array or Float32Array), a number of codes or
   *   scales that does not fit the shape, and scales that are not positive float32 numbers or, for blocks, powers of two.
   */
  fromCodes(codes: Codes, shape: readonly number[], options: CodesOptions): Tensor {
    this.checkOpen();
    checkOptions(options, CODES_OPTIONS);
    const dtype = dtypeOf(options.dtype);
    return tensorOfCodes(this, codeBytes(codes, dtype), shape, dtype, options);
  }

  /**
   * Quantizes values, read as float32, in C order of `shape`. Scales are powers of two, chosen so that the largest value they apply to is near
   * the format's maximum; bfloat16 and float32 have none. A row is one index of all dimensions but the last.
   *
   * @throws RangeError also for 'mx' with rows that are no multiple of 32, blocks of a format of other than 8 bits, and stochastic rounding
   *   by row with rows that are no multiple of 4.
   */
  quantize(values: ArrayLike<number>, shape: readonly number[], options: QuantizeTensorOptions): Tensor {
    checkLength(values, shape);
    checkOptions(options, QUANTIZE_OPTIONS);
    const { scaling = 'tensor' } = options;
    if (isBlockScaling(scaling)) {
      const { dtype, rounding, saturate } = cast(options);
      if (rounding !== 'tiesToEven') {
        throw new RangeError(`rounding: expected 'tiesToEven' for blocks, got ${JSON.stringify(rounding)}`);
      }
      if (saturate === false) throw new RangeError('saturate: expected true for blocks, got false');
      return this.scope(() => quantizeValues(this, values, shape, dtype, scaling));
    }
    if (scaling !== 'tensor' && scaling !== 'row') {
      throw new RangeError(
        `scaling: expected 'tensor', 'row', 'mx' or { block: [rows, columns] }, got ${JSON.stringify(scaling)}`,
      );
    }
    const given = cast(options);
    // These have the exponent range of float32; a scale that used all of it would leave none for products.
    const wide = given.dtype === 'bfloat16' || given.dtype === 'float32';
    return this.fromFloats(values, shape, { ...given, scale: wide ? 1 : scaling === 'row' ? 'row' : undefined });
  }

  /** Creates a tensor with uninitialised memory. */
  empty(shape: readonly number[], dtype: string): Tensor {
    this.checkOpen();
    return empty(this, shape, dtypeOf(dtype));
  }

  /**
   * Returns a copy of an FP8 or BF16 weight (N, K) with one scale, laid out for products with one row (FP8 also a few): `matmul(x, prepacked,
   * { transposeB: true })` gives the same bits sooner. It cannot be used for anything else.
   */
  prepack(w: Tensor): Tensor {
    this.checkTensor('w', w);
    checkPlain('prepack', w);
    return prepack(this, w);
  }

  /**
   * Returns C = A B, shape (M, N), with float32 sums over ascending k. A is stored (M, K), or (K, M) with `transposeA`; B (K, N), or (N, K) with
   * `transposeB`; leading dimensions are taken together as rows. C is a new float32 tensor unless `out` is given.
   *
   * @throws RangeError for sizes that do not fit, formats that are not multiplied, `out` in the memory of an operand, and scales per row that run
   *   along the summed dimension: those of A need `transposeA` false, those of B `transposeB` true.
   */
  matmul(a: Tensor, b: Tensor, options: ProductOptions = {}): Tensor {
    checkOptions(options, MATMUL_OPTIONS);
    const { transposeA, transposeB, out } = options;
    this.checkTensor('a', a);
    this.checkTensor('b', b);
    if (out !== undefined) this.checkTensor('out', out);
    const [aRows, aColumns] = matrixShape(a);
    const [bRows, bColumns] = matrixShape(b);
    const result = out ?? empty(this, [transposeA ? aColumns : aRows, transposeB ? bRows : bColumns], 'float32');
    try {
      matmul(this, a, b, { transposeA, transposeB, out: result });
    } catch (error) {
      if (!out) this.free(result);
      throw error;
    }
    return result;
  }

  /** Returns a float32 copy of the values. */
  read(t: Tensor): Float32Array<ArrayBuffer> {
    this.checkTensor('read', t);
    checkPlain('read', t);
    return t.dtype === 'float32' && t.scaleInv === 1 ? floats(this, t).slice() : read(this, t);
  }

  /** Returns a copy of the codes: Uint8Array, Uint16Array or Float32Array, depending on the format's width. */
  codes(t: Tensor): Codes {
    this.checkTensor('codes', t);
    checkPlain('codes', t);
    const copy = bytes(this, t).slice().buffer;
    return codesArray(t.dtype, copy);
  }

  /** Returns a copy of the factors from codes to values: one, one for each row, or one for each block in row-major order. */
  scales(t: Tensor): Float32Array<ArrayBuffer> {
    this.checkTensor('scales', t);
    checkPlain('scales', t);
    return scalesOf(this, t);
  }

  /** Encodes values, read as float32, on all threads. Bit-identical to `encode` of octavo/formats for float32 input. */
  encode(values: ArrayLike<number>, options: CastOptions): Codes {
    checkValues(values);
    checkOptions(options, CAST_OPTIONS);
    if (values.length === 0) return codesArray(dtypeOf(options.dtype), new ArrayBuffer(0));
    return this.scoped(() => {
      const source = this.upload(values, [values.length]);
      return this.codes(quantize(this, source, { ...cast(options), scale: 1, measured: false }).codes);
    });
  }

  /** Decodes codes to float32 values, exactly. */
  decode(codes: Codes, dtype: string): Float32Array {
    const type = dtypeOf(dtype);
    const content = codeBytes(codes, type);
    if (codes.length === 0) return new Float32Array(0);
    return this.scoped(() => read(this, tensorOfCodes(this, content, [codes.length], type, {})));
  }

  /** Frees a tensor; using it afterwards throws. */
  free(t: Tensor): void {
    if (!isTensor(t)) throw new TypeError(`free: expected a tensor, got ${describe(t)}`);
    this.checkLive('free', t, 0);
    freeTensor(this, t);
  }

  /**
   * Calls `f`, which must be synchronous, and frees every tensor created inside, except one that it returns, and what a generation begun inside
   * holds until it ends.
   */
  scope<T>(f: () => T): T {
    if (typeof f !== 'function') throw new TypeError(`scope: expected a function, got ${describe(f)}`);
    const result = this.scoped(f, (made) => (isTensor(made) ? addressesOf(made) : []));
    if (result instanceof Promise) {
      throw new TypeError('scope: expected a function that is done when it returns, got a promise');
    }
    return result;
  }

  private fromFloats(values: ArrayLike<number>, shape: readonly number[], options: QuantizeOptions): Tensor {
    return this.scope(() => quantize(this, this.upload(values, shape), options).codes);
  }

  /** Throws unless the tensor's memory is still live: otherwise another tensor would silently be read or overwritten. */
  private checkTensor(name: string, t: Tensor): void {
    if (!isTensor(t)) throw new TypeError(`${name}: expected a tensor, got ${describe(t)}`);
    this.checkOpen();
    checkShape(t.shape);
    this.checkLive(name, t, bytesOf(t));
    if (!hasItsScales(this, t)) {
      throw new RangeError(`${name}: expected the scales of a tensor of shape [${t.shape}], got those of another`);
    }
  }

  private checkLive(name: string, { ptr, block }: Tensor, size: number): void {
    if (!this.arena.holds(ptr, block, size)) {
      throw new Error(`${name}: expected a live tensor of this engine, got one that was freed or is another's`);
    }
  }

  private upload(values: ArrayLike<number>, shape: readonly number[]): Tensor {
    this.checkOpen();
    const t = empty(this, shape, 'float32');
    floats(this, t).set(values);
    return t;
  }
}

const isTensor = (x: unknown): x is Tensor => typeof x === 'object' && x !== null && 'ptr' in x && 'dtype' in x;
const addressesOf = (t: Tensor) => (scalesAt(t) ? [t.ptr, scalesAt(t)] : [t.ptr]);

const isBlockScaling = (scaling: unknown): scaling is BlockScaling =>
  scaling === 'mx' ||
  (typeof scaling === 'object' && scaling !== null && Array.isArray((scaling as { block?: unknown }).block));

function checkLength(values: ArrayLike<number>, shape: readonly number[]): void {
  checkValues(values);
  checkShape(shape);
  if (values.length !== sizeOf(shape)) {
    throw new RangeError(`values: expected ${sizeOf(shape)} numbers for shape [${shape}], got ${values.length}`);
  }
}

function checkValues(values: ArrayLike<number>): void {
  checkArray('values', values);
  if (ArrayBuffer.isView(values) && typeof values[0] !== 'bigint') return;
  for (let i = 0; i < values.length; i++) {
    if (typeof values[i] !== 'number') {
      throw new TypeError(`values[${i}]: expected a number, got ${describe(values[i])}`);
    }
  }
}

function checkPlain(name: string, t: Tensor): void {
  if (t.prepacked) throw new RangeError(`${name}: expected a tensor, got a prepacked weight`);
}

function codesArray(dtype: DType, buffer: ArrayBuffer): Codes {
  const { bytes } = formatSpec(dtype);
  return bytes === 1 ? new Uint8Array(buffer) : bytes === 2 ? new Uint16Array(buffer) : new Float32Array(buffer);
}

function cast({ dtype, rounding = 'tiesToEven', saturate, seed }: CastOptions) {
  if (rounding === 'stochastic' && !(Number.isSafeInteger(seed) && seed! >= 0)) {
    throw new TypeError(`seed: expected a non-negative safe integer for 'stochastic' rounding, got ${seed}`);
  }
  if (saturate !== undefined) checkSaturate(saturate);
  return { dtype: dtypeOf(dtype), rounding, saturate, random: { seed: seed ?? 0, stream: 0, step: 0 } };
}
