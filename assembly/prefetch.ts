/**
 * Reading ahead. A machine whose processor fetches little of a stream by itself (a virtual Xeon) waits for each of the few lines its loads have
 * under way; loads from every line of what comes next wait for them all at once. 1 x 11008 x 4096 prepacked there, a kilobyte ahead: 6.1 -> 8.7
 * GFLOP/s, and 4 % less for 1 x 2048 x 2048, which lies in the cache. On an EPYC, which fetches by itself: half a kilobyte 19.2 to 20.5, none
 * 20.1, a kilobyte 15.8. Refused: one such load for each step of the loop (Xeon, 7.0); one stream instead of two (panels of sixteen columns,
 * 4.8). Four rows gain nothing: they compute for longer.
 */
export abstract class prefetch {
  static readonly BYTES: usize = 512;

  /** Loads from every line of a part of memory; not near the end of memory, where there may be less. */
  @inline static lines(from: usize): void {
    if (from >= <usize>(memory.size() - 1) << 16) return;
    for (let at = from; at < from + prefetch.BYTES; at += 64) load<u8>(at);
  }
}
