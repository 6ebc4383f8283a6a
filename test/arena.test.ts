/** The memory beneath the engine: no byte given twice, none lost. */
import { describe, expect, it } from 'vitest';
import { Arena } from '../src/engine/arena.js';
import { Random } from './helpers/rng.js';

describe('the arena', () => {
  it('gives aligned blocks above the kernels constants, with room to read past their end', () => {
    const arena = new Arena(false);
    const blocks = [1, 63, 64, 65, 100_000, 0].map((bytes) => ({ bytes, ptr: arena.alloc(bytes) }));
    for (const { ptr, bytes } of blocks) {
      expect(ptr % 64).toBe(0);
      expect(ptr).toBeGreaterThanOrEqual(65_536);
      expect(ptr + bytes + 64).toBeLessThanOrEqual(arena.buffer.byteLength);
    }
  });

  it('gives freed memory again, joined with its neighbours', () => {
    const arena = new Arena(false);
    const [first, second, third, guard] = [1000, 2000, 3000, 10].map((bytes) => arena.alloc(bytes));
    arena.free(first);
    arena.free(third);
    arena.free(second);
    expect(arena.alloc(6000)).toBe(first);
    arena.free(guard);
    const size = arena.buffer.byteLength;
    expect(arena.alloc(40_000)).toBeGreaterThan(first);
    expect(arena.buffer.byteLength).toBe(size);
    expect(() => arena.free(first + 64)).toThrow(/not allocated/);
  });

  it('refuses a size that is none, and keeps what it has', () => {
    const arena = new Arena(false);
    const ptr = arena.alloc(100);
    for (const bad of [-1, -(2 ** 31), Number.NaN]) expect(() => arena.alloc(bad)).toThrow(RangeError);
    expect(() => arena.alloc(2 ** 32)).toThrow(/^memory: expected at most 4 GiB/);
    arena.free(ptr);
    expect(arena.bytesInUse).toBe(0);
    expect(arena.alloc(100)).toBe(ptr);
  });

  it('release frees what came after the mark, but not what is kept or lasting', () => {
    const arena = new Arena(false);
    const before = arena.alloc(10);
    const mark = arena.mark();
    const [gone, kept] = [arena.alloc(10), arena.alloc(10)];
    const lasting = arena.allocLasting(10);
    const inner = arena.mark();
    const late = arena.alloc(10);
    arena.release(inner, [late]);
    arena.release(mark, [kept]);
    for (const ptr of [gone, late]) expect(() => arena.free(ptr), 'released').toThrow(/not allocated/);
    for (const ptr of [before, kept, lasting]) expect(() => arena.free(ptr), 'live').not.toThrow();
    expect(arena.bytesInUse).toBe(0);
  });

  it('gives nothing again while it holds what is freed', () => {
    const arena = new Arena(false);
    const before = arena.alloc(100);
    const mark = arena.mark();
    const { result, free } = arena.holding(() => {
      const first = arena.alloc(1000);
      arena.free(first);
      const second = arena.alloc(1000);
      arena.release(mark);
      return [first, second, arena.alloc(1000)];
    });
    expect(new Set(result).size).toBe(3);
    expect(result).not.toContain(arena.alloc(1000));
    arena.release(mark);
    free();
    expect(arena.alloc(2000)).toBe(result[0]);
    arena.release(mark);
    const failing = () => {
      arena.free(arena.alloc(10));
      throw new Error('on purpose');
    };
    expect(() => arena.holding(failing)).toThrow('on purpose');
    arena.free(before);
    expect(arena.bytesInUse).toBe(0);
  });

  it('never gives one byte twice: random allocations, frees, marks and releases against a plain list', () => {
    const arena = new Arena(false);
    const choose = new Random(9);
    let live: { ptr: number; bytes: number; order: number }[] = [];
    const marks: { mark: number; order: number }[] = [];
    const remove = (gone: typeof live) => {
      live = live.filter((block) => !gone.includes(block));
    };
    for (let i = 0; i < 20_000; i++) {
      const action = choose.integer(0, 99);
      if (action < 50) {
        const bytes = choose.pick([0, 1, 64, 500, 4096, choose.integer(1, 20_000)]);
        const ptr = action < 48 ? arena.alloc(bytes) : arena.allocLasting(bytes);
        const size = Math.ceil((bytes + 64) / 64) * 64;
        const clash = live.find((block) => ptr < block.ptr + block.bytes && block.ptr < ptr + size);
        expect(clash, `allocation ${i} at ${ptr}`).toBeUndefined();
        live.push({ ptr, bytes: size, order: action < 48 ? i : -1 });
      } else if (action < 90 && live.length > 0) {
        const block = choose.pick(live);
        arena.free(block.ptr);
        remove([block]);
      } else if (action < 97) {
        marks.push({ mark: arena.mark(), order: i });
      } else if (marks.length > 0) {
        const { mark, order } = marks.splice(choose.integer(0, marks.length - 1))[0];
        const since = live.filter((block) => block.order >= order);
        const keep = since.filter(() => choose.uniform() < 0.2);
        arena.release(
          mark,
          keep.map(({ ptr }) => ptr),
        );
        remove(since.filter((block) => !keep.includes(block)));
      }
      expect(arena.bytesInUse).toBe(live.reduce((sum, { bytes }) => sum + bytes, 0));
    }
    for (const { ptr } of live) arena.free(ptr);
    expect(arena.bytesInUse).toBe(0);
    // All is one gap again: the largest block fits without growth.
    const size = arena.buffer.byteLength;
    arena.alloc(arena.peakBytes - 64);
    expect(arena.buffer.byteLength).toBe(size);
  });
});
