/**
 * The allocator for the whole wasm memory, on the host side: first fit over a sorted list of gaps, with mark and release for what a step
 * allocates. The kernels have no allocator and no mutable statics, because two instances over one memory would share them by accident.
 */

const PAGE = 65536;
/** The first page holds the kernels' constant tables. */
const FIRST = PAGE;
const ALIGN = 64;
/** Kernels may read, never write, this far past the end of a tensor. */
const OVERREAD = 64;
/** wasm32's limit. */
const MAX_PAGES = 65536;

interface Gap {
  ptr: number;
  bytes: number;
}

interface Block {
  readonly ptr: number;
  /** Bytes taken, with padding. */
  readonly bytes: number;
  /** Bytes that were asked for. */
  readonly size: number;
  /** Serial number, unique across the blocks of all arenas. */
  readonly order: number;
}

let serial = 0;

/** Freed blocks that `made` may hold before a sweep, in addition to one for each live block. */
const SWEEP = 1024;

/** Allocates blocks of one wasm memory; addresses are byte offsets into it. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  private gaps: Gap[] = [];
  private readonly live = new Map<number, Block>();
  /** Blocks in order of allocation, including freed ones until the next sweep. A mark is a position in that order. */
  private made: Block[] = [];
  /** While `holding`: the blocks that were freed. */
  private held: Set<Block> | undefined;
  private end = FIRST;
  private used = 0;
  private peak = 0;

  constructor(shared: boolean) {
    this.memory = new WebAssembly.Memory(shared ? { initial: 2, maximum: MAX_PAGES, shared } : { initial: 2 });
  }

  get buffer(): ArrayBuffer {
    return this.memory.buffer as ArrayBuffer;
  }

  get bytesInUse(): number {
    return this.used;
  }

  get peakBytes(): number {
    return this.peak;
  }

  /** Allocates uninitialised memory and returns its address, aligned to 64 bytes. Throws RangeError beyond 4 GiB or if memory cannot grow. */
  alloc(bytes: number): number {
    if (this.made.length > 2 * this.live.size + SWEEP) this.made = this.made.filter((block) => this.isLive(block));
    const block = this.take(bytes);
    this.made.push(block);
    return block.ptr;
  }

  /** Like `alloc`, but `release` never frees it: for buffers that outlive the step that first needs them. */
  allocLasting(bytes: number): number {
    return this.take(bytes).ptr;
  }

  /** Makes the live block at `ptr` lasting. */
  keep(ptr: number): void {
    const at = this.made.findLastIndex((block) => block.ptr === ptr && this.isLive(block));
    if (at >= 0) this.made.splice(at, 1);
  }

  private take(bytes: number): Block {
    if (!(bytes >= 0)) throw new RangeError(`memory: expected a size of 0 or more bytes, got ${bytes}`);
    const padded = Math.ceil((bytes + OVERREAD) / ALIGN) * ALIGN;
    const block = { ptr: this.place(padded), bytes: padded, size: bytes, order: serial++ };
    this.live.set(block.ptr, block);
    this.used += padded;
    this.peak = Math.max(this.peak, this.used);
    return block;
  }

  free(ptr: number): void {
    const block = this.live.get(ptr);
    if (!block) throw new Error(`free: expected a live tensor, got address ${ptr}, which is not allocated`);
    if (this.held) {
      this.held.add(block);
      return;
    }
    this.live.delete(ptr);
    this.used -= block.bytes;
    this.giveBack(ptr, block.bytes);
  }

  /** Calls `run`, in which no memory is used twice: what it frees stays allocated until `free` is called, or at once if it throws. */
  holding<T>(run: () => T): { result: T; free: () => void } {
    const held = new Set<Block>();
    const free = () => {
      for (const block of held) if (this.isLive(block)) this.free(block.ptr);
    };
    this.held = held;
    try {
      return { result: run(), free };
    } catch (error) {
      this.held = undefined;
      free();
      throw error;
    } finally {
      this.held = undefined;
    }
  }

  /** The serial number of the live block at `ptr`, which tells it from later blocks at the same address and from those of other engines. */
  blockAt(ptr: number): number {
    return this.live.get(ptr)!.order;
  }

  /** Whether the block with this serial number is live, begins at `ptr` and has room for `bytes`. */
  holds(ptr: number, number: number, bytes: number): boolean {
    const block = this.live.get(ptr);
    return block?.order === number && bytes + OVERREAD <= block.bytes;
  }

  /** Bytes that the live block at `ptr` was asked for; undefined if there is none. */
  sizeAt(ptr: number): number | undefined {
    return this.live.get(ptr)?.size;
  }

  /** A mark that `release` can return to. */
  mark(): number {
    return serial;
  }

  /** Frees everything allocated since the mark, except the addresses in `keep`. */
  release(mark: number, keep: readonly number[] = []): void {
    const kept: Block[] = [];
    for (let block = this.made.at(-1); block && block.order >= mark; block = this.made.at(-1)) {
      this.made.pop();
      if (!this.isLive(block)) continue;
      if (keep.includes(block.ptr)) kept.push(block);
      else this.free(block.ptr);
    }
    this.made.push(...kept.reverse());
  }

  /** Compares the block itself, because the address of a freed block may have been reused. */
  private isLive(block: Block): boolean {
    return this.live.get(block.ptr) === block;
  }

  /** Address of the first gap that is large enough, or of the end of the used memory. */
  private place(size: number): number {
    for (let i = 0; i < this.gaps.length; i++) {
      const gap = this.gaps[i];
      if (gap.bytes < size) continue;
      const { ptr } = gap;
      gap.ptr += size;
      gap.bytes -= size;
      if (gap.bytes === 0) this.gaps.splice(i, 1);
      return ptr;
    }
    const last = this.gaps.at(-1);
    const ptr = last && last.ptr + last.bytes === this.end ? last.ptr : this.end;
    this.growTo(ptr + size);
    if (ptr !== this.end) this.gaps.pop();
    this.end = ptr + size;
    return ptr;
  }

  private growTo(end: number): void {
    const pages = Math.ceil((end + OVERREAD) / PAGE) - this.memory.buffer.byteLength / PAGE;
    if (pages <= 0) return;
    if (this.memory.buffer.byteLength / PAGE + pages > MAX_PAGES) {
      throw new RangeError(`memory: expected at most 4 GiB of tensors, got a request that needs ${end} bytes`);
    }
    try {
      this.memory.grow(pages);
    } catch {
      throw new RangeError(`memory: expected the engine to grow to ${end} bytes, got a refusal`);
    }
  }

  private giveBack(ptr: number, bytes: number): void {
    let low = 0;
    let high = this.gaps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.gaps[middle].ptr < ptr) low = middle + 1;
      else high = middle;
    }
    const before = this.gaps[low - 1];
    const after = this.gaps[low];
    const joinsAfter = after && ptr + bytes === after.ptr;
    if (before && before.ptr + before.bytes === ptr) {
      before.bytes += bytes;
      if (joinsAfter) {
        before.bytes += after.bytes;
        this.gaps.splice(low, 1);
      }
    } else if (joinsAfter) {
      after.ptr = ptr;
      after.bytes += bytes;
    } else {
      this.gaps.splice(low, 0, { ptr, bytes });
    }
  }
}
