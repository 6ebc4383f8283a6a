/** The recipes whose cost docs/recipes.md lists: the named ones, and one for each costly field that none of them uses. */
import { RECIPES } from '../dist/ops/recipe.js';

const { fp8, bf16, f32 } = RECIPES;
const E4M3_MOMENTS = { firstMoment: 'float8_e4m3fn', secondMoment: 'float8_e4m3fn' };

export const COSTED = [
  ...Object.values(RECIPES),
  { ...fp8, name: 'fp8, scales by row', scaling: { mode: 'row' } },
  { ...fp8, name: 'fp8, smoothed per channel', swiglu: 'smooth-channel' },
  { ...fp8, name: 'fp8, outliers clipped', outlierClip: 0.001 },
  { ...f32, name: 'f32, E4M3 moments in blocks of 256', ...E4M3_MOMENTS, momentScaling: 'block-256' },
  { ...f32, name: 'f32, E4M3 moments in expanded groups of 128', ...E4M3_MOMENTS, momentScaling: 'group-128-expanded' },
  {
    ...bf16,
    name: 'bf16, all operands reduced to E8M3',
    reduce: {
      format: 'E8M3',
      rounding: 'towardZero',
      roles: ['forward.input', 'forward.weight', 'backward.input', 'backward.weight', 'backward.gradOutput'],
    },
  },
];
