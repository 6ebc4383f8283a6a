/** Rewrites the memory import of a build to a shared memory, for threads, so that the kernels are compiled only once. */

/** The range of 32-bit addresses, in pages. */
export const MAXIMUM_PAGES = 65536;

/** Length of the unsigned LEB128 integer at `at`, and its value (WebAssembly specification, section 5.2.2). */
function integer(bytes, at) {
  let value = 0;
  let length = 0;
  do value += (bytes[at + length] & 0x7f) * 2 ** (7 * length);
  while (bytes[at + length++] >= 0x80);
  return { value, length };
}

function leb128(value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

const IMPORTS = 2;
const HEADER = 8;
/** The end of the only import: kind memory, with limits without a maximum. */
const MEMORY = [0x02, 0x00];

/**
 * Rewrites a module whose only import is a memory to take a shared one. The result equals, byte for byte, what asc would produce with
 * --sharedMemory and --maximumMemory: the kernels contain no synchronisation, so nothing else differs.
 */
export function withSharedMemory(wasm) {
  let at = HEADER;
  while (at < wasm.length) {
    const { value: size, length } = integer(wasm, at + 1);
    const from = at + 1 + length;
    const end = from + size;
    if (wasm[at] === IMPORTS) {
      const section = wasm.subarray(from, end);
      const limits = section.lastIndexOf(MEMORY[1]);
      const initial = section.subarray(limits + 1);
      if (section[0] !== 1 || section[limits - 1] !== MEMORY[0] || integer(initial, 0).length !== initial.length) break;
      const shared = [...section.subarray(0, limits), 0x03, ...initial, ...leb128(MAXIMUM_PAGES)];
      return Uint8Array.from([
        ...wasm.subarray(0, at),
        IMPORTS,
        ...leb128(shared.length),
        ...shared,
        ...wasm.subarray(end),
      ]);
    }
    at = end;
  }
  throw new Error('wasm: expected one import, an unshared memory without a maximum, got another module');
}
