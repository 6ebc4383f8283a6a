/** What the checks in every runtime share: pseudo-random numbers and digests that owe nothing to the library. */

/** A function that gives numbers from -0.5 to 0.5, the same ones everywhere (a linear congruential generator). */
export function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}

/** FNV-1a over the bytes of arrays: enough to compare runtimes. */
export function digest(arrays) {
  let h = 0x811c9dc5;
  for (const array of arrays) {
    for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength)) {
      h = Math.imul(h ^ byte, 0x01000193);
    }
  }
  return (h >>> 0).toString(16).padStart(8, '0');
}
