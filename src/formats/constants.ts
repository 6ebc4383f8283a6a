/**
 * The definition of each number format, as integers: the single source of truth for both languages.
 * Everything else (limits, masks, tables) is derived, in `spec.ts` for TypeScript and in `assembly/formats.ts` for the kernels.
 *
 * Read by both tsc and asc, so integer literals only (asc reads `7` as i32 and `0.5` as f64).
 *
 * Per format: sign, exponent and mantissa bits, exponent bias, the largest finite code, the code of +infinity and the canonical NaN
 * (the sign is the top bit, clear in the first two codes; -1 where a format has none). The suffixes are those of LLVM and ml_dtypes:
 * F finite (no infinities), N only one NaN, UZ unsigned zero (no -0; its code is NaN instead), U unsigned.
 * Sources: float8_e4m3fn, float8_e5m2: OCP OFP8 v1.0, section 5; float8_e4m3 (max 240, Gaudi2), float8_e3m4, the fnuz formats and
 * float8_e4m3b11fnuz: LLVM APFloat; float8_e8m0fnu, float6_*, float4_e2m1fn: OCP Microscaling v1.0, section 5.3 and 5.4; float16: IEEE 754
 * binary16; bfloat16: the upper half of binary32.
 */

/** Format ids, as passed to the kernels. */
export const FLOAT32 = 0;
export const BFLOAT16 = 1;
export const FLOAT16 = 2;
export const FLOAT8_E4M3FN = 3;
export const FLOAT8_E5M2 = 4;
export const FLOAT8_E4M3 = 5;
export const FLOAT8_E4M3FNUZ = 6;
export const FLOAT8_E5M2FNUZ = 7;
export const FLOAT8_E3M4 = 8;
export const FLOAT8_E4M3B11FNUZ = 9;
export const FLOAT8_E8M0FNU = 10;
export const FLOAT6_E2M3FN = 11;
export const FLOAT6_E3M2FN = 12;
export const FLOAT4_E2M1FN = 13;

export const FLOAT32_SIGN_BITS = 1;
export const FLOAT32_EXP_BITS = 8;
export const FLOAT32_MAN_BITS = 23;
export const FLOAT32_BIAS = 127;
export const FLOAT32_MAX_CODE = 0x7f7fffff;
export const FLOAT32_INF_CODE = 0x7f800000;
export const FLOAT32_NAN_CODE = 0x7fc00000;

export const BFLOAT16_SIGN_BITS = 1;
export const BFLOAT16_EXP_BITS = 8;
export const BFLOAT16_MAN_BITS = 7;
export const BFLOAT16_BIAS = 127;
export const BFLOAT16_MAX_CODE = 0x7f7f;
export const BFLOAT16_INF_CODE = 0x7f80;
export const BFLOAT16_NAN_CODE = 0x7fc0;

export const FLOAT16_SIGN_BITS = 1;
export const FLOAT16_EXP_BITS = 5;
export const FLOAT16_MAN_BITS = 10;
export const FLOAT16_BIAS = 15;
export const FLOAT16_MAX_CODE = 0x7bff;
export const FLOAT16_INF_CODE = 0x7c00;
export const FLOAT16_NAN_CODE = 0x7e00;

export const FLOAT8_E4M3FN_SIGN_BITS = 1;
export const FLOAT8_E4M3FN_EXP_BITS = 4;
export const FLOAT8_E4M3FN_MAN_BITS = 3;
export const FLOAT8_E4M3FN_BIAS = 7;
export const FLOAT8_E4M3FN_MAX_CODE = 0x7e;
export const FLOAT8_E4M3FN_INF_CODE = -1;
export const FLOAT8_E4M3FN_NAN_CODE = 0x7f;

export const FLOAT8_E5M2_SIGN_BITS = 1;
export const FLOAT8_E5M2_EXP_BITS = 5;
export const FLOAT8_E5M2_MAN_BITS = 2;
export const FLOAT8_E5M2_BIAS = 15;
export const FLOAT8_E5M2_MAX_CODE = 0x7b;
export const FLOAT8_E5M2_INF_CODE = 0x7c;
export const FLOAT8_E5M2_NAN_CODE = 0x7e;

export const FLOAT8_E4M3_SIGN_BITS = 1;
export const FLOAT8_E4M3_EXP_BITS = 4;
export const FLOAT8_E4M3_MAN_BITS = 3;
export const FLOAT8_E4M3_BIAS = 7;
export const FLOAT8_E4M3_MAX_CODE = 0x77;
export const FLOAT8_E4M3_INF_CODE = 0x78;
export const FLOAT8_E4M3_NAN_CODE = 0x7c;

export const FLOAT8_E4M3FNUZ_SIGN_BITS = 1;
export const FLOAT8_E4M3FNUZ_EXP_BITS = 4;
export const FLOAT8_E4M3FNUZ_MAN_BITS = 3;
export const FLOAT8_E4M3FNUZ_BIAS = 8;
export const FLOAT8_E4M3FNUZ_MAX_CODE = 0x7f;
export const FLOAT8_E4M3FNUZ_INF_CODE = -1;
export const FLOAT8_E4M3FNUZ_NAN_CODE = 0x80;

export const FLOAT8_E5M2FNUZ_SIGN_BITS = 1;
export const FLOAT8_E5M2FNUZ_EXP_BITS = 5;
export const FLOAT8_E5M2FNUZ_MAN_BITS = 2;
export const FLOAT8_E5M2FNUZ_BIAS = 16;
export const FLOAT8_E5M2FNUZ_MAX_CODE = 0x7f;
export const FLOAT8_E5M2FNUZ_INF_CODE = -1;
export const FLOAT8_E5M2FNUZ_NAN_CODE = 0x80;

export const FLOAT8_E3M4_SIGN_BITS = 1;
export const FLOAT8_E3M4_EXP_BITS = 3;
export const FLOAT8_E3M4_MAN_BITS = 4;
export const FLOAT8_E3M4_BIAS = 3;
export const FLOAT8_E3M4_MAX_CODE = 0x6f;
export const FLOAT8_E3M4_INF_CODE = 0x70;
export const FLOAT8_E3M4_NAN_CODE = 0x78;

export const FLOAT8_E4M3B11FNUZ_SIGN_BITS = 1;
export const FLOAT8_E4M3B11FNUZ_EXP_BITS = 4;
export const FLOAT8_E4M3B11FNUZ_MAN_BITS = 3;
export const FLOAT8_E4M3B11FNUZ_BIAS = 11;
export const FLOAT8_E4M3B11FNUZ_MAX_CODE = 0x7f;
export const FLOAT8_E4M3B11FNUZ_INF_CODE = -1;
export const FLOAT8_E4M3B11FNUZ_NAN_CODE = 0x80;

export const FLOAT8_E8M0FNU_SIGN_BITS = 0;
export const FLOAT8_E8M0FNU_EXP_BITS = 8;
export const FLOAT8_E8M0FNU_MAN_BITS = 0;
export const FLOAT8_E8M0FNU_BIAS = 127;
export const FLOAT8_E8M0FNU_MAX_CODE = 0xfe;
export const FLOAT8_E8M0FNU_INF_CODE = -1;
export const FLOAT8_E8M0FNU_NAN_CODE = 0xff;

export const FLOAT6_E2M3FN_SIGN_BITS = 1;
export const FLOAT6_E2M3FN_EXP_BITS = 2;
export const FLOAT6_E2M3FN_MAN_BITS = 3;
export const FLOAT6_E2M3FN_BIAS = 1;
export const FLOAT6_E2M3FN_MAX_CODE = 0x1f;
export const FLOAT6_E2M3FN_INF_CODE = -1;
export const FLOAT6_E2M3FN_NAN_CODE = -1;

export const FLOAT6_E3M2FN_SIGN_BITS = 1;
export const FLOAT6_E3M2FN_EXP_BITS = 3;
export const FLOAT6_E3M2FN_MAN_BITS = 2;
export const FLOAT6_E3M2FN_BIAS = 3;
export const FLOAT6_E3M2FN_MAX_CODE = 0x1f;
export const FLOAT6_E3M2FN_INF_CODE = -1;
export const FLOAT6_E3M2FN_NAN_CODE = -1;

export const FLOAT4_E2M1FN_SIGN_BITS = 1;
export const FLOAT4_E2M1FN_EXP_BITS = 2;
export const FLOAT4_E2M1FN_MAN_BITS = 1;
export const FLOAT4_E2M1FN_BIAS = 1;
export const FLOAT4_E2M1FN_MAX_CODE = 0x07;
export const FLOAT4_E2M1FN_INF_CODE = -1;
export const FLOAT4_E2M1FN_NAN_CODE = -1;

/** Rounding modes, as passed to the kernels. */
export const TIES_TO_EVEN = 0;
export const STOCHASTIC = 1;
export const TOWARD_ZERO = 2;
export const TIES_TO_AWAY = 3;
