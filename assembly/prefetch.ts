/**
 * Software prefetch by plain loads. A processor that prefetches little by itself (a virtual Xeon) waits for each of the few cache lines its
 * loads have in flight; touching every line of the next chunk overlaps those waits. There, 1 x 11008 x 4096 prepacked, a kilobyte ahead:
 * 6.1 -> 8.7 GFLOP/s, and 4 % less for 1 x 2048 x 2048, which fits the cache. An EPYC, which prefetches in hardware, only loses: 21.7 to 22.4
 * without, 20.9 to 21.5 with 256 bytes, 20.0 with 512, 15.8 with 1024. Hence 256, which is not yet measured on a Xeon. Refused: one
 * such load per step of the loop (Xeon, 7.0); one stream instead of two (panels of sixteen columns, 4.8). Four rows gain nothing: they
 * compute for longer.
 */
export abstract class prefetch {
  static readonly BYTES: usize = 256;

  /** Loads one byte of each cache line of the next BYTES; does nothing near the end of memory, where there may be fewer. */
  @inline static lines(from: usize): void {
    if (from >= <usize>(memory.size() - 1) << 16) return;
    for (let at = from; at < from + prefetch.BYTES; at += 64) load<u8>(at);
  }
}
