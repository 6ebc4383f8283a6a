/** Which format and which scale each tensor role has: a record, so that another recipe is other data and not other code. docs/recipes.md says what each field is for. */
import { type DType, formatSpec } from '../formats/index.js';

/** How the input of the last linear of a feed-forward block is smoothed; see assembly/swiglu.ts. */
export type SwigluMode = 'plain' | 'smooth-token' | 'smooth-channel';

/** Where the scales of operands of 8 bits come from. All are powers of two. */
export type Scaling =
  /** There are no such operands. */
  | { readonly mode: 'none' }
  /** One for a tensor, from the largest magnitudes it had in earlier steps. */
  | {
      readonly mode: 'delayed';
      /** Steps (global batches) remembered. */
      readonly history: number;
      /** The largest of them, or the last. */
      readonly algorithm: 'max' | 'most_recent';
      /** Binades of headroom: the scale is divided by 2^margin. */
      readonly margin: number;
      /** Steps from one new scale to the next. */
      readonly interval: number;
    }
  /** One for a tensor, from its own values, found before they are encoded. */
  | { readonly mode: 'current' }
  /** One for each row of each product, from its own values: for each row of Y, dX and dW on the left, for each of their columns on the right. */
  | { readonly mode: 'row' }
  /** One for 128 numbers along the sum, for 128 x 128 of a weight. */
  | { readonly mode: 'block' }
  /** One for 32 numbers along the sum (MXFP8). */
  | {
      readonly mode: 'mx';
      /** Rounded up, so that nothing saturates, or as OCP's specification has it; see formats/blocks.ts. */
      readonly scale: 'rceil' | 'floor';
    };

/** Numbers to a scale of 'mx'. */
export const MX_BLOCK = 32;

export interface Recipe {
  readonly name: string;
  /** Format of activations and their gradients between operations, of attention, norms, embedding and head. */
  readonly storage: 'bfloat16' | 'float32';
  /** Operands of Y = X W^T. */
  readonly forward: { readonly input: DType; readonly weight: DType };
  /** Operands of dX = dY W and dW = dY^T X: second copies where formats or scales differ from the forward ones. */
  readonly backward: { readonly input: DType; readonly weight: DType; readonly gradOutput: DType };
  readonly gradOutputRounding: 'tiesToEven' | 'stochastic';
  readonly scaling: Scaling;
  readonly swiglu: SwigluMode;
  /** Stored optimizer state of matrices. Norm gains keep float32. Formats narrower than float32 have one scale per tensor. */
  readonly masterWeight: DType;
  readonly firstMoment: DType;
  readonly secondMoment: DType;
  /** How new optimizer state is rounded to these formats. */
  readonly stateRounding: 'tiesToEven' | 'stochastic';
}

const fp8: Recipe = {
  name: 'fp8',
  storage: 'bfloat16',
  forward: { input: 'float8_e4m3fn', weight: 'float8_e4m3fn' },
  backward: { input: 'float8_e5m2', weight: 'float8_e5m2', gradOutput: 'float8_e5m2' },
  gradOutputRounding: 'stochastic',
  scaling: { mode: 'delayed', history: 1, algorithm: 'max', margin: 0, interval: 1 },
  swiglu: 'smooth-token',
  masterWeight: 'float16',
  firstMoment: 'float8_e4m3fn',
  secondMoment: 'float8_e5m2',
  stateRounding: 'stochastic',
};

const uniform = (name: string, dtype: 'bfloat16' | 'float32'): Recipe => ({
  name,
  storage: dtype,
  forward: { input: dtype, weight: dtype },
  backward: { input: dtype, weight: dtype, gradOutput: dtype },
  gradOutputRounding: 'tiesToEven',
  scaling: { mode: 'none' },
  swiglu: 'plain',
  masterWeight: 'float32',
  firstMoment: 'float32',
  secondMoment: 'float32',
  stateRounding: 'tiesToEven',
});

/** E4M3 everywhere, with scales that are local enough to need neither E5M2 nor smoothing. */
const local = (name: string, scaling: Scaling, moments: DType): Recipe => ({
  ...uniform(name, 'bfloat16'),
  forward: { input: 'float8_e4m3fn', weight: 'float8_e4m3fn' },
  backward: { input: 'float8_e4m3fn', weight: 'float8_e4m3fn', gradOutput: 'float8_e4m3fn' },
  scaling,
  firstMoment: moments,
  secondMoment: moments,
});

/**
 * The named recipes. `fp8`: "Scaling FP8 training to trillion-token LLMs" (Fishman et al., ICLR 2025), with the authors' formats. `fp8-block`:
 * DeepSeek-V3 (arXiv 2412.19437, section 3.3), its moments in BF16 too. `mxfp8`: "Recipes for pre-training LLMs with MXFP8" (arXiv 2506.08027).
 */
export const RECIPES: Readonly<Record<string, Recipe>> = frozen({
  fp8,
  'fp8-plain': { ...fp8, name: 'fp8-plain', swiglu: 'plain' },
  'fp8-current': { ...fp8, name: 'fp8-current', scaling: { mode: 'current' } },
  'fp8-block': local('fp8-block', { mode: 'block' }, 'bfloat16'),
  mxfp8: local('mxfp8', { mode: 'mx', scale: 'rceil' }, 'float32'),
  bf16: uniform('bf16', 'bfloat16'),
  f32: uniform('f32', 'float32'),
});

/** A copy of a record that nobody can change, records in it included. */
export function frozen<T extends object>(record: T): T {
  const entries = Object.entries(record).map(([key, value]) => [
    key,
    typeof value === 'object' && value !== null ? frozen(value) : value,
  ]);
  return Object.freeze(Object.fromEntries(entries));
}

/** What products take, and what is stored between steps. */
const OPERANDS: readonly DType[] = ['float8_e4m3fn', 'float8_e5m2', 'float8_e4m3', 'bfloat16', 'float16', 'float32'];
const ROUNDINGS = ['tiesToEven', 'stochastic'];

interface IntegerRange {
  readonly min: number;
  readonly max: number;
}
type Fields = Readonly<Record<string, readonly string[] | IntegerRange>>;

/** What a way of scaling asks for beside its name. */
const SCALINGS: Readonly<Record<Scaling['mode'], Fields>> = {
  none: {},
  delayed: {
    // Transformer Engine remembers 1024; a step of ours is a whole global batch.
    'scaling.history': { min: 1, max: 1024 },
    'scaling.algorithm': ['max', 'most_recent'],
    'scaling.margin': { min: 0, max: 16 },
    'scaling.interval': { min: 1, max: 1024 },
  },
  current: {},
  row: {},
  block: {},
  mx: { 'scaling.scale': ['rceil', 'floor'] },
};
const OPERAND_FIELDS: Fields = {
  'forward.input': OPERANDS,
  'forward.weight': OPERANDS,
  'backward.input': OPERANDS,
  'backward.weight': OPERANDS,
  'backward.gradOutput': OPERANDS,
};

/** What each field may be, under the names of its record. */
const fieldsOf = (mode: unknown): Fields => ({
  storage: ['bfloat16', 'float32'],
  ...OPERAND_FIELDS,
  gradOutputRounding: ROUNDINGS,
  'scaling.mode': Object.keys(SCALINGS),
  ...(Object.hasOwn(SCALINGS, mode as string) ? SCALINGS[mode as Scaling['mode']] : {}),
  swiglu: ['plain', 'smooth-token', 'smooth-channel'],
  masterWeight: OPERANDS,
  firstMoment: OPERANDS,
  secondMoment: OPERANDS,
  stateRounding: ROUNDINGS,
});

function refuse(field: string, expected: string, value: unknown): never {
  const got = value === undefined ? 'nothing' : JSON.stringify(value);
  throw new RangeError(`recipe.${field}: expected ${expected}, got ${got}`);
}

/** Every field there is, and no other; each refusal names the field and its choices. */
function checkRecipe(recipe: Recipe): void {
  if (typeof recipe !== 'object' || recipe === null) {
    throw new TypeError(`recipe: expected a name or a record, got ${String(recipe)}`);
  }
  const flat = new Map<string, unknown>();
  for (const [name, value] of Object.entries(recipe)) {
    const inner = typeof value === 'object' && value !== null ? Object.entries(value) : undefined;
    for (const [key, each] of inner ?? [['', value]]) flat.set(key ? `${name}.${key}` : name, each);
  }
  if (typeof recipe.name !== 'string') throw new TypeError(`recipe.name: expected a string, got ${typeof recipe.name}`);
  const fields = fieldsOf(flat.get('scaling.mode'));
  const unknown = [...flat.keys()].find((name) => name !== 'name' && !Object.hasOwn(fields, name));
  if (unknown) throw new TypeError(`recipe.${unknown}: expected a field of ${Object.keys(fields).join(', ')}`);
  for (const [name, choices] of Object.entries(fields)) {
    const value = flat.get(name);
    if ('min' in choices) {
      if (Number.isInteger(value) && (value as number) >= choices.min && (value as number) <= choices.max) continue;
      refuse(name, `an integer from ${choices.min} to ${choices.max}`, value);
    }
    if (!choices.some((choice) => choice === value)) refuse(name, `one of ${choices.join(', ')}`, value);
  }
  checkTogether(recipe);
}

/** Fields that are well each by itself and not together. */
function checkTogether(recipe: Recipe): void {
  const { mode } = recipe.scaling;
  const ways = Object.keys(SCALINGS).filter((way) => way !== 'none');
  if (mode === 'none' && usesFloat8(recipe)) {
    refuse('scaling.mode', `one of ${ways.join(', ')} for operands of 8 bits`, mode);
  }
}

/** The recipe of this name, or the record itself, checked. */
export function recipeOf(recipe: string | Recipe): Recipe {
  if (typeof recipe !== 'string') {
    checkRecipe(recipe);
    return recipe;
  }
  if (!Object.hasOwn(RECIPES, recipe)) {
    throw new RangeError(`recipe: expected one of ${Object.keys(RECIPES).join(', ')}, got ${JSON.stringify(recipe)}`);
  }
  return RECIPES[recipe];
}

export const isFloat8 = (dtype: DType): boolean => formatSpec(dtype).bits === 8;
/** Whether operands of the linears are FP8, and so need scales. */
export const usesFloat8 = ({ forward, backward }: Recipe): boolean =>
  [...Object.values(forward), ...Object.values(backward)].some(isFloat8);
