/** What is verified: every format in every rounding mode, saturating and not. One row of the table each. */
import { DTYPES, type DType, ROUNDING_IDS, type Rounding } from '../formats/index.js';

export interface Row {
  readonly dtype: DType;
  readonly rounding: Rounding;
  readonly saturate: boolean;
}

/** One result: `mismatches` of `inputs` differ from the definition in src/formats/reference.ts. */
export interface Finding extends Row {
  /** Where the inputs come from. */
  readonly source: string;
  readonly inputs: number;
  readonly mismatches: number;
  /** The first input that differs, and both codes, as text. */
  readonly first?: string;
  /** Of all codes in order, where the inputs are all of float32. */
  readonly digest?: string;
}

/** Formats narrower than float32, which has nothing to round. */
export const FORMATS: readonly DType[] = DTYPES.filter((dtype) => dtype !== 'float32');

export const ROWS: readonly Row[] = FORMATS.flatMap((dtype) =>
  (Object.keys(ROUNDING_IDS) as Rounding[]).flatMap((rounding) =>
    [true, false].map((saturate) => ({ dtype, rounding, saturate })),
  ),
);
