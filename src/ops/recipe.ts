/**
 * The format and scale of each tensor role, as a record, so that another recipe is different data rather than different code. docs/recipes.md
 * explains each field.
 */
import { type DType, formatSpec } from '../formats/index.js';
import { type MomentScaling, scaled } from './adamw.js';
import { OPERANDS } from './matmul.js';

/** How the input of the last linear of a feed-forward block is smoothed; see assembly/swiglu.ts. */
export type SwigluMode = 'plain' | 'smooth-token' | 'smooth-channel';

/** Where the scales of 8-bit operands come from. All scales are powers of two. */
export type Scaling =
  /** There are no 8-bit operands. */
  | { readonly mode: 'none' }
  /** One per tensor, from the largest magnitudes it had in earlier steps. */
  | {
      readonly mode: 'delayed';
      /** Number of steps (global batches) remembered. */
      readonly history: number;
      /** Whether the scale follows the largest remembered value or the last. */
      readonly algorithm: 'max' | 'most_recent';
      /** Binades of headroom: the scale is divided by 2^margin. */
      readonly margin: number;
      /** Steps between updates of the scale. */
      readonly interval: number;
    }
  /** One per tensor, from its own values, found before they are encoded. */
  | { readonly mode: 'current' }
  /** One per row or column of each product, from its own values: per row of Y, dX and dW for the left operand, per column for the right operand. */
  | { readonly mode: 'row' }
  /** One per 128 numbers along the sum, or per 128 x 128 block of a weight. */
  | { readonly mode: 'block' }
  /** One per 32 numbers along the sum (MXFP8). */
  | {
      readonly mode: 'mx';
      /** Rounded up, so that nothing saturates, or as in OCP's specification; see formats/blocks.ts. */
      readonly scale: 'rceil' | 'floor';
    };

/** Numbers per scale in mode 'mx'. */
export const MX_BLOCK = 32;

/** The operands of a linear's three products, by their field names. */
export const ROLES = [
  'forward.input',
  'forward.weight',
  'backward.input',
  'backward.weight',
  'backward.gradOutput',
] as const;
export type OperandRole = (typeof ROLES)[number];

/** Reduced precision of operands with 16 or 32 bits ("To FP8 and Back Again", arXiv 2405.18710). */
export interface Reduction {
  /** Such as 'E8M3': bits of exponent (2 to 8) and of mantissa, interpreted as in IEEE 754. */
  readonly format: string;
  readonly rounding: 'towardZero' | 'tiesToEven';
  readonly roles: readonly OperandRole[];
}

/** A recipe; {@link recipeOf} checks it. */
export interface Recipe {
  readonly name: string;
  /** Format of activations and their gradients between operations, and of attention, norms, embedding and head. */
  readonly storage: 'bfloat16' | 'float32';
  /** Operands of Y = X W^T. */
  readonly forward: { readonly input: DType; readonly weight: DType };
  /** Operands of dX = dY W and dW = dY^T X: second copies where formats or scales differ from the forward ones. */
  readonly backward: { readonly input: DType; readonly weight: DType; readonly gradOutput: DType };
  readonly gradOutputRounding: 'tiesToEven' | 'stochastic';
  readonly scaling: Scaling;
  /**
   * 'adaptive': the scale of dY follows FP8-LM's rule instead of `scaling`: it is halved when numbers saturate and otherwise doubles over 1000
   * steps.
   */
  readonly gradOutputScale: 'scaling' | 'adaptive';
  /** Share of the numbers of an input or gradient that is clipped before the cast to 8 bits, 0 to 0.5. */
  readonly outlierClip: number;
  readonly swiglu: SwigluMode;
  /** Format that parameter gradients are rounded to after each micro-batch; sums are computed and kept in float32. */
  readonly gradient: 'float32' | 'bfloat16';
  /**
   * Formats of the stored optimizer state of matrices. Norm gains keep float32. float16 and one-byte formats have one scale per
   * tensor, unless `momentScaling` says otherwise.
   */
  readonly masterWeight: DType;
  readonly firstMoment: DType;
  readonly secondMoment: DType;
  /** Scaling of moments in float16 and one-byte formats. */
  readonly momentScaling: MomentScaling;
  /** Rounding of new moments, and of new master weights, to these formats. */
  readonly momentRounding: 'tiesToEven' | 'stochastic';
  readonly masterRounding: 'tiesToEven' | 'stochastic';
  readonly reduce?: Reduction;
}

const fp8: Recipe = {
  name: 'fp8',
  storage: 'bfloat16',
  forward: { input: 'float8_e4m3fn', weight: 'float8_e4m3fn' },
  backward: { input: 'float8_e5m2', weight: 'float8_e5m2', gradOutput: 'float8_e5m2' },
  gradOutputRounding: 'stochastic',
  scaling: { mode: 'delayed', history: 1, algorithm: 'max', margin: 0, interval: 1 },
  gradOutputScale: 'scaling',
  outlierClip: 0,
  swiglu: 'smooth-token',
  gradient: 'float32',
  masterWeight: 'float16',
  firstMoment: 'float8_e4m3fn',
  secondMoment: 'float8_e5m2',
  momentScaling: 'tensor',
  momentRounding: 'tiesToEven',
  masterRounding: 'stochastic',
};

const uniform = (name: string, dtype: 'bfloat16' | 'float32'): Recipe => ({
  name,
  storage: dtype,
  forward: { input: dtype, weight: dtype },
  backward: { input: dtype, weight: dtype, gradOutput: dtype },
  gradOutputRounding: 'tiesToEven',
  scaling: { mode: 'none' },
  gradOutputScale: 'scaling',
  outlierClip: 0,
  swiglu: 'plain',
  gradient: 'float32',
  masterWeight: 'float32',
  firstMoment: 'float32',
  secondMoment: 'float32',
  momentScaling: 'tensor',
  momentRounding: 'tiesToEven',
  masterRounding: 'tiesToEven',
});

/** E4M3 everywhere, with scales local enough that neither E5M2 nor smoothing is needed. */
const local = (name: string, scaling: Scaling, moments: DType): Recipe => ({
  ...uniform(name, 'bfloat16'),
  forward: { input: 'float8_e4m3fn', weight: 'float8_e4m3fn' },
  backward: { input: 'float8_e4m3fn', weight: 'float8_e4m3fn', gradOutput: 'float8_e4m3fn' },
  scaling,
  firstMoment: moments,
  secondMoment: moments,
});

const named = {
  fp8,
  'fp8-plain': { ...fp8, name: 'fp8-plain', swiglu: 'plain' },
  'fp8-current': { ...fp8, name: 'fp8-current', scaling: { mode: 'current' } },
  'fp8-block': local('fp8-block', { mode: 'block' }, 'bfloat16'),
  mxfp8: local('mxfp8', { mode: 'mx', scale: 'rceil' }, 'float32'),
  bf16: uniform('bf16', 'bfloat16'),
  'bf16-pure': {
    ...uniform('bf16-pure', 'bfloat16'),
    gradient: 'bfloat16',
    masterWeight: 'bfloat16',
    firstMoment: 'bfloat16',
    secondMoment: 'bfloat16',
  },
  f32: uniform('f32', 'float32'),
} satisfies Record<string, Recipe>;

export type RecipeName = keyof typeof named;

/**
 * The named recipes. `fp8`: "Scaling FP8 training to trillion-token LLMs" (Fishman et al., ICLR 2025), with the authors' formats. `fp8-block`:
 * DeepSeek-V3 (arXiv 2412.19437, section 3.3), with moments in BF16 as well. `bf16-pure`: as torch's bf16-true (arXiv 2408.15793). `mxfp8`:
 * "Recipes for pre-training LLMs with MXFP8" (arXiv 2506.08027).
 */
export const RECIPES: Readonly<Record<RecipeName, Recipe>> = frozen(named);

/** A one-phrase description of each recipe, for the web page and docs/recipes.md. */
export const ABOUT_RECIPES: Readonly<Record<RecipeName, string>> = {
  fp8: 'products and optimizer state in 8 bits: E4M3 forward, E5M2 backward, delayed scales, Smooth-SwiGLU (FP8-2T)',
  'fp8-plain': 'fp8 without smoothing: the recipe that the paper saw diverge in long runs',
  'fp8-current': "fp8 with scales from the tensor's own values, not from those of earlier steps",
  'fp8-block': 'E4M3 everywhere, a scale for 1 x 128 numbers or 128 x 128 weights, moments in BF16 (DeepSeek-V3)',
  mxfp8: 'E4M3 everywhere, a scale for 32 numbers along every sum, rounded up; sizes are multiples of 32 (MXFP8)',
  bf16: 'the usual mixed precision: products in BF16, optimizer state in float32',
  'bf16-pure': "weights, gradients and both moments in BF16, to nearest: torch's bf16-true",
  f32: 'float32 throughout: the reference',
};

/** A deeply frozen copy of a record. */
export function frozen<T extends object>(record: T): T {
  if (Array.isArray(record)) return Object.freeze([...record]) as unknown as T;
  const entries = Object.entries(record).map(([key, value]) => [
    key,
    typeof value === 'object' && value !== null ? frozen(value) : value,
  ]);
  return Object.freeze(Object.fromEntries(entries));
}

const MOMENT_SCALINGS: readonly MomentScaling[] = ['tensor', 'power-of-two', 'block-256', 'group-128-expanded'];
const ROUNDINGS = ['tiesToEven', 'stochastic'];

interface Range {
  readonly min: number;
  readonly max: number;
  readonly integer?: boolean;
}
type Fields = Readonly<Record<string, readonly string[] | Range>>;

/** The fields of each scaling mode besides its name. */
const SCALINGS: Readonly<Record<Scaling['mode'], Fields>> = {
  none: {},
  delayed: {
    // Transformer Engine remembers 1024; one of our steps is a whole global batch.
    'scaling.history': { integer: true, min: 1, max: 1024 },
    'scaling.algorithm': ['max', 'most_recent'],
    'scaling.margin': { integer: true, min: 0, max: 16 },
    'scaling.interval': { integer: true, min: 1, max: 1024 },
  },
  current: {},
  row: {},
  block: {},
  mx: { 'scaling.scale': ['rceil', 'floor'] },
};
const OPERAND_FIELDS: Fields = Object.fromEntries(ROLES.map((role) => [role, OPERANDS]));

/** The permitted values of each field, under its name in the record. */
const fieldsOf = (mode: unknown): Fields => ({
  storage: ['bfloat16', 'float32'],
  ...OPERAND_FIELDS,
  gradOutputRounding: ROUNDINGS,
  'scaling.mode': Object.keys(SCALINGS),
  ...(Object.hasOwn(SCALINGS, mode as string) ? SCALINGS[mode as Scaling['mode']] : {}),
  gradOutputScale: ['scaling', 'adaptive'],
  outlierClip: { min: 0, max: 0.5 },
  swiglu: ['plain', 'smooth-token', 'smooth-channel'],
  gradient: ['float32', 'bfloat16'],
  masterWeight: OPERANDS,
  firstMoment: OPERANDS,
  secondMoment: OPERANDS,
  momentScaling: MOMENT_SCALINGS,
  momentRounding: ROUNDINGS,
  masterRounding: ROUNDINGS,
});

function refuse(field: string, expected: string, value: unknown): never {
  throw new RangeError(`recipe.${field}: expected ${expected}, got ${show(value)}`);
}

const show = (value: unknown): string =>
  typeof value === 'number'
    ? String(value)
    : (JSON.stringify(value) ?? (value === undefined ? 'nothing' : typeof value));

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws unless the recipe has every field, and no other, with a permitted value. Errors name the field and its choices. */
function checkRecipe(recipe: Recipe): void {
  if (!isRecord(recipe)) throw new TypeError(`recipe: expected a name or a record, got ${show(recipe)}`);
  if (typeof recipe.name !== 'string') throw new TypeError(`recipe.name: expected a string, got ${show(recipe.name)}`);
  const { scaling } = recipe as { scaling: unknown };
  const fields = fieldsOf(isRecord(scaling) ? scaling.mode : undefined);
  const flat = flattened(recipe, Object.keys(fields));
  for (const [name, choices] of Object.entries(fields)) {
    const value = flat.get(name);
    if ('min' in choices) {
      const { integer, min, max } = choices;
      const inside = typeof value === 'number' && value >= min && value <= max;
      if (inside && !(integer && !Number.isInteger(value))) continue;
      refuse(name, `${integer ? 'an integer' : 'a number'} from ${min} to ${max}`, value);
    }
    if (!choices.some((choice) => choice === value)) refuse(name, `one of ${choices.join(', ')}`, value);
  }
  checkTogether(recipe);
}

/** The values of a recipe's fields by path. Refuses fields that are not in `paths`, and non-records where a record is expected. */
function flattened(recipe: Readonly<Record<string, unknown>>, paths: readonly string[]): Map<string, unknown> {
  const heads = [...new Set(paths.map((path) => path.split('.')[0]))];
  const innerOf = (head: string) =>
    paths.filter((path) => path.startsWith(`${head}.`)).map((path) => path.slice(head.length + 1));
  for (const name of Object.keys(recipe)) {
    if (name === 'name' || name === 'reduce' || heads.includes(name)) continue;
    throw new TypeError(`recipe.${name}: expected a field of name, ${heads.join(', ')}, reduce`);
  }
  const flat = new Map<string, unknown>();
  for (const head of heads) {
    const [value, inner] = [recipe[head], innerOf(head)];
    if (inner.length === 0) flat.set(head, value);
    else if (!isRecord(value)) {
      throw new TypeError(`recipe.${head}: expected a record of ${inner.join(', ')}, got ${show(value)}`);
    } else {
      for (const [key, each] of Object.entries(value)) {
        if (!inner.includes(key)) throw new TypeError(`recipe.${head}.${key}: expected a field of ${inner.join(', ')}`);
        flat.set(`${head}.${key}`, each);
      }
    }
  }
  return flat;
}

/** Checks fields that are valid individually but not in combination. */
function checkTogether(recipe: Recipe): void {
  const { mode } = recipe.scaling;
  const ways = Object.keys(SCALINGS).filter((way) => way !== 'none');
  if (mode === 'none' && usesFloat8(recipe)) {
    refuse('scaling.mode', `one of ${ways.join(', ')} for operands of 8 bits`, mode);
  }
  if (recipe.outlierClip > 0 && !usesFloat8(recipe)) {
    refuse('outlierClip', '0 for operands that are not cast to 8 bits', recipe.outlierClip);
  }
  if (recipe.gradOutputScale === 'adaptive' && !(mode === 'delayed' && isFloat8(recipe.backward.gradOutput))) {
    refuse(
      'gradOutputScale',
      'scaling where scales are not delayed or gradOutput has no 8 bits',
      recipe.gradOutputScale,
    );
  }
  const { firstMoment, secondMoment, momentScaling } = recipe;
  if (momentScaling !== 'tensor' && ![firstMoment, secondMoment].some(scaled)) {
    refuse(
      'momentScaling',
      `tensor for moments of ${firstMoment} and ${secondMoment}, which have no scales`,
      momentScaling,
    );
  }
  if (recipe.reduce !== undefined) checkReduction(recipe, recipe.reduce);
}

const REDUCTION = ['format', 'rounding', 'roles'];
const ROUNDINGS_OF_BITS = ['towardZero', 'tiesToEven'];

function checkReduction(recipe: Recipe, reduce: Reduction): void {
  if (typeof reduce !== 'object' || reduce === null) refuse('reduce', `a record of ${REDUCTION.join(', ')}`, reduce);
  const unknown = Object.keys(reduce).find((key) => !REDUCTION.includes(key));
  if (unknown) throw new TypeError(`recipe.reduce.${unknown}: expected a field of ${REDUCTION.join(', ')}`);
  const { format, rounding, roles } = reduce;
  if (!ROUNDINGS_OF_BITS.includes(rounding)) {
    refuse('reduce.rounding', `one of ${ROUNDINGS_OF_BITS.join(', ')}`, rounding);
  }
  const known = Array.isArray(roles) && roles.length > 0 && roles.every((role) => ROLES.includes(role));
  if (!known) refuse('reduce.roles', `some of ${ROLES.join(', ')}`, roles);
  const dtypes = roles.map((role) => operandOf(recipe, role));
  const narrow = roles.find((_, i) => dtypes[i] !== 'bfloat16' && dtypes[i] !== 'float32');
  if (narrow) refuse('reduce.roles', 'operands that are bfloat16 or float32', narrow);
  const most = dtypes.includes('bfloat16') ? 7 : 22;
  const bits = typeof format === 'string' ? reducedFormat(format) : undefined;
  if (!bits || bits.manBits > most) refuse('reduce.format', `one of E2M0 to E8M${most} for these operands`, format);
}

/** The format of an operand. */
export function operandOf({ forward, backward }: Recipe, role: OperandRole): DType {
  const [pass, name] = role.split('.');
  return (pass === 'forward' ? forward : backward)[name as keyof Recipe['forward']];
}

/** Parses a format such as 'E8M3'; undefined if it is not one. */
export function reducedFormat(name: string): { expBits: number; manBits: number } | undefined {
  const [, expBits, manBits] = /^E([2-8])M(\d|1\d|2[0-2])$/.exec(name) ?? [];
  return expBits ? { expBits: Number(expBits), manBits: Number(manBits) } : undefined;
}

/**
 * Returns the recipe of this name, or the record itself, checked.
 *
 * @throws TypeError or RangeError for an unknown name or an invalid record.
 */
export function recipeOf(recipe: string | Recipe): Recipe {
  if (typeof recipe !== 'string') {
    checkRecipe(recipe);
    return recipe;
  }
  if (!Object.hasOwn(RECIPES, recipe)) {
    throw new RangeError(`recipe: expected one of ${Object.keys(RECIPES).join(', ')}, got ${JSON.stringify(recipe)}`);
  }
  return RECIPES[recipe as RecipeName];
}

export const isFloat8 = (dtype: DType): boolean => formatSpec(dtype).bits === 8;
/** Whether any operand of the linears is FP8 and so needs a scale. */
export const usesFloat8 = ({ forward, backward }: Recipe): boolean =>
  [...Object.values(forward), ...Object.values(backward)].some(isFloat8);
