/** As much of the WebAssembly binary format as the structural tests need (specification, section 5.5). */

export interface Section {
  readonly id: number;
  readonly bytes: Uint8Array;
}

export const CODE = 10;
export const DATA = 11;

class Reader {
  at = 0;
  constructor(readonly bytes: Uint8Array) {}

  byte(): number {
    if (this.at >= this.bytes.length) throw new Error(`unexpected end of the module at ${this.at}`);
    return this.bytes[this.at++];
  }

  /** LEB128; signed for constants. */
  integer(signed = false): number {
    let result = 0;
    let shift = 0;
    for (;;) {
      const byte = this.byte();
      result += (byte & 0x7f) * 2 ** shift;
      shift += 7;
      if (byte < 0x80) return signed && byte & 0x40 ? result - 2 ** shift : result;
    }
  }

  take(length: number): Uint8Array {
    const part = this.bytes.subarray(this.at, this.at + length);
    if (part.length !== length) throw new Error(`unexpected end of the module at ${this.at}`);
    this.at += length;
    return part;
  }
}

export function sectionsOf(wasm: Uint8Array): Section[] {
  const reader = new Reader(wasm);
  if (Buffer.from(reader.take(8)).toString('hex') !== '0061736d01000000') throw new Error('expected a wasm module');
  const sections: Section[] = [];
  while (reader.at < wasm.length) {
    const id = reader.byte();
    sections.push({ id, bytes: reader.take(reader.integer()) });
  }
  return sections;
}

/** Addresses [start, end) that a module's data segments write when it is instantiated. */
export function dataSegments(wasm: Uint8Array): [start: number, end: number][] {
  const section = sectionsOf(wasm).find(({ id }) => id === DATA);
  if (!section) return [];
  const reader = new Reader(section.bytes);
  return Array.from({ length: reader.integer() }, () => {
    const kind = reader.integer();
    if (kind !== 0) throw new Error(`expected active segments of memory 0, got kind ${kind}`);
    // i32.const address, end
    if (reader.byte() !== 0x41) throw new Error('expected a constant address');
    const start = reader.integer(true);
    if (reader.byte() !== 0x0b) throw new Error('expected the end of the address');
    const length = reader.integer();
    reader.take(length);
    return [start, start + length];
  });
}

/**
 * How often the code may hold an instruction of relaxed SIMD: opcode 0xfd, then 0x100 to 0x114 as LEB128. Bytes of a constant could look the
 * same, so a count above 0 is a suspicion, and 0 a proof.
 */
export function relaxedInstructions(wasm: Uint8Array): number {
  const { bytes } = sectionsOf(wasm).find(({ id }) => id === CODE)!;
  let count = 0;
  for (let i = 0; i + 2 < bytes.length; i++) {
    if (bytes[i] === 0xfd && bytes[i + 1] >= 0x80 && bytes[i + 1] <= 0x94 && bytes[i + 2] === 0x02) count++;
  }
  return count;
}
