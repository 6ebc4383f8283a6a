/** Runs jobs side by side, a limited number at a time, in the order of the plan. */

/**
 * Runs `job` on each item, at most `width` at once, and returns the results in the order of the items. After the signal or a failure no further
 * job is started, but running jobs are awaited. Throws the first failure.
 */
export async function sideBySide<Item, Result>(
  items: readonly Item[],
  width: number,
  signal: AbortSignal | undefined,
  job: (item: Item, lane: number) => Promise<Result>,
): Promise<(Result | undefined)[]> {
  const results = new Array<Result | undefined>(items.length);
  const failures: unknown[] = [];
  let next = 0;
  const lane = async (number: number) => {
    while (next < items.length && !signal?.aborted && failures.length === 0) {
      const index = next++;
      try {
        results[index] = await job(items[index], number);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, (_, i) => lane(i)));
  if (failures.length > 0) throw failures[0];
  return results;
}
