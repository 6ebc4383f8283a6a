/** Seeded numbers for test data (sfc32 by Chris Doty-Humphrey), so that a failure can be run again. */
export class Random {
  private a = 0;
  private b = 0;
  private c = 0;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed >>> 0;
    for (let i = 0; i < 12; i++) this.word();
  }

  /** 32 random bits. */
  word(): number {
    const result = (this.a + this.b + this.counter++) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + result;
    return result >>> 0;
  }

  /** In [0, 1). */
  uniform(): number {
    return this.word() / 2 ** 32;
  }

  /** An integer from low to high, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.integer(0, list.length - 1)];
  }

  /** Bell-shaped with mean 0 and deviation 1 (a sum of twelve uniforms; no Math.log, so every engine gives the same data). */
  normal(): number {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.uniform();
    return sum;
  }

  normals(count: number, deviation = 1): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: count }, () => this.normal() * deviation);
  }

  /** Log-uniform magnitudes with exponents from `low` to `high`, both included, of either sign. */
  wide(count: number, low: number, high: number): Float32Array<ArrayBuffer> {
    return Float32Array.from(
      { length: count },
      () => (this.word() & 1 ? -1 : 1) * (1 + this.uniform()) * 2 ** this.integer(low, high),
    );
  }

  /** Any float32 bit pattern: NaN, infinities and subnormals included. */
  patterns(count: number): Float32Array<ArrayBuffer> {
    return new Float32Array(Uint32Array.from({ length: count }, () => this.word()).buffer);
  }
}
