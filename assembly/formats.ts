/**
 * Number formats in two forms: a table of facts by id, which encoding and decoding read once per row, and, for operands of products,
 * classes of facts, where `facts.about<E4M3FN>().manBits` compiles to an immediate. The only importer of the shared constants.
 */
import * as C from '../src/formats/constants';

/** Eight words for each format, in order of id: the integers of the shared record. */
const TABLE = memory.data<i32>([
  C.FLOAT32_SIGN_BITS, C.FLOAT32_EXP_BITS, C.FLOAT32_MAN_BITS, C.FLOAT32_BIAS, C.FLOAT32_MAX_CODE, C.FLOAT32_INF_CODE, C.FLOAT32_NAN_CODE, 0,
  C.BFLOAT16_SIGN_BITS, C.BFLOAT16_EXP_BITS, C.BFLOAT16_MAN_BITS, C.BFLOAT16_BIAS, C.BFLOAT16_MAX_CODE, C.BFLOAT16_INF_CODE, C.BFLOAT16_NAN_CODE, 0,
  C.FLOAT16_SIGN_BITS, C.FLOAT16_EXP_BITS, C.FLOAT16_MAN_BITS, C.FLOAT16_BIAS, C.FLOAT16_MAX_CODE, C.FLOAT16_INF_CODE, C.FLOAT16_NAN_CODE, 0,
  C.FLOAT8_E4M3FN_SIGN_BITS, C.FLOAT8_E4M3FN_EXP_BITS, C.FLOAT8_E4M3FN_MAN_BITS, C.FLOAT8_E4M3FN_BIAS, C.FLOAT8_E4M3FN_MAX_CODE, C.FLOAT8_E4M3FN_INF_CODE, C.FLOAT8_E4M3FN_NAN_CODE, 0,
  C.FLOAT8_E5M2_SIGN_BITS, C.FLOAT8_E5M2_EXP_BITS, C.FLOAT8_E5M2_MAN_BITS, C.FLOAT8_E5M2_BIAS, C.FLOAT8_E5M2_MAX_CODE, C.FLOAT8_E5M2_INF_CODE, C.FLOAT8_E5M2_NAN_CODE, 0,
  C.FLOAT8_E4M3_SIGN_BITS, C.FLOAT8_E4M3_EXP_BITS, C.FLOAT8_E4M3_MAN_BITS, C.FLOAT8_E4M3_BIAS, C.FLOAT8_E4M3_MAX_CODE, C.FLOAT8_E4M3_INF_CODE, C.FLOAT8_E4M3_NAN_CODE, 0,
  C.FLOAT8_E4M3FNUZ_SIGN_BITS, C.FLOAT8_E4M3FNUZ_EXP_BITS, C.FLOAT8_E4M3FNUZ_MAN_BITS, C.FLOAT8_E4M3FNUZ_BIAS, C.FLOAT8_E4M3FNUZ_MAX_CODE, C.FLOAT8_E4M3FNUZ_INF_CODE, C.FLOAT8_E4M3FNUZ_NAN_CODE, 0,
  C.FLOAT8_E5M2FNUZ_SIGN_BITS, C.FLOAT8_E5M2FNUZ_EXP_BITS, C.FLOAT8_E5M2FNUZ_MAN_BITS, C.FLOAT8_E5M2FNUZ_BIAS, C.FLOAT8_E5M2FNUZ_MAX_CODE, C.FLOAT8_E5M2FNUZ_INF_CODE, C.FLOAT8_E5M2FNUZ_NAN_CODE, 0,
  C.FLOAT8_E3M4_SIGN_BITS, C.FLOAT8_E3M4_EXP_BITS, C.FLOAT8_E3M4_MAN_BITS, C.FLOAT8_E3M4_BIAS, C.FLOAT8_E3M4_MAX_CODE, C.FLOAT8_E3M4_INF_CODE, C.FLOAT8_E3M4_NAN_CODE, 0,
  C.FLOAT8_E4M3B11FNUZ_SIGN_BITS, C.FLOAT8_E4M3B11FNUZ_EXP_BITS, C.FLOAT8_E4M3B11FNUZ_MAN_BITS, C.FLOAT8_E4M3B11FNUZ_BIAS, C.FLOAT8_E4M3B11FNUZ_MAX_CODE, C.FLOAT8_E4M3B11FNUZ_INF_CODE, C.FLOAT8_E4M3B11FNUZ_NAN_CODE, 0,
  C.FLOAT8_E8M0FNU_SIGN_BITS, C.FLOAT8_E8M0FNU_EXP_BITS, C.FLOAT8_E8M0FNU_MAN_BITS, C.FLOAT8_E8M0FNU_BIAS, C.FLOAT8_E8M0FNU_MAX_CODE, C.FLOAT8_E8M0FNU_INF_CODE, C.FLOAT8_E8M0FNU_NAN_CODE, 0,
  C.FLOAT6_E2M3FN_SIGN_BITS, C.FLOAT6_E2M3FN_EXP_BITS, C.FLOAT6_E2M3FN_MAN_BITS, C.FLOAT6_E2M3FN_BIAS, C.FLOAT6_E2M3FN_MAX_CODE, C.FLOAT6_E2M3FN_INF_CODE, C.FLOAT6_E2M3FN_NAN_CODE, 0,
  C.FLOAT6_E3M2FN_SIGN_BITS, C.FLOAT6_E3M2FN_EXP_BITS, C.FLOAT6_E3M2FN_MAN_BITS, C.FLOAT6_E3M2FN_BIAS, C.FLOAT6_E3M2FN_MAX_CODE, C.FLOAT6_E3M2FN_INF_CODE, C.FLOAT6_E3M2FN_NAN_CODE, 0,
  C.FLOAT4_E2M1FN_SIGN_BITS, C.FLOAT4_E2M1FN_EXP_BITS, C.FLOAT4_E2M1FN_MAN_BITS, C.FLOAT4_E2M1FN_BIAS, C.FLOAT4_E2M1FN_MAX_CODE, C.FLOAT4_E2M1FN_INF_CODE, C.FLOAT4_E2M1FN_NAN_CODE, 0,
]);

/** The record of a format, by id, and what follows from it. */
export abstract class format {
  @inline static bits(dtype: i32): i32 { return format.signBits(dtype) + format.expBits(dtype) + format.manBits(dtype); }
  /** Bytes of one element. */
  @inline static bytes(dtype: i32): i32 { return (format.bits(dtype) + 7) >> 3; }
  /** Whether casts to storage saturate: formats of up to 8 bits do. */
  @inline static saturates(dtype: i32): bool { return format.bits(dtype) <= 8; }
  @inline static signBits(dtype: i32): i32 { return load<i32>(TABLE + (<usize>dtype << 5)); }
  @inline static expBits(dtype: i32): i32 { return load<i32>(TABLE + (<usize>dtype << 5), 4); }
  @inline static manBits(dtype: i32): i32 { return load<i32>(TABLE + (<usize>dtype << 5), 8); }
  @inline static bias(dtype: i32): i32 { return load<i32>(TABLE + (<usize>dtype << 5), 12); }
  @inline static maxCode(dtype: i32): i32 { return load<i32>(TABLE + (<usize>dtype << 5), 16); }
  @inline static infCode(dtype: i32): i32 { return load<i32>(TABLE + (<usize>dtype << 5), 20); }
  @inline static nanCode(dtype: i32): i32 { return load<i32>(TABLE + (<usize>dtype << 5), 24); }
  /** Whether a format is a byte with the sign bit 0x80, a -0, and manBits of mantissa. */
  @inline static isSignedByte(dtype: i32, manBits: i32): bool {
    return format.bits(dtype) === 8 && format.signBits(dtype) === 1 && format.nanCode(dtype) !== 0x80 && format.manBits(dtype) === manBits;
  }
  /** The largest finite value, as bits of a float32. */
  @inline static maxBits(dtype: i32): i32 {
    return (format.maxCode(dtype) << (23 - format.manBits(dtype))) + ((127 - format.bias(dtype)) << 23);
  }
  /** The smallest subnormal of a narrow format. */
  @inline static quantum(dtype: i32): f32 { return reinterpret<f32>((128 - format.bias(dtype) - format.manBits(dtype)) << 23); }
}

/** How a format's bits relate to those of a float32. */
export abstract class kind {
  /** The same bits: float32. */
  @inline static get whole(): i32 { return 0; }
  /** Their upper half: bfloat16. */
  @inline static get upperHalf(): i32 { return 1; }
  /** Less range and less precision, with subnormals: float16 and everything narrower, except float8_e8m0fnu. */
  @inline static get narrow(): i32 { return 2; }
  /** Powers of two without a sign: float8_e8m0fnu. */
  @inline static get powers(): i32 { return 3; }

  static of(dtype: i32): i32 {
    if (format.manBits(dtype) === 23) return kind.whole;
    if (format.signBits(dtype) === 0) return kind.powers;
    return format.expBits(dtype) === 8 ? kind.upperHalf : kind.narrow;
  }
}

@unmanaged
export class F32 {
  @inline get id(): i32 { return C.FLOAT32; }
  @inline get bytes(): i32 { return 4; }
  @inline get expBits(): i32 { return C.FLOAT32_EXP_BITS; }
  @inline get manBits(): i32 { return C.FLOAT32_MAN_BITS; }
  @inline get bias(): i32 { return C.FLOAT32_BIAS; }
  @inline get maxCode(): i32 { return C.FLOAT32_MAX_CODE; }
  @inline get infCode(): i32 { return C.FLOAT32_INF_CODE; }
  @inline get nanCode(): i32 { return C.FLOAT32_NAN_CODE; }
}

@unmanaged
export class BF16 {
  @inline get id(): i32 { return C.BFLOAT16; }
  @inline get bytes(): i32 { return 2; }
  @inline get expBits(): i32 { return C.BFLOAT16_EXP_BITS; }
  @inline get manBits(): i32 { return C.BFLOAT16_MAN_BITS; }
  @inline get bias(): i32 { return C.BFLOAT16_BIAS; }
  @inline get maxCode(): i32 { return C.BFLOAT16_MAX_CODE; }
  @inline get infCode(): i32 { return C.BFLOAT16_INF_CODE; }
  @inline get nanCode(): i32 { return C.BFLOAT16_NAN_CODE; }
}

@unmanaged
export class F16 {
  @inline get id(): i32 { return C.FLOAT16; }
  @inline get bytes(): i32 { return 2; }
  @inline get expBits(): i32 { return C.FLOAT16_EXP_BITS; }
  @inline get manBits(): i32 { return C.FLOAT16_MAN_BITS; }
  @inline get bias(): i32 { return C.FLOAT16_BIAS; }
  @inline get maxCode(): i32 { return C.FLOAT16_MAX_CODE; }
  @inline get infCode(): i32 { return C.FLOAT16_INF_CODE; }
  @inline get nanCode(): i32 { return C.FLOAT16_NAN_CODE; }
}

@unmanaged
export class E4M3FN {
  @inline get id(): i32 { return C.FLOAT8_E4M3FN; }
  @inline get bytes(): i32 { return 1; }
  @inline get expBits(): i32 { return C.FLOAT8_E4M3FN_EXP_BITS; }
  @inline get manBits(): i32 { return C.FLOAT8_E4M3FN_MAN_BITS; }
  @inline get bias(): i32 { return C.FLOAT8_E4M3FN_BIAS; }
  @inline get maxCode(): i32 { return C.FLOAT8_E4M3FN_MAX_CODE; }
  @inline get infCode(): i32 { return C.FLOAT8_E4M3FN_INF_CODE; }
  @inline get nanCode(): i32 { return C.FLOAT8_E4M3FN_NAN_CODE; }
}

@unmanaged
export class E5M2 {
  @inline get id(): i32 { return C.FLOAT8_E5M2; }
  @inline get bytes(): i32 { return 1; }
  @inline get expBits(): i32 { return C.FLOAT8_E5M2_EXP_BITS; }
  @inline get manBits(): i32 { return C.FLOAT8_E5M2_MAN_BITS; }
  @inline get bias(): i32 { return C.FLOAT8_E5M2_BIAS; }
  @inline get maxCode(): i32 { return C.FLOAT8_E5M2_MAX_CODE; }
  @inline get infCode(): i32 { return C.FLOAT8_E5M2_INF_CODE; }
  @inline get nanCode(): i32 { return C.FLOAT8_E5M2_NAN_CODE; }
}

@unmanaged
export class E4M3 {
  @inline get id(): i32 { return C.FLOAT8_E4M3; }
  @inline get bytes(): i32 { return 1; }
  @inline get expBits(): i32 { return C.FLOAT8_E4M3_EXP_BITS; }
  @inline get manBits(): i32 { return C.FLOAT8_E4M3_MAN_BITS; }
  @inline get bias(): i32 { return C.FLOAT8_E4M3_BIAS; }
  @inline get maxCode(): i32 { return C.FLOAT8_E4M3_MAX_CODE; }
  @inline get infCode(): i32 { return C.FLOAT8_E4M3_INF_CODE; }
  @inline get nanCode(): i32 { return C.FLOAT8_E4M3_NAN_CODE; }
}

export abstract class facts {
  /** The facts of the format F. */
  @inline static about<F>(): F { return changetype<F>(0); }
}

export abstract class rounding {
  @inline static get tiesToEven(): i32 { return C.TIES_TO_EVEN; }
  @inline static get stochastic(): i32 { return C.STOCHASTIC; }
  @inline static get towardZero(): i32 { return C.TOWARD_ZERO; }
  @inline static get tiesToAway(): i32 { return C.TIES_TO_AWAY; }
}
