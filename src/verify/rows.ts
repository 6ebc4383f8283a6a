/** The rows of the verification table: every format in every rounding mode, saturating and not. */
import { DTYPES, type DType, ROUNDING_IDS, type Rounding } from '../formats/index.js';

/** One combination of format, rounding mode and saturation. */
export interface Row {
  readonly dtype: DType;
  readonly rounding: Rounding;
  readonly saturate: boolean;
}

/** One result: `mismatches` of `inputs` differ from the definition in src/formats/reference.ts. */
export interface Finding extends Row {
  /** Name of the set of inputs. */
  readonly source: string;
  readonly inputs: number;
  readonly mismatches: number;
  /** The first input whose code differs, with both codes, as text. */
  readonly first?: string;
  /** Digest of all codes in order, where the inputs are all of float32. */
  readonly digest?: string;
}

/** Formats narrower than float32; float32 itself has nothing to round. */
export const FORMATS: readonly DType[] = DTYPES.filter((dtype) => dtype !== 'float32');

/** Every combination of format, rounding and saturation. */
export const ROWS: readonly Row[] = FORMATS.flatMap((dtype) =>
  (Object.keys(ROUNDING_IDS) as Rounding[]).flatMap((rounding) =>
    [true, false].map((saturate) => ({ dtype, rounding, saturate })),
  ),
);
