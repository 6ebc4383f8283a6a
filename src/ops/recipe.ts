/** Which format and which scale each tensor role has: a record, so that another recipe is other data and not other code. */
import { type DType, formatSpec } from '../formats/index.js';

/** How the input of the last linear of a feed-forward block is smoothed; see assembly/swiglu.ts. */
export type SwigluMode = 'plain' | 'smooth-token' | 'smooth-channel';

export interface Recipe {
  readonly name: string;
  /** Format of activations and their gradients between operations, of attention, norms, embedding and head. */
  readonly storage: 'bfloat16' | 'float32';
  /** Operands of Y = X W^T. */
  readonly forward: { readonly input: DType; readonly weight: DType };
  /** Operands of dX = dY W and dW = dY^T X: second copies where the formats differ from the forward ones. */
  readonly backward: { readonly input: DType; readonly weight: DType; readonly gradOutput: DType };
  readonly gradOutputRounding: 'tiesToEven' | 'stochastic';
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
  swiglu: 'plain',
  masterWeight: 'float32',
  firstMoment: 'float32',
  secondMoment: 'float32',
  stateRounding: 'tiesToEven',
});

/** The named recipes. `fp8`: "Scaling FP8 training to trillion-token LLMs" (Fishman et al., ICLR 2025), with the authors' formats. */
export const RECIPES: Readonly<Record<string, Recipe>> = frozen({
  fp8,
  'fp8-plain': { ...fp8, name: 'fp8-plain', swiglu: 'plain' },
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

/** The choices of each field, under the names of its record. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  storage: ['bfloat16', 'float32'],
  'forward.input': OPERANDS,
  'forward.weight': OPERANDS,
  'backward.input': OPERANDS,
  'backward.weight': OPERANDS,
  'backward.gradOutput': OPERANDS,
  gradOutputRounding: ROUNDINGS,
  swiglu: ['plain', 'smooth-token', 'smooth-channel'],
  masterWeight: OPERANDS,
  firstMoment: OPERANDS,
  secondMoment: OPERANDS,
  stateRounding: ROUNDINGS,
};

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
  const unknown = [...flat.keys()].find((name) => name !== 'name' && !Object.hasOwn(FIELDS, name));
  if (unknown) throw new TypeError(`recipe.${unknown}: expected a field of ${Object.keys(FIELDS).join(', ')}`);
  for (const [name, choices] of Object.entries(FIELDS)) {
    const value = flat.get(name);
    if (choices.some((choice) => choice === value)) continue;
    const got = value === undefined ? 'nothing' : JSON.stringify(value);
    throw new RangeError(`recipe.${name}: expected one of ${choices.join(', ')}, got ${got}`);
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
/** Whether the linears run in FP8, and so need scales. */
export const usesFloat8 = (recipe: Recipe): boolean => isFloat8(recipe.forward.input);
