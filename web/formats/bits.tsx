/** The bits of a code, by field; each can be flipped. */
import type { FormatSpec } from '../../src/formats/index.js';
import { type Bit, bitsOf, type Field, flipped } from './explore.js';

interface Props {
  readonly spec: FormatSpec;
  readonly code: number;
  readonly onCode: (code: number) => void;
}

export function Bits({ spec, code, onCode }: Props) {
  const bits = bitsOf(code, spec);
  const fields = [...new Set(bits.map(({ field }) => field))];
  return (
    <fieldset class="bits" aria-label="Bits of the code; press one to flip it">
      {fields.map((field) => (
        <FieldBits
          key={field}
          field={field}
          bits={bits.filter((bit) => bit.field === field)}
          code={code}
          onCode={onCode}
        />
      ))}
    </fieldset>
  );
}

function FieldBits({
  field,
  bits,
  code,
  onCode,
}: {
  field: Field;
  bits: readonly Bit[];
  code: number;
  onCode: (code: number) => void;
}) {
  return (
    <fieldset class={`bit-field ${field}`} aria-label={field}>
      <span class="bit-row">
        {bits.map((bit) => (
          <button
            key={bit.position}
            type="button"
            class="bit"
            aria-pressed={bit.set}
            aria-label={`${field} bit ${bit.position}: ${bit.set ? 1 : 0}`}
            onClick={() => onCode(flipped(code, bit))}
          >
            {bit.set ? 1 : 0}
          </button>
        ))}
      </span>
      <span class="bit-name" aria-hidden="true">
        {field}
      </span>
    </fieldset>
  );
}
