/** The formats as classes of facts: `facts.about<E4M3FN>().manBits` compiles to an immediate. The only importer of the shared constants. */
import * as C from '../src/formats/constants';

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
  /** The facts of a format given as a type. */
  @inline static about<F>(): F { return changetype<F>(0); }
}

export abstract class rounding {
  @inline static get tiesToEven(): i32 { return C.TIES_TO_EVEN; }
  @inline static get stochastic(): i32 { return C.STOCHASTIC; }
  @inline static get towardZero(): i32 { return C.TOWARD_ZERO; }
  @inline static get tiesToAway(): i32 { return C.TIES_TO_AWAY; }
}

/** Bytes of one element of the format with this id; ids are ordered by falling width. */
export function bytesOf(dtype: i32): i32 {
  return dtype === C.FLOAT32 ? 4 : dtype <= C.FLOAT16 ? 2 : 1;
}
